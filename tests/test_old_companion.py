"""A companion's folder that release 0.1.0 made (commit 801d4d4; tests/fixtures/companion-801d4d4.zip) still opens."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("studio.without_stubs")
pytest.importorskip("flwr")

from federation.designer.companion import Companion
from federation.designer.dry_run import dry_run
from federation.designer.receipt import SENT, noise_spent, read_all
from federation.designer.receipt_page import page
from federation.designer.settings import Settings
from federation.identity import make_key
from federation.wire import pack
from fedgai.model import FedGAI
from studio.companion.actions import CompanionActions
from studio.companion.home_studio import HomeStudio

FIXTURE = Path(__file__).resolve().parent / "fixtures" / "companion-801d4d4.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with zipfile.ZipFile(FIXTURE) as packed:
        packed.extractall(tmp_path)
    home = tmp_path / "home"
    home.chmod(0o755)  # as that release left it
    for place in (home, home / "window"):  # its paths were another machine's
        known = Settings.load(place)
        assert known is not None and (known.name, known.share_style, known.size) == ("Zoë", True, 64)
        replace(known, data=str(tmp_path / "drawings"), certificate="").save(place)
    return home


def test_its_receipts_are_read(folder: Path) -> None:
    [receipt] = read_all(folder / "receipts")
    assert (receipt.round, receipt.state, receipt.bytes, len(receipt.tensors)) == (1, SENT, 49888, 6)
    assert receipt.values["name"] == "Zoë" and receipt.signature and noise_spent([receipt]) == 0
    assert receipt.tensors[0].sha256 in page([receipt])


def test_the_designer_is_who_they_were(folder: Path) -> None:
    before = (folder / "key.pub").read_text().strip()
    assert make_key(folder / "key") == before
    companion = Companion(folder, Settings.load(folder) or Settings("", "", ""))
    try:
        assert companion.key == before and companion.state().receipts == 1
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    finally:
        companion.stop()


def test_its_training_goes_on(folder: Path) -> None:
    """What would be sent now comes from the private model, which only a resumed training can load."""
    sample = dry_run(folder, Settings.load(folder) or Settings("", "", ""))
    [sent] = read_all(folder / "receipts")
    of_now, of_then = ({t.name: t.sha256 for t in receipt.tensors} for receipt in (sample, sent))
    assert of_now.keys() - of_then.keys() == {"hand.project.weight"}  # the judge of hands, which 0.1.0 did not have
    private = pack(FedGAI.load(folder / "model").discriminator.shared())
    assert of_now == {name: hashlib.sha256(array.numpy().tobytes()).hexdigest() for name, array in private.items()}
    # as it was sent then; a weight is divided by its spectral norm, in which the last digit is each processor's own
    assert all(of_now[name] == sha256 for name, sha256 in of_then.items() if name.endswith(".bias"))
    assert sum(of_now[name] == sha256 for name, sha256 in of_then.items()) >= 5


def test_the_window_and_the_studio_at_home_open_it(folder: Path) -> None:
    actions = CompanionActions(folder)
    try:
        assert actions.answers.name == "Zoë" and len(actions.part.receipts) == 1 and actions.studio.possible
        actions.drawings._worker.submit(lambda: None).result(300)
        assert actions.drawings.ready and all(done for _, _, done in actions.missing())
    finally:
        actions.close()
    studio = HomeStudio(folder)
    assert studio.me == "Zoë" and studio.rounds == 1
