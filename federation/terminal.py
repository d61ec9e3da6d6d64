"""What the companion shows in a terminal: bars, and one line on what goes on here and at the studio."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from federation.designer.companion import Companion, State, duration
from federation.designer.prepare import EXPLAINED
from federation.designer.receipt_page import size
from fedgai.data.designer_folder import DesignerFolder

PHASES = {
    "training": "designers' machines are learning",
    "aggregating": "putting the updates together",
    "house": "the studio is learning from all of you",
    "waiting": "waiting for designers",
    "resting": "resting between seasons",
    "paused": "paused by the operator",
    "starting": "starting",
    "stopped": "stopped",
}


def new_bars(console: Console, **options: Any) -> Progress:
    """Bars that move even while nobody knows how much is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[share]}"),
        TimeElapsedColumn(),
        console=console,
        **options,
    )


def move(bars: Progress, task: TaskID, text: str, done: float | None) -> None:
    share = "" if done is None else f"{100 * done:3.0f} %"
    bars.update(task, description=text, completed=done or 0.0, total=None if done is None else 1.0, share=share)


@contextlib.contextmanager
def bar(console: Console) -> Iterator[Callable[[float | None, str], None]]:
    """A progress bar, in a terminal; without one, nothing."""
    with new_bars(console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None, share="")
        yield lambda done, text: move(bars, task, text, done)


def tell(console: Console, found: DesignerFolder) -> None:
    """What was found, and what becomes of it, without the list of bad files."""
    counts = str(found).splitlines()[1] + (" (--check names them, with the reason)." if found.bad else ".")
    for line in (counts, EXPLAINED[found.kind]):
        console.print(line, highlight=False, markup=False)
    for line in found.warnings:
        console.print(line, style="yellow", highlight=False, markup=False)


def describe(state: State) -> str:
    """One line on what goes on here."""
    line = state.text
    if state.remaining:
        line += f", about {duration(state.remaining)} left"
    return line


def federation_line(status: dict[str, Any]) -> str:
    """One line on what goes on at the studio, as it tells anybody."""
    online, phase = status.get("designers_online"), str(status.get("phase"))
    number = status.get("round")
    line = f"all of you{f', round {number}' if number else ''}: {PHASES.get(phase, 'not known')}"
    left = status.get("seconds_left")
    if phase == "training" and isinstance(left, int | float) and left > 0:
        line += f" ({duration(left)} more at most)"
    if isinstance(online, list):
        line += f", {len(online)} {'designer' if len(online) == 1 else 'designers'} connected"
    return line


def show_key(console: Console, companion: Companion) -> None:
    console.print("\nYour key. Send this line once to the people who run the studio:\n")
    console.print(companion.key, style="bold", soft_wrap=True, highlight=False)
    console.print(
        f"\nIts fingerprint, which they see when this machine connects: {companion.fingerprint}\n",
        highlight=False,
        soft_wrap=True,
    )


class TerminalView:
    """Two bars in a terminal; elsewhere a line for each change."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._phases = ("", "")
        self._warnings: set[str] = set()
        self._last = ""
        self._fresh()

    def _fresh(self) -> None:
        """Bars that count their time from now."""
        self._bars = new_bars(self.console)
        self._own_bar, self._federation_bar = (self._bars.add_task("", total=None, share="") for _ in range(2))

    def show(self, live: Live, state: State) -> None:
        if state.late and state.late not in self._warnings:
            self._warnings.add(state.late)
            self.console.print(state.late, style="yellow", highlight=False, markup=False)
        if not self.console.is_terminal:
            if state.phase + state.text != self._last:
                self.console.print(describe(state), highlight=False, markup=False)
                self._last = state.phase + state.text
            return
        phases = state.phase, str(state.federation.get("phase"))
        if phases != self._phases:
            self._phases = phases
            self._fresh()
        move(self._bars, self._own_bar, describe(state), state.done)
        progress = state.federation.get("progress")
        known = isinstance(progress, int | float) and phases[1] in ("training", "aggregating", "house") and progress > 0
        move(self._bars, self._federation_bar, federation_line(state.federation), float(progress or 0) if known else None)
        counts = Text(
            f"{size(state.bytes)} have left this machine; {state.receipts} "
            f"{'update' if state.receipts == 1 else 'updates'} arrived. Ctrl-C stops; run it again to go on.",
            style="dim",
        )
        live.update(Group(self._bars, counts))
