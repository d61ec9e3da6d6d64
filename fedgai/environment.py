"""Environment variables, checked: an empty one means its default, a wrong one is a sentence that names it.

Every HTTP client of this project, and of the libraries it uses, reads HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE when
it is made. One wrong value there ends a program with a traceback before it has done anything.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import ssl
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

from fedgai.errors import FedGAIError

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
ON, OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
TRUST = {"SSL_CERT_FILE": "file", "SSL_CERT_DIR": "folder"}


class VariableError(FedGAIError):
    """An environment variable has a value that cannot be used. The message names the variable and says what to do."""


def variable(name: str) -> str:
    """What a variable says, without spaces around it; "" where it is not set, or has nothing but spaces."""
    return os.environ.get(name, "").strip()


def switch(name: str) -> bool:
    """Whether a variable switches something on. Raises VariableError where it says neither yes nor no."""
    value = variable(name).lower()
    if value not in (*ON, *OFF):
        raise VariableError(f"{name} is {value[:40]!r}: set it to 1 (on) or 0 (off), or take it out")
    return value in ON


def check_folder(name: str) -> None:
    """Raises VariableError where a variable is set and names no folder."""
    if (value := variable(name)) and not Path(value).is_dir():
        raise VariableError(f"{name} names {value}, but there is no such folder: correct it, or remove {name}")


def check_proxy(name: str, value: str) -> None:
    """Raises VariableError where a proxy's address cannot be used. Its password is not shown."""
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
        _, host = url.port, url.hostname  # a port that is not a number raises
    except ValueError:
        url, host = urlsplit(""), None
    if not host or any(c.isspace() for c in value):
        raise VariableError(
            f"{name} is not the address of a proxy, which is like http://proxy.example:3128: correct it, or take {name} out"
        )
    if url.scheme.startswith("socks"):
        if url.scheme not in ("socks5", "socks5h") or importlib.util.find_spec("socksio") is None:
            raise VariableError(
                f"{name} names a SOCKS proxy ({url.scheme}://{host}), which needs one more package: pip install "
                f"socksio (for socks5), or take {name} out"
            )
    elif url.scheme not in ("http", "https"):
        raise VariableError(
            f"{name} begins with {url.scheme}://, but a proxy's address begins with http://, https:// or socks5://: "
            f"correct it, or take {name} out"
        )


def check_trust(name: str, value: str) -> None:
    """Raises VariableError where SSL_CERT_FILE or SSL_CERT_DIR names nothing, or a file without a certificate."""
    path = Path(value)
    if not (path.is_file() if TRUST[name] == "file" else path.is_dir()):
        raise VariableError(f"{name} names {value}, but there is no such {TRUST[name]}: correct it, or remove {name}")
    try:
        if path.is_file():
            ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise VariableError(
            f"{name} names {value}, which holds no certificate that can be read: it has to be a PEM file; correct it, or take "
            f"{name} out"
        ) from error


def check_network() -> None:
    """Raises VariableError where a variable that HTTP clients read cannot be used. Call it before one is made.

    Those that are empty, or have spaces around them, are written as HTTP clients take them.
    """
    trim_network(os.environ)
    for name in (*PROXIES, *map(str.lower, PROXIES)):
        if value := variable(name):
            check_proxy(name, value)
    for name in TRUST:
        if value := variable(name):
            check_trust(name, value)


def tidy_network(environment: MutableMapping[str, str]) -> list[str]:
    """Take out what makes HTTP clients fail, for a program that asks nobody outside this machine.

    Returns:
        a sentence on each variable that was taken out. An empty one, or an entry of NO_PROXY that could be corrected, has none.
    """
    ignored = []
    trim_network(environment)
    for name in (*PROXIES, *map(str.lower, PROXIES), *TRUST):
        value = environment.get(name)
        if value is None:
            continue
        try:
            if name in TRUST:
                check_trust(name, value)
            else:
                check_proxy(name, value)
        except VariableError as error:
            ignored.append(str(error))
            del environment[name]
    return ignored


def trim_network(environment: MutableMapping[str, str]) -> None:
    """Write the variables as HTTP clients take them: no spaces around a value, none that is empty; NO_PROXY see ``no_proxy``."""
    for name in (*PROXIES, *map(str.lower, PROXIES), *TRUST):
        if name in environment:
            value = environment.pop(name).strip()
            if value:
                environment[name] = value
    for name in ("NO_PROXY", "no_proxy"):
        if name in environment:
            environment[name] = ",".join(no_proxy(environment[name]))


def no_proxy(value: str) -> list[str]:
    """The hosts of NO_PROXY as HTTP clients take them: IPv6 addresses without brackets, nothing with a space in it.

    Example:
        >>> no_proxy("[::1], localhost, 10.0.0.0/8, [")
        ['::1', 'localhost', '10.0.0.0/8']
    """
    hosts = []
    for entry in value.split(","):
        host = entry.strip()
        if host.startswith("["):
            host = host[1:].partition("]")[0]
            try:
                ipaddress.IPv6Address(host)
            except ValueError:
                continue
        if host and not any(c.isspace() or c in "[]" for c in host):
            hosts.append(host)
    return hosts
