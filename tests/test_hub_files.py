"""Files from the Hub are checked against their checksums, and what can go wrong is one table of reasons."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hub_server import HubServer
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from federation.server.hub_client import HubRepository, explained
from fedgai import hub_files
from fedgai.environment import VariableError
from fedgai.hub_files import DamagedError, Problem, fetch, fetch_folder, reason
from fedgai.model import CheckpointError, FedGAI, open_checkpoint

LARGE, SMALL = bytes(range(256)) * 40, b'{"round": 3}'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in in the Hub's place with one repository, an empty cache, and no token."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        server.create("ada/coats", {"model.safetensors": LARGE, "config.json": SMALL, "parts/more.bin": LARGE[1:]})
        yield server


def why(*arguments: str, **options: str) -> hub_files.Reason:
    with pytest.raises(Exception) as failure:
        fetch(*arguments, **options)
    found = reason(failure.value, arguments[0])
    assert "\n" not in found.text and found.text[0] == found.text[0].strip()
    return found


def test_each_file_has_the_checksum_that_the_hub_names_it_by(hub: HubServer) -> None:
    for file, pattern in (("model.safetensors", "GET /lfs"), ("config.json", "GET /ada/coats/resolve")):
        hub.fail(pattern, spoilt=True)
        found = why("ada/coats", file)
        assert found.problem is Problem.DAMAGED and "wrong SHA-256" in found.text and "try again" in found.text
        assert fetch("ada/coats", file).read_bytes() == hub.repo("ada/coats")[file]


def test_a_folder_has_what_is_wanted_and_each_file_is_checked(hub: HubServer) -> None:
    hub.fail("GET /lfs", spoilt=True)
    with pytest.raises(DamagedError, match=r"parts/more\.bin arrived damaged") as damaged:
        fetch_folder("ada/coats", patterns=["*.json", "parts/*"], unwanted=["*.txt"])
    assert damaged.value.file == "parts/more.bin"
    folder = fetch_folder("ada/coats", patterns=["*.json", "parts/*"], unwanted=["*.txt"])
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {"config.json": SMALL, "parts/more.bin": LARGE[1:]}


def test_a_cache_without_symbolic_links_has_no_names_to_check_by(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(LARGE)
    assert hub_files.is_right(tmp_path / "model.safetensors")
    assert not hub_files.is_right(tmp_path / "model.safetensors", "0" * 64)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("status", "has_token", "problem", "words"),
    [
        (401, False, Problem.NO_TOKEN, "wants a token (HF_TOKEN), or does not know the repository (401)"),
        (401, True, Problem.WRONG_TOKEN, "does not accept the token (HF_TOKEN) for ada/coats (401)"),
        (403, True, Problem.FORBIDDEN, "may not read ada/coats (403)"),
        (404, True, Problem.NO_REPOSITORY, "does not know the repository ada/coats, or the token may not see it (404)"),
        (404, False, Problem.NO_TOKEN, "(404)"),
        (429, True, Problem.TOO_MANY, "fewer requests (429)"),
        (503, True, Problem.HUB_FAILS, "trouble of its own (503)"),
        (418, True, Problem.REFUSED, "refuses the request for ada/coats (418: "),
    ],
)
def test_what_the_hub_answers(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, status: int, has_token: bool, problem: Problem, words: str
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # the client asks again
    if has_token:
        monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.fail("/ada/coats", status, times=99)
    found = why("ada/coats", "config.json")
    assert found.problem is problem and words in found.text


def test_what_is_not_there(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert why("ada/hats", "config.json").problem is Problem.NO_REPOSITORY
    assert why("ada/coats", "other.json").text == "the Hub does not find it in ada/coats (404)"
    assert why("ada/coats", "config.json", revision="v9").text == "the Hub does not have this revision of ada/coats (404)"
    assert why("no such name", "config.json").problem is Problem.OTHER


def test_what_is_wrong_with_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(error: Exception, cause: Exception | None = None) -> str:
        error.__cause__ = cause
        return reason(error, "ada/coats").text

    offline = "HF_HUB_OFFLINE forbids requests to the Hub"
    assert text(LocalEntryNotFoundError("not here"), OfflineModeIsEnabled("no")) == offline
    assert "cannot be reached, or the connection broke off (" in text(LocalEntryNotFoundError("not here"))
    assert text(LocalEntryNotFoundError("not here"), TimeoutError("slow")).endswith("broke off (TimeoutError: slow)")
    assert text(OSError("Consistency check failed: 3 bytes")).startswith("the Hub cannot be reached")
    full = text(RuntimeError("while writing"), OSError(errno.ENOSPC, "No space left on device"))
    assert full == f"there is no room for it in {constants.HF_HUB_CACHE} (No space left on device)"
    assert "cannot be written" in text(PermissionError(errno.EACCES, "Permission denied"))
    assert text(VariableError("HTTPS_PROXY is wrong: correct it\nhere")) == "HTTPS_PROXY is wrong: correct it"
    assert text(KeyError()) == "KeyError"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert text(LocalEntryNotFoundError("not here")) == offline


def test_a_model_that_arrives_damaged_is_one_line_and_the_next_try_works(hub: HubServer, tiny_model_dir: Path) -> None:
    hub.create("ada/model", {path.name: path.read_bytes() for path in tiny_model_dir.iterdir()})
    hub.fail("GET /lfs", spoilt=True)
    with pytest.raises(CheckpointError, match=r"^ada/model cannot be loaded: \w+\.safetensors arrived damaged \(wrong SHA-256\)"):
        open_checkpoint("ada/model")
    drawn = open_checkpoint("ada/model")
    assert drawn.encoder_sha256 == FedGAI.load(tiny_model_dir).encoder_sha256
    with pytest.raises(CheckpointError, match=r"ada/hats is neither a folder nor .*: the Hub .*does not know the repository"):
        open_checkpoint("ada/hats")


def test_a_file_of_the_federation_that_arrives_damaged_is_not_read(hub: HubServer, tmp_path: Path) -> None:
    repository = HubRepository("ada/coats", endpoint=hub.endpoint)
    head, _ = repository.refs()
    for file, pattern in (("model.safetensors", "GET /lfs"), ("config.json", "GET /ada/coats/resolve")):
        hub.fail(pattern, spoilt=True)
        with pytest.raises(DamagedError) as damaged:
            repository.fetch(head, file, tmp_path, 2**20)
        sentence = str(explained(damaged.value, "ada/coats"))
        assert sentence == "The file that came has the wrong SHA-256, so it was deleted; try again."
        assert repository.fetch(head, file, tmp_path, 2**20) == hub.repo("ada/coats")[file]
    with pytest.raises(CheckpointError, match="larger than 3 bytes"):
        repository.fetch(head, "config.json", tmp_path, 3)
