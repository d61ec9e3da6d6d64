"""The way from a designer's machine to the studio: through which proxy, and which certificates are trusted.

As in other programs, the environment says so (HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR). The values are
checked first, so that a wrong one gives one sentence that names the variable. If a proxy is set and cannot be used, the
connection fails: the person who set it may not want to connect without it.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from fedgai.environment import PROXIES, TRUST, check_proxy, check_trust, no_proxy, tidy_network, trim_network, variable
from fedgai.errors import FedGAIError

LOOPBACK = "127.0.0.1"
NO_PROXY = ("no_proxy", "NO_PROXY")


class CertificateError(FedGAIError):
    """The file that the designer named holds no certificate."""


@dataclass(frozen=True)
class Route:
    """How a server is reached.

    Attributes:
        trust: what its certificate is checked by.
        proxy: address of the proxy in between, None for none.
    """

    trust: ssl.SSLContext
    proxy: str | None


def route(server: str, certificate: str | Path | None = None) -> Route:
    """The way to a server.

    Args:
        server: its https address.
        certificate: PEM file, the only one to trust then; None for the system's.
    Raises:
        VariableError: a variable that counts for this server has a value that cannot be used.
        CertificateError: ``certificate`` cannot be read.
    """
    trim_network(os.environ)
    return Route(_trust(certificate), _proxy(urlsplit(server).hostname or ""))


def _trust(certificate: str | Path | None) -> ssl.SSLContext:
    if certificate:
        try:
            return ssl.create_default_context(cafile=certificate)
        except OSError as error:  # ssl.SSLError is one
            raise CertificateError(f"{certificate} holds no certificate that can be read: it has to be a PEM file") from error
    for name in TRUST:
        if value := variable(name):
            check_trust(name, value)
    return httpx.create_ssl_context()


def _proxy(host: str) -> str | None:
    if _is_loopback(host) or _goes_direct(host):
        return None
    found = urllib.request.getproxies()  # the environment's; where there is none, those that macOS or Windows has set
    address = found.get("https") or found.get("all")
    if not address:
        return None
    name = next((n for n in PROXIES for v in (n, n.lower()) if os.environ.get(v) == address), "the system's proxy")
    check_proxy(name, address)
    return address if "://" in address else f"http://{address}"


def _goes_direct(host: str) -> bool:
    """Whether NO_PROXY, or the system's own list, has this host."""
    entries = next((os.environ[name] for name in NO_PROXY if os.environ.get(name)), "")
    for entry in no_proxy(entries):
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # names, not addresses
            continue
    return bool(urllib.request.proxy_bypass(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def untrusted(error: BaseException | None) -> str:
    """Why the server's certificate is not trusted, in OpenSSL's words; "" where it came to the error for another reason."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message or "it cannot be checked"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):  # httpx keeps the text alone
            return str(error).partition("verify failed: ")[2].partition(" (_ssl")[0] or "it cannot be checked"
        error = error.__cause__ or error.__context__
    return ""


def untrusted_sentence(server: str, reason: str) -> str:
    """What is wrong with a certificate, and what a designer can do."""
    return (
        f"{server} shows a certificate that this machine does not trust: nothing was sent. If the studio's people gave you a "
        "certificate file, name it (--certificate, or under Limits in the window). If they did not, this network may want "
        f"you to sign in first, or somebody may stand between you and the studio: ask them. (The system says: {reason}.)"
    )


def loopback_environment() -> dict[str, str]:
    """This process's environment for one that talks to this machine alone, whatever proxies are set."""
    environment = dict(os.environ)
    tidy_network(environment)
    for name in NO_PROXY:
        hosts = [*no_proxy(environment.get(name, "")), LOOPBACK, "localhost"]
        environment[name] = ",".join(dict.fromkeys(hosts))
    return environment
