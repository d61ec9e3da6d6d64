"""How much one caller may take: token buckets, and the gateway's numbers."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from federation.wire import CallRefusedError


@dataclass(frozen=True)
class Rate:
    """``burst`` at once, and ``second`` more each second after that."""

    burst: float
    second: float


class Buckets:
    """One token bucket for each name.

    Args:
        rate: of every bucket.
        most: buckets that are kept. The one that was not used for longest is forgotten first, and is full when it comes back.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        self.rate, self.most = rate, most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> tokens, when they were counted (s)

    def wait(self, name: str, amount: float = 1) -> float:
        """Seconds until ``amount`` is in the bucket; 0 where it is there. Takes nothing."""
        return max(0.0, (amount - self._tokens(name, time.monotonic())) / self.rate.second)

    def take(self, name: str, amount: float = 1) -> float:
        """Take ``amount`` out of the bucket.

        Returns:
            0, or the seconds until there is enough in it; then nothing was taken.
        """
        now = time.monotonic()
        tokens = self._tokens(name, now)
        wait = max(0.0, (amount - tokens) / self.rate.second)
        self._levels[name] = (tokens if wait else tokens - amount, now)
        self._levels.move_to_end(name)
        if len(self._levels) > self.most:
            self._levels.popitem(last=False)
        return wait

    def take_or_refuse(self, name: str, amount: float, reason: str) -> None:
        """Take ``amount``. Raises CallRefusedError (429) with ``reason`` where it is not there."""
        wait = self.take(name, amount)
        if wait:
            raise CallRefusedError(429, reason, wait)

    def __len__(self) -> int:
        return len(self._levels)

    def _tokens(self, name: str, now: float) -> float:
        tokens, counted = self._levels.get(name, (self.rate.burst, now))
        return min(self.rate.burst, tokens + (now - counted) * self.rate.second)


@dataclass(frozen=True)
class GatewayLimits:
    """The limits for one caller. A designer sends about 0.1 MB in a round with the edge preset, 0.8 MB with vgg16.

    Attributes:
        body_seconds: for a body to arrive, and for an answer to be taken.
        idle_seconds: between two pieces of a body.
        upstream_seconds: for the SuperLink to answer. A SuperNode waits 30 s.
        key_requests, key_bytes: of one member.
        address_requests, address_bytes: of all members at one address (a studio with many designers behind one router).
        strangers: requests without a member's key, from one address. They do not use up the members' share.
        key_in_flight, in_flight: requests at the same time, of one member, of all.
        log: lines about refusals, for one address.
        remembered: addresses.
    """

    body_seconds: float = 120.0
    idle_seconds: float = 20.0
    upstream_seconds: float = 25.0
    key_requests: Rate = Rate(300, 20)
    key_bytes: Rate = Rate(16 * 2**20, 2**17)
    address_requests: Rate = Rate(3000, 200)
    address_bytes: Rate = Rate(512 * 2**20, 2**20)
    strangers: Rate = Rate(60, 2)
    key_in_flight: int = 16
    in_flight: int = 256
    log: Rate = Rate(30, 0.2)
    remembered: int = 4096
