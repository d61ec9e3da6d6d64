"""The address that a request comes from. Limits are counted by it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Any


def address_of(scope: Mapping[str, Any]) -> str:
    """The address that a request comes from.

    Behind a reverse proxy the connection comes from the proxy, which writes the caller's address at the end of the
    header X-Forwarded-For. What is before that in the header may be false: anybody can write it. ``FEDGAI_PROXIES`` says how
    many proxies the operator runs: 0 unless it is set, and 1 on a Hugging Face Space.

    Args:
        scope: of an ASGI request.

    Returns:
        An IPv4 address; a /64 network of IPv6, which one household has; or "unknown".
    """
    address = scope["client"][0] if scope.get("client") else ""
    proxies = trusted_proxies()
    if proxies:
        lines = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
        hops = [hop.strip() for line in lines for hop in line.split(",")]
        if hops:
            address = hops[-min(proxies, len(hops))]
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if ip.version == 6:
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def trusted_proxies() -> int:
    """How many reverse proxies of the operator a request passes."""
    text = os.environ.get("FEDGAI_PROXIES", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 3:
        return int(text)
    return 1 if os.environ.get("SPACE_ID") else 0
