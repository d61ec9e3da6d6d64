"""The caller of a Gradio request."""

from __future__ import annotations

import gradio as gr

from federation.address import address_of
from studio.turns import Caller


def caller_of(visitor: gr.Request) -> Caller:
    """The address, which limits go by, and the session, which the visitor chose."""
    request = visitor.request
    address = address_of(request.scope) if request is not None else "unknown"
    return Caller(address, visitor.session_hash or "")
