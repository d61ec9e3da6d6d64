"""The operator: who takes part, whether it goes on, and from where.

    python -m federation.operator approve KEY.pub --name NAME       a file, the key itself, or the fingerprint of one who asks
    python -m federation.operator list | rounds [--json]
    python -m federation.operator pause | resume
    python -m federation.operator revoke NAME_OR_FINGERPRINT
    python -m federation.operator rollback ROUND

Writes the federation's folder (``--home``, or ``FEDGAI_HOME``); a running host notices within a second, another finds it
when it starts. The studio's panel calls the same functions.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from fedgai.imports import collector_paused, needed_by

with collector_paused(), needed_by("python -m federation.operator", "federation", started=__name__ == "__main__"):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from federation.identity import fingerprint
    from federation.server.folder import Folder, home
    from federation.server.knocks import knocks
    from federation.server.members import Member, approve, revoke
    from federation.server.round_words import designers_words, house_words, state_words
    from fedgai.errors import FedGAIError, sentence
    from fedgai.model import CheckpointError
    from fedgai.text import printable

__all__ = [
    "OperatorError",
    "approve",
    "approve_knock",
    "asking",
    "main",
    "members",
    "pause",
    "resume",
    "revoke",
    "rollback",
    "rounds",
]

LAST_ROUND = 10**9  # no federation counts further
TIMES = ("finished", "since", "last")  # columns of ISO 8601


class OperatorError(FedGAIError):
    """What was asked cannot be done; the message is one line for people."""


def approve_knock(folder: Folder, key_fingerprint: str, name: str) -> Member:
    """Let in a designer who asks, by the fingerprint that their own machine shows.

    Raises:
        OperatorError: nobody asks with such a key.
        MemberError, IdentityError: as ``approve``.
    """
    found = next((knock for knock in knocks(folder) if knock.fingerprint == key_fingerprint), None)
    if found is None:
        raise OperatorError(f"nobody asks to be let in with the key {key_fingerprint[:80]}: `list` shows who asks")
    return approve(folder, found.key, name)


def pause(folder: Folder) -> None:
    """Stop after what is whole: the round in progress is repeated at resume."""
    folder.change_control(paused=True)


def resume(folder: Folder) -> None:
    """Go on."""
    folder.change_control(paused=False)


def rollback(folder: Folder, number: int) -> None:
    """Draw with an earlier round at once, and start the next from it. Raises OperatorError where it is not there."""
    if not 0 <= number < LAST_ROUND:
        raise OperatorError("there is no such round: `rounds` lists those that there are")
    try:
        folder.set_latest(number)
    except CheckpointError as error:
        raise OperatorError(str(error)) from error
    folder.change_control(base=number)


def rounds(folder: Folder) -> list[dict[str, str]]:
    """A row a whole checkpoint, ascending: round, finished, designers (good answers of those asked), house (steps that the
    house Generator learned), state, epsilon (of central differential privacy, so far)."""
    latest, rows = folder.latest(), []
    for number in folder.rounds():
        report = folder.report(number)
        epsilon = report.privacy.epsilon if report.privacy else math.nan
        state = state_words(report)
        rows.append(
            {
                "round": str(number),
                "finished": report.finished[:40],
                "designers": designers_words(report),
                "house": house_words(report),
                "state": f"{state}, drawn with" if number == latest else state,
                "epsilon": "" if math.isnan(epsilon) else f"{epsilon:.3g}",
            }
        )
    return rows


def members(folder: Folder) -> list[dict[str, str]]:
    """A row a member: name, state, fingerprint, since (ISO 8601)."""
    online = set(folder.status().online)
    return [
        {
            "name": m.name,
            "state": _state(m, online),
            "fingerprint": fingerprint(m.key),
            "since": m.revoked or m.approved,
        }
        for m in folder.members()
    ]


def _state(member: Member, online: set[str]) -> str:
    if member.revoked:
        return "revoked"
    return "online" if member.name in online else "approved"


def asking(folder: Folder) -> list[dict[str, str]]:
    """A row for each key that asked to be let in and belongs to no member: fingerprint, address, last (ISO 8601)."""
    return [{"fingerprint": k.fingerprint, "address": k.address, "last": k.last} for k in knocks(folder)]


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    args = _parser().parse_args(arguments)
    try:
        folder = Folder(args.home.expanduser() if args.home else home())
        _run(folder, args)
    except (FedGAIError, OSError) as error:
        print(sentence(error), file=sys.stderr)
        sys.exit(2)


def _run(folder: Folder, args: argparse.Namespace) -> None:
    match args.command:
        case "approve":
            is_fingerprint = args.key.startswith("SHA256:")
            member = approve_knock(folder, args.key, args.name) if is_fingerprint else approve(folder, args.key, args.name)
            print(f"{member.name} is approved, {fingerprint(member.key)}")
        case "list":
            _show({"members": members(folder), "asking to be let in": asking(folder)}, "nobody is approved yet", args.json)
        case "revoke":
            print(f"{revoke(folder, args.who).name} is revoked")
        case "pause":
            pause(folder)
            print("paused")
        case "resume":
            resume(folder)
            print("resumed")
        case "rounds":
            _show({"rounds": rounds(folder)}, "there is no checkpoint yet", args.json)
        case "rollback":
            rollback(folder, args.round)
            print(f"the studio draws with round {args.round}, and the next round starts from it")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m federation.operator", description="Operate the federation.")
    parser.add_argument("--home", type=Path, help="the federation's folder (default: FEDGAI_HOME)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("approve", help="let a designer in, or in again")
    command.add_argument(
        "key", metavar="KEY.pub", help="a public key file, the key itself in quotes, or the fingerprint of a designer who asks"
    )
    command.add_argument("--name", required=True, help="the name that others will see")
    command = commands.add_parser("list", help="members, and who asks to be one")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser("revoke", help="shut a designer out at once")
    command.add_argument("who", metavar="NAME_OR_FINGERPRINT")
    commands.add_parser("pause", help="stop the federation; `resume` repeats the round in progress")
    commands.add_parser("resume", help="go on after `pause`")
    command = commands.add_parser("rounds", help="list the checkpoints")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser("rollback", help="draw with an earlier round; the next round starts from it")
    command.add_argument("round", type=_round)
    return parser


def _round(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a round's number")
    return int(text)


def _show(tables: dict[str, list[dict[str, str]]], empty: str, as_json: bool) -> None:
    """Tables that fit the terminal; columns without anything in them are left out."""
    if as_json:
        print(json.dumps(tables if len(tables) > 1 else next(iter(tables.values())), indent=1))
        return
    console = Console(highlight=False)
    filled = {title: rows for title, rows in tables.items() if rows}
    for title, rows in filled.items():
        table = Table(title=title if len(filled) > 1 else None, title_justify="left", box=None, pad_edge=False)
        columns = [name for name in rows[0] if any(row[name] for row in rows)]
        for name in columns:
            table.add_column(name, overflow="fold", no_wrap=name == "round")
        for row in rows:
            cells = [row[name][:16].replace("T", " ") if name in TIMES else row[name] for name in columns]
            table.add_row(*(Text(printable(cell)) for cell in cells))  # as it is: a name may look like rich's markup
        console.print(table)
    if not next(iter(tables.values())):
        print(empty)


if __name__ == "__main__":
    main()
