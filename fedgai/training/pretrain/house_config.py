"""What decides the built-in weights besides the photographs, and the hands that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedgai import ateliers as atelier

HEIGHT, WIDTH = 256, 192  # the training page, pixels
NAMED = len(atelier.ATELIERS)


@dataclass(frozen=True)
class HouseConfig:
    """Everything that decides the weights besides the photographs.

    Attributes:
        every: 1: all photographs; 3: every third.
        views: pages made of each photograph, at different scales.
        hands: random hands beside the eight named ones.
        measured: whole drawings that tell a random hand's signature, at most ``hand_signatures.MEASURED``.
        drawings, named_drawings: pages that each random / named hand draws.
        encoder_steps, generator_steps, adversarial_steps: optimiser steps of the three stages.
        batch: drawings a step.
        seed: of everything.
    """

    every: int = 1
    views: int = 2
    hands: int = 1600
    measured: int = 6
    drawings: int = 12
    named_drawings: int = 96
    encoder_steps: int = 600
    generator_steps: int = 3600
    adversarial_steps: int = 1900
    batch: int = 8
    seed: int = 24


def hands(config: HouseConfig) -> list[atelier.Hand]:
    """The named ateliers first, then the random hands."""
    rng = np.random.default_rng(config.seed)
    return list(atelier.ATELIERS.values()) + [atelier.random_hand(rng) for _ in range(config.hands)]
