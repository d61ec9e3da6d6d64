"""Imports gradio whatever the environment says about proxies; import this first.

Gradio (6.31) makes an HTTP client while it is imported, and that client fails on a wrong variable: NO_PROXY=[::1], a SOCKS proxy
without its package, a certificate file that is missing. The companion's pages send nothing outside this machine through that
client. Then the variables are restored for the companion: it says which of them cannot be used, and never bypasses a proxy.
"""

from __future__ import annotations

import os

from fedgai.environment import tidy_network

_before = dict(os.environ)
tidy_network(os.environ)
try:
    import studio.without_stubs  # noqa: F401
finally:
    os.environ.update(_before)
