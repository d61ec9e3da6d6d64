"""How the studio starts: what an operator set wrongly is a sentence that names it, and the port is taken before it is said."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.studio_server import PATIENCE, ROOT, untrained

pytest.importorskip("studio.without_stubs")

from fedgai.errors import FedGAIError
from studio.operator_settings import SettingError, from_environment, whole_number


def test_empty_means_default(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FEDGAI_CACHE_MB", "FEDGAI_KEEP_MINUTES", "FEDGAI_UPLOADS_MB")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    plain = from_environment()
    for name in names:
        monkeypatch.setenv(name, " ")
    assert from_environment() == plain
    assert (plain.cache_bytes, plain.keep_seconds, plain.upload_bytes) == (512 * 2**20, 3600, 2048 * 2**20)
    monkeypatch.setenv("FEDGAI_CACHE_MB", " 64 ")
    assert from_environment().cache_bytes == 64 * 2**20


@pytest.mark.parametrize("value", ["x", "-1", "0", "1.5", "1e3", "٣", "9" * 400, "512MB", "\x1b[31m"])
def test_a_wrong_value_is_a_sentence_with_the_variable_s_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name in ("FEDGAI_CACHE_MB", "FEDGAI_KEEP_MINUTES", "FEDGAI_UPLOADS_MB"):
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingError, match=f"{name} is .* set it to a whole number") as wrong:
            from_environment()
        assert len(str(wrong.value)) < 200 and str(wrong.value).isprintable()
        monkeypatch.delenv(name)
    if value != "0":
        monkeypatch.setenv("FEDGAI_PROXIES", value)
        with pytest.raises(SettingError, match="FEDGAI_PROXIES is"):
            from_environment()
    with pytest.raises(SettingError):
        whole_number("N", "7", 1, 1, 6)


def started(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python app.py`` that should not start."""
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_a_port_in_use_is_said_and_no_address_is(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = started({"TMPDIR": str(tmp_path)}, "--port", str(port))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"Port {port} is in use by another program: choose another one with --port.\n"


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        ({"FEDGAI_CACHE_MB": "much"}, (), "FEDGAI_CACHE_MB is 'much'"),
        ({"FEDGAI_IMAGINE_STEPS": "many"}, (), "FEDGAI_IMAGINE_STEPS is a whole number"),
        ({"FEDGAI_WEIGHTS": "/nowhere/at/all"}, (), "Set FEDGAI_WEIGHTS"),
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, (), "ALL_PROXY names a SOCKS proxy"),
        ({"HTTPS_PROXY": "ftp://proxy.example"}, (), "HTTPS_PROXY begins with ftp://"),
        ({"SSL_CERT_FILE": "/no/such/file.pem"}, (), "SSL_CERT_FILE names /no/such/file.pem"),
        ({"FEDGAI_FEDERATION": "enabled"}, (), "FEDGAI_FEDERATION is 'enabled'"),
        ({"FEDGAI_HOUSE_PHOTOS": "/nowhere"}, ("--federation",), "FEDGAI_HOUSE_PHOTOS names /nowhere"),
        ({}, ("--port", "99999"), "port 99999 (there is no such port)"),
        ({}, ("--host", "192.0.2.1"), "The studio cannot use 192.0.2.1, port 0"),
    ],
)
def test_what_was_set_wrongly_is_one_sentence(
    tmp_path: Path, environment: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    done = started({"TMPDIR": str(tmp_path), **environment}, *(("--port", "0") if "--port" not in arguments else ()), *arguments)
    assert done.returncode == 1 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""


def test_help_needs_no_heavy_library() -> None:
    """Nor does any sentence on what was set wrongly: they take seconds to import."""
    heavy = "torch", "gradio", "cv2", "flwr"
    program = f"import sys, app\ntry: app.main()\nexcept SystemExit: sys.exit(' '.join(set({heavy}) & set(sys.modules)))"
    for arguments in (["--help"], ["--port", "99999"]):
        done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.stderr.strip() == "", done.stderr


def test_a_file_without_a_certificate_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "word.pem").write_text("hello")
    done = started({"TMPDIR": str(tmp_path)}, "--certificate", str(tmp_path / "word.pem"), "--key", str(tmp_path / "word.pem"))
    assert done.returncode == 2 and "are not a certificate and its key" in done.stderr and "Traceback" not in done.stderr


def test_a_temporary_folder_of_somebody_else_s_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / f"fedgai-{os.getuid()}").symlink_to("/")
    done = started({"TMPDIR": str(tmp_path), "FEDGAI_WEIGHTS": untrained()}, "--port", "0")
    assert done.returncode == 1 and "set TMPDIR to a folder of your own" in done.stderr and "Traceback" not in done.stderr


def test_every_error_of_the_studio_is_one_that_a_user_reads() -> None:
    """Each derives from FedGAIError, so that whoever catches that catches all of them."""
    from studio.guard import RequestError
    from studio.sketching import LookError
    from studio.turns import BusyError
    from studio.uploads import UploadError

    for error in (LookError, RequestError, BusyError, UploadError, SettingError):
        assert issubclass(error, FedGAIError)
