"""The server's side of Flower: one run is one season of rounds.

The run goes on from the last complete checkpoint in the federation's folder, so it may be killed and started again at any moment.
It ends at the end of a season, or when no designer has been connected for a while: then the host waits for them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from fedgai.imports import collector_paused

with collector_paused():
    import torch
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp

    from federation.server.aggregation import UpdateLimits
    from federation.server.folder import Folder, home
    from federation.server.report import RoundReport
    from federation.server.season import FederationConfig, Season, existing_folder
    from fedgai.environment import variable
    from fedgai.model import FedGAI
    from fedgai.shipped import WEIGHTS

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run rounds until the season's last.

    Raises:
        CheckpointError: the folder or the weights cannot be used.
        FedGAIError: there are no weights, or no garments: a SuperLink that was not started in a copy of the project
            has neither beside the app, and the run config names them.
    """
    config = FederationConfig.from_run_config(context.run_config)
    folder = Folder(config.home or home())
    if folder.latest() is None:
        weights = config.weights or variable("FEDGAI_WEIGHTS") or WEIGHTS
        if Path(weights).is_absolute():
            existing_folder("weights", Path(weights))
        folder.publish(0, FedGAI.from_pretrained(weights), RoundReport.of_the_start())
    torch.set_num_threads(min(2, torch.get_num_threads()))
    step_back()
    season = Season(grid, folder, config, UpdateLimits.from_run_config(context.run_config))
    while season.goes_on():
        season.round()
    folder.set_status(phase="resting", progress=1.0)


def step_back() -> None:
    """Give the studio's process priority on this machine's cores: a visitor waits for a sketch, and a round can wait."""
    os.nice(5)
    with contextlib.suppress(OSError):  # where Linux weighs sessions first, and processes only within each
        Path("/proc/self/autogroup").write_text("5")
