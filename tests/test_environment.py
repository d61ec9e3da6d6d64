"""Environment variables that are wrong: a sentence that names the variable, or it works; never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import fork_server
from helpers.drawn_sheets import fill
from helpers.join_command import JOIN
from helpers.studio_server import PATIENCE

from fedgai.environment import VariableError, check_network, no_proxy, switch, tidy_network

pytest.importorskip("flwr")

from federation.designer.network import CertificateError, loopback_environment, route
from federation.designer.settings import home as designer_home
from federation.processes import free_port
from federation.server.folder import home as server_home

ROOT = Path(__file__).resolve().parent.parent
NETWORK = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
STUDIO = "https://studio.example"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("HTTPS_PROXY", "socks5://127.0.0.1:1080", "SOCKS"),
        ("ALL_PROXY", "socks5h://127.0.0.1:1080", "socksio"),
        ("all_proxy", "socks4://127.0.0.1:1080", "SOCKS"),
        ("HTTPS_PROXY", "ftp://proxy.example", "begins with ftp://"),
        ("HTTPS_PROXY", "http://proxy.example:port", "not the address"),
        ("https_proxy", "http://", "not the address"),
        ("HTTPS_PROXY", "http://pro xy", "not the address"),
        ("SSL_CERT_FILE", "/no/such/file.pem", "no such file"),
        ("SSL_CERT_DIR", "/no/such/folder", "no such folder"),
        ("SSL_CERT_FILE", os.devnull, "no such file"),
        ("SSL_CERT_FILE", __file__, "no certificate"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(name, value)
    with pytest.raises(VariableError, match=word) as refusal:
        route(STUDIO)
    assert name.upper() in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_proxys_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://zoe:secret@proxy.example")
    with pytest.raises(VariableError) as refusal:
        route(STUDIO)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "  ", "SSL_CERT_FILE": " ", "SSL_CERT_DIR": "\t"}, None),
        ({"HTTPS_PROXY": " http://proxy.example:3128\n"}, "http://proxy.example:3128"),
        ({"ALL_PROXY": "http://proxy.example:1"}, "http://proxy.example:1"),
        ({"HTTP_PROXY": "http://proxy.example:1"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[::1],studio.example"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[::1]"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "example"}, None),
    ],
)
def test_the_way_to_the_studio(environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert route(STUDIO).proxy == proxy


@pytest.mark.parametrize("server", ["https://127.0.0.1:7860", "https://localhost:7860", "https://[::1]:7860"])
def test_this_machine_is_never_reached_through_a_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert route(server).proxy is None


def test_addresses_in_no_proxy_may_be_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, [fd00::1]")
    assert route("https://10.1.2.3").proxy is None and route("https://[fd00::1]").proxy is None
    assert route("https://11.1.2.3").proxy is not None


def test_a_certificate_file_without_a_certificate_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(CertificateError, match="PEM"):
        route(STUDIO, tmp_path / "ca.pem")


def test_spaces_are_no_value_and_those_around_one_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    for name, value in (("SSL_CERT_FILE", " "), ("ALL_PROXY", "  "), ("HTTPS_PROXY", "http://proxy.example:1\n")):
        monkeypatch.setenv(name, value)
    check_network()
    httpx.Client().close()
    for name in ("FEDGAI_HOME", "FEDGAI_COMPANION"):
        monkeypatch.delenv(name, raising=False)
    usual = server_home(), designer_home()
    for name in ("FEDGAI_HOME", "FEDGAI_COMPANION"):
        monkeypatch.setenv(name, "  ")
    assert (server_home(), designer_home()) == usual


@pytest.mark.parametrize(
    ("value", "on"), [("1", True), (" true ", True), ("ON", True), ("", False), (" ", False), ("0", False), ("No", False)]
)
def test_a_switch(value: str, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDGAI_HUB_PUBLIC", value)
    assert switch("FEDGAI_HUB_PUBLIC") is on


def test_a_switch_that_says_neither_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wrote "enabled" wants it; it was taken for off, in silence."""
    monkeypatch.setenv("FEDGAI_FEDERATION", "enabled")
    with pytest.raises(VariableError, match="FEDGAI_FEDERATION is 'enabled': set it to 1"):
        switch("FEDGAI_FEDERATION")


def test_what_http_clients_die_of_is_taken_out() -> None:
    import httpx

    environment = {
        "ALL_PROXY": "socks4://p:1",
        "HTTPS_PROXY": "",
        "NO_PROXY": "[::1], a b, localhost",
        "SSL_CERT_FILE": "/none",
        "HTTP_PROXY": "http://proxy.example:1",
        "OTHER": "x",
    }
    notes = tidy_network(environment)
    assert environment == {"NO_PROXY": "::1,localhost", "HTTP_PROXY": "http://proxy.example:1", "OTHER": "x"}
    assert len(notes) == 2 and "ALL_PROXY" in notes[0] and "SSL_CERT_FILE" in notes[1]
    assert no_proxy("") == []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        httpx.Client().close()


def test_a_supernode_reaches_the_proxy_of_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through HTTPS_PROXY it ended three times, and the companion said that it was connected."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "[::1]")
    environment = loopback_environment()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"  # weights may have to come from the Hub
    assert "127.0.0.1" in environment["NO_PROXY"].split(",") and "[" not in environment["NO_PROXY"]


WRONG = [
    {"ALL_PROXY": "socks4://127.0.0.1:9"},
    {"NO_PROXY": "[::1]"},
    {"SSL_CERT_FILE": "/no/such/file.pem"},
    {"HTTPS_PROXY": "http://proxy.example:port"},
    {"FEDGAI_CACHE_MB": ""},
    {"FEDGAI_COMPANION": ""},
]


def joining(folder: Path) -> list[str]:
    """Options with which a designer whose drawings lie in ``folder/own`` joins a studio that nobody can reach."""
    return [
        *("--server", "https://studio.invalid"),
        *("--data", str(folder / "own")),
        *("--name", "Zoë"),
        *("--home", str(folder / "home")),
    ]


@pytest.mark.parametrize("environment", WRONG, ids=lambda e: "=".join(*e.items()))
def test_the_companion_says_which_variable_or_works(environment: dict[str, str], tmp_path: Path) -> None:
    """In a folder of the project that cannot be written, as after an installation by somebody else."""
    fill(tmp_path / "own", 2)
    done = fork_server.run(
        [*JOIN, "--check", *joining(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    process = fork_server.Popen(
        [
            sys.executable,
            "-m",
            "studio.companion.window",
            "--home",
            str(tmp_path / "home"),
            "--no-browser",
            "--port",
            str(free_port()),
        ],
        cwd=ROOT,
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "The companion's window: http://127.0.0.1:" in line, line  # to read on would wait for its end
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("environment", WRONG[:4], ids=lambda e: "=".join(*e.items()))
def test_joining_says_which_variable_it_is(environment: dict[str, str], tmp_path: Path) -> None:
    fill(tmp_path / "own" / "photos", 2)
    fill(tmp_path / "own" / "sketches", 2)
    process = fork_server.Popen(
        [*JOIN, *joining(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    output = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            output += line
            if "cannot be reached" in line:  # NO_PROXY=[::1]: it works, as far as there is a network
                break
    finally:
        process.kill()
        process.wait()
    name = next(iter(environment))
    assert "Traceback" not in output and (name in output or "cannot be reached" in output), output
