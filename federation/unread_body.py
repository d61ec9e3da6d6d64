"""What is left of a request's body once the request is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

SECONDS = 2.0  # at most, for what is still arriving


async def discard(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> bool:
    """Read and discard the rest of a body, for at most 2 s: a caller that is still sending does not read an answer.

    Args:
        receive: of the ASGI request. Its body must not have ended.

    Returns:
        Whether the body has ended, or the caller has hung up.
    """
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return True
    except TimeoutError:
        return False
