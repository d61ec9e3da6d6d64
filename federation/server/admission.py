"""Decides which requests are let in: those with a member's key, a signature that was not used before, and within the limits."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections import Counter
from dataclasses import dataclass

from federation.server.announcements import MemberExchange
from federation.server.folder import Folder
from federation.server.knocks import Knocks
from federation.server.member_keys import MemberKeys, UnknownKeyError
from federation.server.members import Member
from federation.server.rates import Buckets, GatewayLimits
from federation.wire import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    CallRefusedError,
    Scope,
    UpdateSize,
    headers_of,
    update_size,
)
from fedgai.model import CONFIG_FILE, PRESETS
from fedgai.text import printable

log = logging.getLogger("fedgai.gateway")


@dataclass(frozen=True)
class AdmittedMember:
    """A member whose request was let in.

    Attributes:
        member: who it is.
        key: what this member's limits go by.
        exchange: what this member was asked, and answered.
    """

    member: Member
    key: str
    exchange: MemberExchange

    @property
    def name(self) -> str:
        return self.member.name


class Admission:
    """Lets members in, and counts what they and strangers take.

    Args:
        folder: whose members may enter.
        limits: what one caller may take.
    """

    def __init__(self, folder: Folder, limits: GatewayLimits) -> None:
        self.folder, self.limits = folder, limits
        self.keys, self.knocks = MemberKeys(folder), Knocks(folder)
        most = limits.remembered
        self.key_requests, self.key_bytes = Buckets(limits.key_requests, most), Buckets(limits.key_bytes, most)
        self.address_requests, self.address_bytes = Buckets(limits.address_requests, most), Buckets(limits.address_bytes, most)
        self.strangers, self._lines = Buckets(limits.strangers, most), Buckets(limits.log, most)
        self.in_flight: Counter[str] = Counter()  # by the member's key
        self._exchanges: dict[str, MemberExchange] = {}  # by the member's key
        self._unwritten = 0

    async def admit(self, scope: Scope, address: str, *, is_up: bool) -> AdmittedMember:
        """Who is calling.

        Args:
            scope: of the request.
            address: that it comes from.
            is_up: whether the members are all known: until then nobody is sent away for good.

        Raises:
            CallRefusedError: with the answer that the caller gets instead.
        """
        headers = headers_of(scope)
        try:
            key = base64.b64decode(headers[KEY_HEADER], validate=True)
            signature = base64.b64decode(headers[SIGNATURE_HEADER], validate=True)
            timestamp = headers[TIMESTAMP_HEADER]
        except KeyError:
            self._stranger(address)
            raise CallRefusedError(401, "no key: members only") from None
        except (binascii.Error, ValueError):
            self._stranger(address)
            raise CallRefusedError(401, "the key or its signature is not base64") from None
        try:
            member = self.keys.member(key)
        except CallRefusedError as refusal:
            if refusal.status != 401:
                raise
            self._stranger(address)
            if not is_up:  # the members may not be restored yet, and a SuperNode stops for good after 401
                raise CallRefusedError(503, f"the federation is starting ({refusal.reason})", 5) from None
            if isinstance(refusal, UnknownKeyError) and refusal.signed(timestamp, signature):
                await asyncio.to_thread(self.knocks.note, refusal.line, address)
            raise
        # before the signature: checking it costs half a millisecond
        self.address_requests.take_or_refuse(address, 1, f"too many requests from {address}")
        nonce = self.keys.check(key, timestamp, signature)
        identity = key.decode()
        self.key_requests.take_or_refuse(identity, 1, f"too many requests from {member.name}")
        self.keys.use(nonce)
        if self.in_flight[identity] >= self.limits.key_in_flight or self.in_flight.total() >= self.limits.in_flight:
            raise CallRefusedError(503, f"too many requests at the same time from {member.name}", 1)
        return AdmittedMember(member, identity, self._exchange(identity, member))

    def charge(self, caller: AdmittedMember, address: str, size: int) -> None:
        """Count bytes that a member sends. Raises CallRefusedError where they are too many."""
        self.address_bytes.take_or_refuse(address, size, f"too many bytes from {address}")
        self.key_bytes.take_or_refuse(caller.key, size, f"too many bytes from {caller.name}")

    def write(self, address: str, scope: Scope, refusal: CallRefusedError) -> None:
        """Write one line about a refusal into the log, unless one address causes too many such lines."""
        if self._lines.take(address):
            self._unwritten += 1
            return
        more = f" ({self._unwritten} more refusals were not written)" if self._unwritten else ""
        self._unwritten = 0
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")[:80]
        log.warning(
            "%s",
            printable(f"{refusal.status} {scope.get('method', '')} {path} from {address}: {refusal.reason}{more}", longest=400),
        )

    def _stranger(self, address: str) -> None:
        self.strangers.take_or_refuse(address, 1, f"too many requests without a registered key from {address}")

    def _exchange(self, key: str, member: Member) -> MemberExchange:
        exchange = self._exchanges.get(key)
        if exchange is None or (exchange.name, exchange.node_id) != (member.name, member.node_id):
            exchange = self._exchanges[key] = MemberExchange(member.name, member.node_id, _size(self.folder))
        return exchange


def _size(folder: Folder) -> UpdateSize:
    """Of an update of this federation's preset; of the largest preset where none is known yet."""
    latest = folder.latest()
    try:
        config = json.loads((folder.checkpoint(latest) / CONFIG_FILE).read_text()) if latest is not None else {}
        return update_size(config["preset"])
    except (OSError, ValueError, KeyError, TypeError):
        return max(map(update_size, PRESETS), key=lambda size: size.bytes)
