"""What of huggingface_hub is private and used all the same: it is where it was read."""

from __future__ import annotations

import importlib.metadata
import inspect

from huggingface_hub.utils import _http

from federation.server import hub_client


def test_it_is_the_release_that_this_was_read_from() -> None:
    """Fails when an update comes: read the names in hub_client.py again, run test_hub.py, then change READ_FROM."""
    assert importlib.metadata.version("huggingface_hub") == hub_client.READ_FROM


def test_the_client_that_is_replaced_sends_as_it_did() -> None:
    client = _http.default_client_factory()
    try:
        assert next(iter(inspect.signature(client.send).parameters)) == "request"
        assert client.timeout.read is None and client.follow_redirects  # why it is replaced
    finally:
        client.close()
    ours = hub_client._client()
    try:
        assert ours.send is not type(ours).send and list(inspect.signature(ours.send).parameters) == ["request", "kwargs"]
    finally:
        ours.close()
