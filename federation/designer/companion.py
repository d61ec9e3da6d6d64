"""The companion: one designer's machine in the federation, for the terminal (join.py) and for the window.

    drawings -> local training (client_app.py, in a SuperNode) -> proxy.py on loopback -> the studio's gateway

    HOME/settings.json      what the designer answered
         pairs/, scans/     what was made of drawings without photographs, and of scanned sheets
         key, key.pub       who they are to the federation; the private one never leaves
         model/             the private Generator and all else that training needs to go on
         receipts/          what left, a file a round
         flower/, proxy/    logs and certificates

Everything is looked at here before anything starts: the folder, the server, its release. What the server can make this
machine do is train on that folder and send what ``client_app.answer`` returns, no more.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import torch
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import ConfigRecord, Context, MessageType, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from federation.bundle import build_app
from federation.designer.client_app import PROGRESS_FILE, answer, at_home, local_dp
from federation.designer.proxy import Proxy
from federation.designer.receipt import Receipt
from federation.designer.supernode import SuperNode
from federation.identity import IdentityError, display_name, make_key
from federation.wire import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, pack
from fedgai import __version__
from fedgai.data import folder as drawings
from fedgai.data.folder import DesignerFolder
from fedgai.data.listing import every_file, subfolder
from fedgai.data.pair_up import pair_up
from fedgai.data.pairs import PairsError, writing
from fedgai.data.scans import prepare_scans
from fedgai.model import WEIGHTS, FedGAI
from fedgai.text import printable

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 15.0  # s for the studio to answer a question
TEXT_LENGTH = 300  # of a description
PREPARED_FILE = "prepared.json"
EXPLAINED = {
    "pairs": "Photographs and sketches of the same garments: what you leave out and how you draw a fold is learned, too.",
    "sketches": "Drawings without photographs: each is paired by the project with the photograph of a public garment, and "
                "with a drawing of that garment which the model makes in your own signature. Your true drawings teach "
                "your hand, and only those; how you translate a garment can be learned from pairs alone.",
    "scans": "Scanned sheets: they are straightened, whitened and cut into single drawings, which you look at before they "
             "count. Then each is paired by the project with the photograph of a public garment, as drawings alone are.",
}  # fmt: skip
"""What becomes of each kind of folder, for the designer."""

Progress = Callable[[float, str], None]
"""Hears what share is done, in [0, 1], and of what, in a few words."""


class CompanionError(ValueError):
    """It cannot be done as asked; one line for the designer, with what to do next."""


class AwayError(CompanionError):
    """The studio does not answer as it should. Asking again later may help."""


class LookFirst(CompanionError):  # noqa: N818 - nothing went wrong
    """Sheets were cut into drawings that the designer has not looked at yet: show the previews, then ``accept``.

    Attributes:
        previews: folder of one JPEG a sheet, with its numbered boxes.
        drawings: files of the single drawings.
        report: what was cut, and what could not be, for the designer.
    """

    def __init__(self, previews: Path, drawings: list[Path], report: str) -> None:
        super().__init__(f"{len(drawings)} drawings were cut out of your sheets. Look at the pictures in "
                         f"{printable(str(previews))}, then accept them (--accept-scans). Where a frame is wrong, correct the "
                         ".json file beside the scan")
        self.previews, self.drawings, self.report = previews, drawings, report


def home() -> Path:
    """Where the companion keeps everything: ``FEDGAI_COMPANION``, or ``.fedgai`` in the designer's own folder."""
    return Path(os.environ.get("FEDGAI_COMPANION") or Path.home() / ".fedgai").resolve()


def address(text: str) -> str:
    """Of a studio, as https://HOST[:PORT], from what somebody typed. Raises CompanionError."""
    typed = text.strip().rstrip("/")
    try:
        url = httpx.URL(typed if "://" in typed else f"https://{typed}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme != "https" or not url.host or url.path not in ("", "/") or url.query or " " in url.host:
        raise CompanionError(f"the studio's address is like https://name.hf.space, not {text!r}")
    return str(url).rstrip("/")


@dataclass(frozen=True)
class Settings:
    """What the designer answered.

    Attributes:
        server: https address of the studio.
        data: folder of the drawings; never told to anybody.
        name: what others see, with ``share_style``.
        share_style: send the style signature, so that others can draw in this hand.
        description: a sentence about the hand, sent with the signature.
        preset: that the federation must have; "" for any that this installation has.
        device: that training runs on, as torch names it.
        certificate: PEM file to trust for the server, "" for the system's.
        rounds: stop after so many; 0 for as long as it runs.
        budget: bytes that may leave in a round.
        local_epsilon, style_epsilon: local differential privacy of update and signature; 0 for none.
        size: side of the training square, px.
    """

    server: str
    data: str
    name: str
    share_style: bool = True
    description: str = ""
    preset: str = ""
    device: str = "cpu"
    certificate: str = ""
    rounds: int = 0
    budget: int = 8 * 2**20
    local_epsilon: float = 0.0
    style_epsilon: float = 0.0
    size: int = 256

    def checked(self) -> Settings:
        """The same, tidied. Raises CompanionError for the first answer that cannot be."""
        server = address(self.server)
        try:
            name = display_name(self.name)
        except IdentityError as error:
            raise CompanionError(str(error)) from error
        data = Path(self.data).expanduser()
        if not data.is_dir():
            raise CompanionError(f"there is no folder {data}: say where your drawings are with --data")
        certificate = str(Path(self.certificate).expanduser().resolve()) if self.certificate else ""
        if certificate and not Path(certificate).is_file():
            raise CompanionError(f"there is no certificate {certificate}")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError):  # torch says it in many ways, and at length
            raise CompanionError(f"this machine has no device {self.device!r}: say --device cpu, which each has") from None
        if self.budget < 1 or min(self.local_epsilon, self.style_epsilon, self.rounds) < 0:
            raise CompanionError("a budget is 1 byte or more; epsilon and rounds are not negative")
        return replace(self, server=server, name=name, data=str(data.resolve()), certificate=certificate,
                       description=self.description.strip()[:TEXT_LENGTH])

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / "settings.json.new"
        aside.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(aside, folder / "settings.json")

    @classmethod
    def load(cls, folder: Path) -> Settings | None:
        """What was answered before, None for nothing. Raises CompanionError where the file is damaged."""
        file = folder / "settings.json"
        if not file.exists():
            return None
        try:
            told, known = json.loads(file.read_text(encoding="utf-8")), {f.name for f in fields(cls)}
            return cls(**{name: value for name, value in told.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise CompanionError(f"{file} is damaged ({error}): delete it, and answer again") from error


@dataclass(frozen=True)
class State:
    """What to show a designer, at one moment.

    Attributes:
        phase: "starting", "waiting" (to be approved), "away", "refused", "idle", "receiving", "preparing", "training",
            "sending", "failed".
        text: one line.
        round: in progress here, or 0.
        done: share of the phase, in [0, 1].
        remaining: seconds of training, or 0.
        losses: of the last step, by name.
        sent, received: bytes since the start.
        receipts: rounds that this designer has sent.
        federation: the studio's public status, {} where it is not known.
    """

    phase: str
    text: str
    round: int = 0
    done: float = 0.0
    remaining: float = 0.0
    losses: dict[str, float] | None = None
    sent: int = 0
    received: int = 0
    receipts: int = 0
    federation: dict[str, Any] | None = None


@cache
def release_hash() -> str:
    """SHA-256 of the Flower app that this installation makes: no other runs here."""
    return hashlib.sha256(build_app()).hexdigest()


class Studio:
    """What the companion asks of the studio directly; all else goes through the proxy.

    Args:
        settings: whose ``server`` and ``certificate`` count.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            trust = ssl.create_default_context(cafile=settings.certificate) if settings.certificate else True
        except OSError as error:  # ssl.SSLError is one
            raise CompanionError(f"{settings.certificate} is no certificate (a PEM file)") from error
        self._client = httpx.Client(verify=trust, timeout=PATIENCE, follow_redirects=False)

    def status(self) -> dict[str, Any]:
        """See ``gateway.public_status``. Raises AwayError, saying in a line what the matter is."""
        return self._json(self._ask("GET", "/federation/status"))

    def check(self) -> dict[str, Any]:
        """The status, of a federation that this installation can take part in.

        Raises:
            AwayError: see ``status``.
            CompanionError: another release, another program or another preset; nothing was sent.
        """
        told = self.status()
        theirs, mine = str(told.get("app_hash") or "")[:12], release_hash()[:12]
        if told.get("version") != __version__ or (theirs and theirs != mine):
            raise CompanionError(
                f"{self.settings.server} runs FedGAI {str(told.get('version'))[:20]} (program {theirs or 'unknown'}), this "
                f"machine has {__version__} (program {mine}). Only the same program runs here: install that release, or ask "
                "the operator")
        if self.settings.preset and told.get("preset") and told["preset"] != self.settings.preset:
            raise CompanionError(f"the federation has preset {str(told['preset'])[:20]}, you asked for {self.settings.preset}")
        if told.get("encoder") and told["encoder"] != FedGAI.load(WEIGHTS).encoder_sha256:
            raise CompanionError("the federation has another encoder than the weights of this installation: ask the operator "
                                 "which weights it started from")
        return told

    def leave(self, key: Path) -> str:
        """Be forgotten as a member. Returns the name that was. Raises CompanionError."""
        private = load_ssh_private_key(key.read_bytes(), None)
        moment = now().isoformat()
        headers = {KEY_HEADER: base64.b64encode(public_key_to_bytes(private.public_key())).decode(), TIMESTAMP_HEADER: moment,
                   SIGNATURE_HEADER: base64.b64encode(sign_message(private, moment.encode("ascii"))).decode()}
        answer = self._ask("POST", "/federation/leave", headers)
        if answer.status_code == 401:
            raise CompanionError("the studio does not know this key: you are no member there")
        return str(self._json(answer).get("left", ""))

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        server = self.settings.server
        try:
            return self._client.request(method, server + path, headers=headers)
        except httpx.TimeoutException:
            raise AwayError(f"{server} does not answer: waiting for it") from None
        except httpx.HTTPError as error:
            if "CERTIFICATE" in str(error).upper():
                raise AwayError(f"{server} shows a certificate that this machine does not trust: nothing was sent") from None
            raise AwayError(f"{server} cannot be reached: is there a network?") from None

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        server = self.settings.server
        if answer.is_redirect:
            where = answer.headers.get("location", "")[:80]
            raise AwayError(f"{server} sends this machine on to {where}: it does not go there")
        if answer.status_code in (502, 503, 504):
            raise AwayError(f"{server} is waking up, which can take some minutes: waiting")
        try:
            told = answer.raise_for_status().json()
            if isinstance(told, dict):
                return told
        except (httpx.HTTPStatusError, ValueError):
            pass
        if answer.status_code == 404 or "html" in answer.headers.get("content-type", ""):
            raise AwayError(f"{server} is there, but has no federation at the moment: is the address right?")
        raise AwayError(f"{server} answers with an error ({answer.status_code}): trying again")


class Companion:
    """A designer's part in the federation, running in the background of this process; usable as a context manager.

    Args:
        folder: HOME, see above.
        settings: checked here.
    Raises:
        CompanionError: the settings cannot be, or another companion works in this folder.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings.checked()
        folder.mkdir(parents=True, exist_ok=True)
        self.receipts = folder / "receipts"
        self.studio = Studio(self.settings)
        self.key = make_key(folder / "key")
        self.proxy: Proxy | None = None
        self.node: SuperNode | None = None
        self._data: Path | None = None  # of pairs to train on, once they are prepared
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CompanionError(f"a companion is already running with {folder}: stop that one first") from None
        self._first, self._failures, self._again = self._sent_rounds(), 0, 0.0
        self._status: dict[str, Any] = {}
        self._asked = 0.0
        self._away = ""

    def __enter__(self) -> Companion:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def config(self) -> dict[str, str | int | float | bool]:
        """The node configuration: see client_app.py. Not one value of it comes from the server."""
        s = self.settings
        return {"data": str(self._data), "out": str(self.folder / "model"), "name": s.name, "share-style": s.share_style,
                "description": s.description, "weights": str(WEIGHTS), "size": s.size, "device": s.device, "budget": s.budget,
                "local-epsilon": s.local_epsilon, "style-epsilon": s.style_epsilon}

    def start(self, progress: Progress | None = None) -> None:
        """Prepare the drawings and connect.

        Raises:
            CompanionError: see ``prepare``; or the federation is not one for this installation; AwayError is one, too.
        """
        self._data = self._data or prepare(self.folder, self.settings, progress)
        self._status = self.studio.check()
        certificate = Path(self.settings.certificate) if self.settings.certificate else None
        self.proxy = Proxy(self.settings.server, self.folder, release_hash(), root_certificate=certificate,
                           budget=self.settings.budget)
        self.proxy.start()
        self._run()

    def tend(self) -> State:
        """What is going on; call it about once a second. Starts the SuperNode again where it ended."""
        if self.node and self.node.process.poll() is not None and time.monotonic() > self._again:
            self._failures += 1
            self._again = time.monotonic() + min(60, 2**self._failures)
            self._run()
        if time.monotonic() - self._asked > 3:
            self._asked = time.monotonic()
            try:
                self._status, self._away = self.studio.status(), ""
            except AwayError as error:
                self._away = str(error)
        return self.state()

    def state(self) -> State:
        proxy, progress = self.proxy, self._progress()
        counted = {"receipts": self._sent_rounds(), "federation": self._status, "sent": proxy.sent if proxy else 0,
                   "received": proxy.received if proxy else 0}
        if proxy is None or self.node is None:
            return State("starting", "connecting", **counted)
        if proxy.notice.state == "refused":
            self.node.stop()
            return State("refused", proxy.notice.text, **counted)
        if progress.get("phase") in ("preparing", "training"):
            number, text = int(progress.get("round", 0)), "looking at your drawings"
            if progress["phase"] == "training":
                text = f"round {number}: epoch {progress['epoch']} of {progress['epochs']}"
            return State(progress["phase"], text, number, progress.get("step", 0) / max(1, progress.get("steps", 1)),
                         progress.get("remaining", 0.0), progress.get("losses"), **counted)
        if progress.get("phase") == "sending" and not self._receipt_of(int(progress["round"])):
            return State("sending", f"round {progress['round']}: sending", int(progress["round"]), proxy.leaving, **counted)
        if proxy.notice.state not in ("online", "starting"):
            phase = "waiting" if proxy.notice.state == "waiting" else "away"
            return State(phase, proxy.notice.text, **counted)
        if self._away:
            return State("away", self._away, **counted)
        if progress.get("phase") == "failed":
            return State("failed", f"the last round was not trained: {progress.get('trouble', '')}", **counted)
        if proxy.coming < 1:
            return State("receiving", "a round begins: what the others learned is coming in", 0, proxy.coming, **counted)
        if proxy.asked:
            return State("preparing", "a round begins: the training program is starting", **counted)
        return State("idle", "connected: waiting for the next round", **counted)

    @property
    def finished(self) -> bool:
        """Whether as many rounds were sent as the designer asked for."""
        return 0 < self.settings.rounds <= self._sent_rounds() - self._first

    def stop(self) -> None:
        """Disconnect; local state stays as the last epoch left it."""
        if self.node:
            self.node.stop()
        if self.proxy:
            self.proxy.stop()
        self.node = self.proxy = None
        self._lock.close()

    def _run(self) -> None:
        (self.folder / "model" / PROGRESS_FILE).unlink(missing_ok=True)  # of an earlier run
        self.node = SuperNode(self.folder / "flower", self.proxy.address, self.folder / "key", self.config,
                              self.proxy.certificate)

    def _progress(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):  # none yet
            return json.loads((self.folder / "model" / PROGRESS_FILE).read_text())
        return {}

    def _sent_rounds(self) -> int:
        return len({file.name.split(".")[0].split("-")[1] for file in self.receipts.glob("round-*.json")})

    def _receipt_of(self, number: int) -> bool:
        return any(self.receipts.glob(f"round-{number:04d}*.json"))


def look(settings: Settings, progress: Progress | None = None) -> DesignerFolder:
    """What is in the designer's folder, of any kind. Raises CompanionError where there is nothing to train on."""
    say = progress or (lambda *_: None)
    try:
        found = drawings.look(settings.data, lambda done, of, file: say(done / max(1, of), f"looking at {printable(file.name)}"))
    except PairsError as error:
        raise CompanionError(str(error)) from error
    if not found.drawings:
        raise CompanionError(str(found) if found.bad else found.warnings[0])
    return found


def prepare(folder: Path, settings: Settings, progress: Progress | None = None, found: DesignerFolder | None = None) -> Path:
    """The folder of pairs to train on: the designer's own where it holds pairs, else HOME/pairs, made from their drawings.

    Scanned sheets are cut into HOME/scans first, and looked at. Made again only where the drawings changed, or the weights.

    Args:
        folder: HOME, see above.
        settings: whose ``data`` counts.
        progress: of looking, cutting and pairing, each from 0 to 1.
        found: of ``look``, where that was just done.
    Raises:
        LookFirst: sheets were cut that nobody has looked at.
        CompanionError: there is nothing to train on, or it cannot be read or written.
    """
    say, data, out = progress or (lambda *_: None), Path(settings.data), folder / "pairs"
    try:
        seen, made = _fingerprint(data), _prepared(folder).get("made", {})
        if made.get("seen") == seen and made["kind"] == "pairs":
            return data
        if made.get("seen") == seen and all((out / "guides" / f"{i:04d}.png").exists() for i in range(made["count"])):
            return out
        found = found or look(settings, progress)
        if found.kind == "pairs":
            _remember(folder, made={"seen": seen, "kind": "pairs"})
            return data
        files = _cut(folder, data, say) if found.kind == "scans" else found.drawings
        report = pair_up(files, out, progress=lambda i, of: say(i / of, "pairing your drawings with public garments"))
        say(1.0, f"{len(report.pairs)} drawings are paired")
        _remember(folder, made={"seen": _fingerprint(data), "kind": found.kind, "count": len(report.pairs)})
    except PairsError as error:
        raise CompanionError(str(error)) from error
    except OSError as error:
        raise CompanionError(f"{error.filename or data} cannot be used ({error.strerror})") from error
    return out


def accept(folder: Path) -> None:
    """The designer has looked at what ``LookFirst`` named, and it is right. After a change to a scan or a layout, what was
    cut is to be looked at again. Raises CompanionError where it cannot be written down."""
    try:
        _remember(folder, accepted=_prepared(folder).get("cut", {}).get("layouts"))
    except PairsError as error:
        raise CompanionError(str(error)) from error


def _cut(folder: Path, data: Path, say: Progress) -> list[Path]:
    """The single drawings of the sheets in data/scans, where somebody has looked at them. Raises LookFirst, PairsError."""
    known = _prepared(folder)
    cut, out = known.get("cut", {}), folder / "scans"
    sheets = subfolder(data, "scans") or data / "scans"
    files = [out / "sketches" / name for name in cut.get("drawings", ())]
    if cut.get("seen") != _fingerprint(data) or not files or not all(file.exists() for file in files):
        scans = prepare_scans(sheets, out, lambda i, of, file: say(i / of, f"cutting up {printable(file.name)}"))
        if not scans.drawings:
            raise CompanionError(f"no drawing was found on these sheets. {scans}")
        files, layouts = scans.drawings, hashlib.sha256()
        for file in sorted(sheets.glob("*.json")):
            layouts.update(os.fsencode(file.name) + hashlib.sha256(file.read_bytes()).digest())
        cut = {"seen": _fingerprint(data), "drawings": [file.name for file in files], "layouts": layouts.hexdigest(),
               "report": str(scans)}  # fmt: skip
        _remember(folder, cut=cut)
    if known.get("accepted") != cut["layouts"]:
        raise LookFirst(out / "previews", files, cut["report"])
    return files


def _fingerprint(data: Path) -> str:
    """Of a folder of drawings and of the weights that measure them: another one where a file comes, goes or changes."""
    files = [file for part in (data, WEIGHTS) if part.is_dir() for file in every_file(part)]
    told = [(os.fsencode(file).hex(), (about := file.lstat()).st_size, about.st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _prepared(folder: Path) -> dict[str, Any]:
    """HOME/prepared.json: made (the pairs), cut (the sheets), accepted (the layouts that somebody has looked at)."""
    with contextlib.suppress(OSError, ValueError):  # none yet, or cut short: all is made anew
        told = json.loads((folder / PREPARED_FILE).read_text(encoding="utf-8"))
        return told if isinstance(told, dict) else {}
    return {}


def _remember(folder: Path, **changes: Any) -> None:
    """Raises PairsError where it cannot be written."""
    with writing(folder) as _:
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder / PREPARED_FILE) as aside:
        aside.write_text(json.dumps(_prepared(folder) | changes, indent=1), encoding="utf-8")


def dry_run(folder: Path, settings: Settings, progress: Progress | None = None) -> Receipt:
    """Exactly what would be sent in a round, from the private model as it is now; nothing is sent, and the model not saved.

    Raises CompanionError or PairsError, as a round would; ``progress`` as in ``prepare``.
    """
    settings = settings.checked()
    here = {"data": str(prepare(folder, settings, progress)), "out": str(folder / "model"), "name": settings.name,
            "share-style": settings.share_style,
            "description": settings.description, "weights": str(WEIGHTS), "size": settings.size, "device": settings.device,
            "local-epsilon": settings.local_epsilon, "style-epsilon": settings.style_epsilon}  # fmt: skip
    model = FedGAI.load(WEIGHTS)
    bank = list(model.styles.values())
    asked = ConfigRecord({
        "round": 0, "epochs": 1, "beta": 0.1, "preset": model.preset.name, "encoder": model.encoder_sha256,
        "release": __version__, "bank-names": [s.name for s in bank],
        "bank": b"".join(s.style.numpy().astype("<f4").tobytes() for s in bank)})  # fmt: skip
    trainer = at_home(here, asked)
    arrays = pack(model.discriminator.shared())
    origin = Metadata(0, "", 0, 0, "", "", 0.0, 0.0, MessageType.TRAIN)
    message = make_message(origin, RecordDict({"arrays": arrays, "config": asked}))
    context = Context(run_id=0, node_id=0, node_config=here, state=RecordDict(), run_config={})
    reply = local_dp(message, context, lambda *_: make_message(origin, answer(trainer, here, asked, {})))
    return Receipt.of(reply.content, settings.server)
