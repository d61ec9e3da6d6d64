"""requirements.lock: what a deployment installs, down to the bytes, and nothing of where it comes from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def entries() -> dict[str, list[tuple[Requirement, list[str]]]]:
    """name -> each requirement of that name (there may be one for each system), with its hashes."""
    found: dict[str, list[tuple[Requirement, list[str]]]] = {}
    for entry in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", LOCK, flags=re.M)).splitlines():
        line, *hashes = re.split(r"\s+--hash=", entry.strip())
        requirement = Requirement(line)
        found.setdefault(canonical(requirement.name), []).append((requirement, hashes))
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_locked_at_its_pin() -> None:
    """Fails when requirements.txt has changed: run `make lock`."""
    locked = entries()
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line:
            pin = Requirement(line)
            assert str(pin.specifier) in {str(found.specifier) for found, _ in locked[canonical(pin.name)]}, line


def test_everything_has_hashes() -> None:
    assert len(entries()) > 100
    for name, found in entries().items():
        for requirement, hashes in found:
            assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)) and requirement.url is None, name
            assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), name


def test_it_names_no_registry_and_no_folder() -> None:
    options = set(re.findall(r"--[\w-]+", LOCK))
    assert options == {"--hash"} and "://" not in LOCK and not re.search(r"(?<![\w.])/\w+/", LOCK)


@pytest.mark.slow
def test_pip_takes_what_the_hashes_say_and_nothing_else(tmp_path: Path) -> None:
    """Two small ones of them, from whichever registry this machine uses."""
    for spoilt in (False, True):
        wanted = []
        for name in ("filelock", "confusable-homoglyphs"):
            [(requirement, hashes)] = entries()[name]
            hashes = [f"sha256:{'0' * 64}"] if spoilt else hashes
            wanted.append(" ".join([f"{requirement.name}{requirement.specifier}", *(f"--hash={value}" for value in hashes)]))
        (tmp_path / "wanted.txt").write_text("\n".join(wanted))
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--require-hashes",
            "--no-deps",
            "-r",
            tmp_path / "wanted.txt",
            "-d",
            tmp_path / f"wheels-{spoilt}",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if "HASHES" not in done.stderr and done.returncode and not spoilt:
            pytest.skip("no registry in reach")
        assert (done.returncode == 0) is not spoilt, done.stderr
