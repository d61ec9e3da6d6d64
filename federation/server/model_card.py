"""The model card of a round's checkpoint."""

from __future__ import annotations

from federation.server.report import PrivacyReport, RoundReport
from fedgai.model import FedGAI


def card(model: FedGAI, report: RoundReport) -> str:
    """The model card of a round's checkpoint (Markdown with the Hub's front matter)."""
    took_part = [d for d in report.designers if d.accepted]
    probe = "\n".join(
        f"| {name} | {value:.4g} | {report.probe.before.get(name, float('nan')):.4g} |"
        for name, value in report.probe.after.items()
    )
    state = f"Held back: {report.held_back}" if report.held_back else "Published."
    private = f"\n\n{private_sentence(report.privacy)}" if report.privacy else ""
    return f"""---
license: apache-2.0
library_name: fedgai
pipeline_tag: image-to-image
tags:
  - fashion
  - sketch
  - federated-learning
---

# FedGAI, {model.preset.name} preset, round {report.round}

This model draws a photograph of a garment as a fashion sketch, in any blend of {len(model.styles)} hands. It comes from round
{report.round} of a federation ([FedGAI](https://arxiv.org/abs/2503.12389)). {len(took_part)} designers trained at home and
sent only their Discriminators. The house Generator learned from the average of these, on public photographs
({report.house_line}). {state}

![The same garments in several hands](sheet.jpg)

| probe | after | before |
|---|---|---|
{probe}

Aggregation: {report.strategy}. All rounds so far are in `metrics.csv`, the details of this one in `report.json`.{private}
"""


def private_sentence(privacy: PrivacyReport) -> str:
    """What central differential privacy promises after a round, for the model card."""
    without = privacy.rounds_without
    return (
        f"Differential privacy of one designer's updates, against people who see the aggregates: epsilon "
        f"{privacy.epsilon:.3g} at delta {privacy.delta:g} over the rounds with noise ({privacy.rounds} so far), "
        f"{privacy.epsilon_round:.3g} for this one alone."
        + (f" Nothing is promised about the earlier rounds without noise ({without})." if without else "")
    )
