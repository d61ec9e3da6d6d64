"""Who takes part: approving a designer, revoking one, and members.json as it lies in the folder or on the Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from federation.identity import NAME_LENGTH, display_name, fingerprint, public_key
from federation.server.look_alikes import resembled
from fedgai.errors import FedGAIError
from fedgai.model import CheckpointError

if TYPE_CHECKING:
    from federation.server.folder import Folder

_KEY = re.compile(r"ecdsa-sha2-nistp384 [A-Za-z0-9+/]{100,300}={0,2}")
_TIME = re.compile(r"[0-9T:.+Z-]{0,40}")


class MemberError(FedGAIError):
    """A designer cannot be approved or revoked like this; one sentence says why."""


@dataclass(frozen=True)
class Member:
    """One approved designer.

    Attributes:
        name: what others see, 1 to 40 characters.
        key: the public key as one OpenSSH line (ecdsa-sha2-nistp384), without its comment.
        node_id: Flower's number for this designer, 0 until the host has given one.
        approved: when, as ISO 8601 in UTC.
        revoked: when, or "" for a member in good standing.
    """

    name: str
    key: str
    node_id: int = 0
    approved: str = ""
    revoked: str = ""


def approve(folder: Folder, key: str, name: str) -> Member:
    """Approve a designer, for the first time or again.

    Args:
        folder: the federation's.
        key: path of a public key file, or the key itself; line breaks within it do no harm.
        name: what others will see, 1 to 40 printable characters.

    Raises:
        IdentityError: not an ECDSA P-384 key, or not a name.
        MemberError: the name is taken or looks like one that is, or the key is known under another name.
    """
    line, name = public_key(key), display_name(name)
    hands = {style for style in folder.hands() if style != name}  # an atelier's name may be its designer's
    approved: list[Member] = []

    def change(members: list[Member]) -> list[Member]:
        known = next((m for m in members if m.key == line), None)
        others = [m.name for m in members if m is not known]
        if any(other.casefold() == name.casefold() for other in others):
            raise MemberError(f"the name {name!r} is taken: choose another")
        if (other := resembled(name, [*others, *hands])) is not None:
            raise MemberError(f"the name {name!r} looks like {other!r}, which is taken: choose another")
        if known is not None and not known.revoked:
            if known.name != name:
                raise MemberError(f"this key is already approved, as {known.name!r}")
            approved.append(known)
            return members
        if known is None:
            approved.append(Member(name, line, approved=_now()))
            return [*members, *approved]
        approved.append(replace(known, name=name, approved=_now(), revoked=""))
        return [approved[0] if m is known else m for m in members]

    folder.change_members(change)
    return approved[0]


def revoke(folder: Folder, who: str) -> Member:
    """Revoke a designer, and remove their style signature from every checkpoint that is kept.

    Args:
        folder: the federation's.
        who: the designer's name, or the fingerprint of their key.

    Raises:
        MemberError: no member in good standing has this name or fingerprint.
    """
    revoked: list[Member] = []

    def change(members: list[Member]) -> list[Member]:
        found = next((m for m in members if not m.revoked and who in (m.name, fingerprint(m.key))), None)
        if found is None:
            raise MemberError(f"no member has the name or fingerprint {who!r}, or they were revoked: `list` shows all members")
        revoked.append(replace(found, revoked=_now()))
        return [revoked[0] if m is found else m for m in members]

    folder.change_members(change)
    folder.forget_hands()
    return revoked[0]


def node_id_of(key: str) -> int:
    """A designer's node id, from the key alone: the same in every database, so that nobody need be approved again."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1 | 1


def gone(members: Iterable[Member]) -> list[Member]:
    """Members who left or were revoked."""
    return [member for member in members if member.revoked]


def merge_members(own: list[Member], others: list[Member]) -> list[Member]:
    """All members of both lists.

    If both lists have a key, keep the entry with the later approval or revocation; on a tie, this folder's (``own``).
    """
    merged = {member.key: member for member in own}
    for member in others:
        known = merged.get(member.key)
        if known is None or max(member.approved, member.revoked) > max(known.approved, known.revoked):
            merged[member.key] = member
        elif not known.node_id:
            merged[member.key] = replace(known, node_id=member.node_id)
    return list(merged.values())


def members_from(entries: object, where: str) -> list[Member]:
    """The content of members.json -> members.

    Args:
        entries: what was read from JSON.
        where: the file, for errors.

    Raises:
        CheckpointError: naming the entry, for anything but members.
    """
    if not isinstance(entries, list):
        raise CheckpointError(f"{where} is not a list of members: replace it with an undamaged file, or delete it")
    members: dict[str, Member] = {}
    for number, entry in enumerate(entries, 1):
        member = _member(entry, f"{where}, entry {number}: ")
        if member.key in members:
            raise CheckpointError(f"{where}, entry {number}: a key is one line of ecdsa-sha2-nistp384, and no other member's")
        members[member.key] = member
    return list(members.values())


def _member(entry: object, where: str) -> Member:
    names = {f.name for f in fields(Member)}
    if not isinstance(entry, Mapping) or not set(entry) <= names or not {"name", "key"} <= set(entry):
        raise CheckpointError(where + "not a member")
    values: dict[str, Any] = {"node_id": 0, "approved": "", "revoked": "", **entry}
    name, key, node_id = values["name"], values["key"], values["node_id"]
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise CheckpointError(where + "a name is 1 to 40 printable characters")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise CheckpointError(where + "a key is one line of ecdsa-sha2-nistp384, and no other member's")
    if type(node_id) is not int or not 0 <= node_id < 2**64:
        raise CheckpointError(where + "a node id is a whole number of 64 bits")
    if not all(isinstance(values[t], str) and _TIME.fullmatch(values[t]) for t in ("approved", "revoked")):
        raise CheckpointError(where + "a time is ISO 8601")
    return Member(name, key, node_id, values["approved"], values["revoked"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
