"""Virtual designers, who draw from photographs alone."""

from fedgai.ateliers.hands import ATELIERS, Hand, random_hand
from fedgai.ateliers.rendering import draw, render
from fedgai.ateliers.studies import Study, study, study_looked

__all__ = ["ATELIERS", "Hand", "Study", "draw", "random_hand", "render", "study", "study_looked"]
