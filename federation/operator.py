"""The operator: who takes part, whether it goes on, and from where.

    python -m federation.operator approve KEY.pub --name NAME
    python -m federation.operator list | rounds | pause | resume
    python -m federation.operator revoke NAME_OR_FINGERPRINT
    python -m federation.operator rollback ROUND

Writes the federation's folder (``--home``, or ``FEDGAI_HOME``); a running host notices within a second, another finds it
when it starts. The studio's panel calls the same functions.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from federation.identity import display_name, fingerprint, public_key
from federation.server.folder import Folder, Member, home
from fedgai.errors import FedGAIError
from fedgai.model import CheckpointError


class OperatorError(FedGAIError):
    """What was asked cannot be done; the message is one line for people."""


def approve(folder: Folder, key: str, name: str) -> Member:
    """Let a designer in, or in again.

    Args:
        folder: the federation's.
        key: path of a public key file, or the key itself as one OpenSSH line.
        name: what others will see, 1 to 40 printable characters, nobody else's.
    Raises:
        OperatorError: not an ECDSA P-384 key, or the name is taken, or the key is known under another name.
    """
    line, name, approved = public_key(key), display_name(name), None

    def change(members: list[Member]) -> list[Member]:
        nonlocal approved
        known = next((m for m in members if m.key == line), None)
        if any(m.name.casefold() == name.casefold() for m in members if m is not known):
            raise OperatorError(f"the name {name!r} is taken: choose another")
        if known is not None and not known.revoked and known.name != name:
            raise OperatorError(f"this key is already approved, as {known.name!r}")
        if known is not None and not known.revoked:
            approved = known
            return members
        approved = replace(known, name=name, approved=_now(), revoked="") if known else Member(name, line, approved=_now())
        return [approved if m is known else m for m in members] if known else [*members, approved]

    folder.change_members(change)
    return approved


def revoke(folder: Folder, who: str) -> Member:
    """Shut a designer out. Raises OperatorError where no member in good standing has this name or fingerprint."""
    revoked = None

    def change(members: list[Member]) -> list[Member]:
        nonlocal revoked
        found = next((m for m in members if not m.revoked and who in (m.name, fingerprint(m.key))), None)
        if found is None:
            raise OperatorError(f"no member in good standing has the name or fingerprint {who!r}: see list")
        revoked = replace(found, revoked=_now())
        return [revoked if m is found else m for m in members]

    folder.change_members(change)
    return revoked


def pause(folder: Folder) -> None:
    """Stop after what is whole: the round in progress is repeated at resume."""
    folder.change_control(paused=True)


def resume(folder: Folder) -> None:
    folder.change_control(paused=False)


def rollback(folder: Folder, number: int) -> None:
    """Draw with an earlier round at once, and start the next from it. Raises OperatorError where it is not there."""
    try:
        folder.set_latest(number)
    except CheckpointError as error:
        raise OperatorError(str(error)) from error
    folder.change_control(base=number)


def rounds(folder: Folder) -> list[dict[str, str]]:
    """A row a whole checkpoint, ascending: round, finished, designers (good answers of those asked), state,
    epsilon (of central differential privacy, so far), metrics."""
    latest, rows = folder.latest(), []
    for number in folder.rounds():
        report = folder.report(number)
        designers = report.get("designers", [])
        private = report.get("privacy") or {}
        state = "published" if report.get("published", True) else f"held back: {report.get('held_back', '')}"
        rows.append({
            "round": str(number),
            "finished": report.get("finished", ""),
            "designers": f"{sum(d['accepted'] for d in designers)} of {len(designers)}" if designers else "",
            "state": f"{state}, drawn with" if number == latest else state,
            "epsilon": f"{private['epsilon']:.3g}" if private else "",
            "metrics": " ".join(f"{k}={v:.4g}" for k, v in report.get("metrics", {}).items() if isinstance(v, int | float)),
        })  # fmt: skip
    return rows


def members(folder: Folder) -> list[dict[str, str]]:
    """A row a member: name, fingerprint, state, since (ISO 8601)."""
    online = set(folder.status().online)
    return [
        {
            "name": m.name,
            "fingerprint": fingerprint(m.key),
            "state": "revoked" if m.revoked else "online" if m.name in online else "approved",
            "since": m.revoked or m.approved,
        }
        for m in folder.members()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m federation.operator", description="Operate the federation.")
    parser.add_argument("--home", type=Path, help="the federation's folder (default: FEDGAI_HOME)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("approve", help="let a designer in, or in again")
    command.add_argument("key", metavar="KEY.pub", help="public key file, or the key's line in quotes")
    command.add_argument("--name", required=True, help="what others will see")
    commands.add_parser("list", help="members")
    command = commands.add_parser("revoke", help="shut a designer out, at once")
    command.add_argument("who", metavar="NAME_OR_FINGERPRINT")
    commands.add_parser("pause", help="stop; the round in progress is repeated at resume")
    commands.add_parser("resume", help="go on")
    commands.add_parser("rounds", help="whole checkpoints")
    command = commands.add_parser("rollback", help="draw with an earlier round, and go on from it")
    command.add_argument("round", type=int)
    asked = parser.parse_args(arguments)
    try:
        folder = Folder(asked.home.expanduser() if asked.home else home())
        match asked.command:
            case "approve":
                member = approve(folder, asked.key, asked.name)
                print(f"{member.name} is approved, {fingerprint(member.key)}")
            case "list":
                print(_table(members(folder), "nobody is approved yet"))
            case "revoke":
                print(f"{revoke(folder, asked.who).name} is revoked")
            case "pause":
                pause(folder)
                print("paused")
            case "resume":
                resume(folder)
                print("resumed")
            case "rounds":
                print(_table(rounds(folder), "there is no checkpoint yet"))
            case "rollback":
                rollback(folder, asked.round)
                print(f"the studio draws with round {asked.round}, and the next round starts from it")
    except (FedGAIError, CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _table(rows: list[dict[str, str]], empty: str) -> str:
    if not rows:
        return empty
    widths = {k: max(len(k), *(len(row[k]) for row in rows)) for k in rows[0]}
    lines = [{k: k for k in widths}, *rows]
    return "\n".join("  ".join(line[k].ljust(w) for k, w in widths.items()).rstrip() for line in lines)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
