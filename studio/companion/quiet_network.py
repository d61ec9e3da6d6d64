"""Imports gradio whatever the environment says about proxies; import this first.

Gradio (6.31) makes an HTTP client while it is imported, and that client dies of a wrong variable: NO_PROXY=[::1], a SOCKS proxy
without its package, a certificate file that is not there. The companion's pages ask nobody outside this machine through it. For
the companion itself the variables are put back: it says which of them cannot be used, and never goes around a proxy.
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
