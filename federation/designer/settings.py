"""What a designer answered, and the folder that the companion keeps everything in.

HOME/settings.json      the answers
     key, key.pub       who the designer is to the federation; the private one never leaves
     pairs/, scans/     what was made of drawings without photographs, and of scanned sheets
     model/             the private Generator and all else that training needs to go on
     receipts/          what left, a file an update
     flower/, proxy/    logs and certificates
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import httpx
import torch

from federation.identity import display_name
from fedgai.environment import variable
from fedgai.errors import FedGAIError
from fedgai.files import write_atomically
from fedgai.shipped import WEIGHTS

SETTINGS_FILE = "settings.json"
LEFT_FILE = "left.json"  # written when the designer leaves, so that every program with this folder knows
TEXT_LENGTH = 300  # characters of a description

Progress = Callable[[float | None, str], None]
"""Called with the share that is done, in [0, 1] (None: not known), and with what is being done, in a few words."""


class CompanionError(FedGAIError):
    """Something that the designer asked for cannot be done. The message is one sentence that says what to do next."""


def home() -> Path:
    """Where the companion keeps everything: ``FEDGAI_COMPANION``, or ``.fedgai`` in the designer's own folder."""
    return Path(variable("FEDGAI_COMPANION") or Path.home() / ".fedgai").expanduser().resolve()


def private_folder(folder: Path) -> Path:
    """Make the companion's folder, or take other people's rights to it away: a key and a private model lie in it.

    Raises:
        CompanionError: it cannot be made, or it is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(PermissionError):  # somebody else's folder that this user may write to
            folder.chmod(0o700)
        key = folder / "key"
        if key.exists():
            key.chmod(0o600)
    except OSError as error:
        raise CompanionError(
            f"{error.filename or folder} cannot be used ({error.strerror}): name another folder with --home or FEDGAI_COMPANION"
        ) from error
    return folder


def address(text: str) -> str:
    """A studio's address, https://HOST[:PORT], from what somebody typed. Raises CompanionError."""
    typed = text.strip().rstrip("/")
    try:
        url = httpx.URL(typed if "://" in typed else f"https://{typed}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme != "https" or not url.host or url.path not in ("", "/") or url.query or " " in url.host:
        raise CompanionError(f"{text[:80]!r} is not the address of a studio: write it like https://name.hf.space")
    return str(url).rstrip("/")


@dataclass(frozen=True)
class Settings:
    """The designer's answers.

    Attributes:
        server: https address of the studio.
        data: folder of the drawings; it never leaves this machine.
        name: what others see, with ``share_style``.
        share_style: send the style signature, so that others can draw in this hand; None while the designer has not
            chosen, and then it is not sent.
        description: a sentence about the hand, sent with the signature.
        preset: join only a federation with this preset; "" for any preset that this installation has.
        device: that training runs on, as torch names it.
        certificate: PEM file to trust for the server, "" for the system's.
        rounds: stop after so many updates; 0 for as long as it runs.
        budget: bytes that may leave in a round.
        local_epsilon, style_epsilon: local differential privacy of update and signature; 0 for none.
        size: side of the training square, px.
    """

    server: str
    data: str
    name: str
    share_style: bool | None = None
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
        """The same, with whole paths. Raises CompanionError or IdentityError for the first answer that cannot be used."""
        server, name = address(self.server), display_name(self.name)
        data = Path(self.data).expanduser()
        if not data.is_dir():
            raise CompanionError(f"there is no folder {data}: name the folder with your drawings (--data)")
        certificate = str(Path(self.certificate).expanduser().resolve()) if self.certificate else ""
        if certificate and not Path(certificate).is_file():
            raise CompanionError(
                f"there is no certificate file {certificate}: name the file that the people who run the studio gave you"
            )
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError):  # torch says it in many ways, and at length
            raise CompanionError(
                f"this machine has no device {self.device!r}: use --device cpu, which works on every machine"
            ) from None
        if self.budget < 1 or min(self.local_epsilon, self.style_epsilon, self.rounds) < 0:
            raise CompanionError(
                "a number cannot be used: --budget has to be 1 byte or more, and epsilon and --rounds cannot be below 0"
            )
        return replace(
            self,
            server=server,
            name=name,
            data=str(data.resolve()),
            certificate=certificate,
            description=self.description.strip()[:TEXT_LENGTH],
        )

    def save(self, folder: Path) -> None:
        """Write ``folder/settings.json``, whole at any moment. Raises CompanionError, OSError."""
        private_folder(folder)
        write_atomically(folder / SETTINGS_FILE, json.dumps(asdict(self), indent=1, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: Path) -> Settings | None:
        """Earlier answers; None if there are none. Raises CompanionError if the file is damaged."""
        file = folder / SETTINGS_FILE
        if not file.exists():
            return None
        try:
            return cls._from_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise CompanionError(f"{file} is damaged ({error}): delete it, then answer the questions again") from error

    @classmethod
    def _from_json(cls, text: str) -> Settings:
        """Raises ValueError for values of a wrong type: somebody may have edited the file."""
        answers: dict[str, Any] = json.loads(text)
        kinds: dict[str, Any] = {
            "share_style": (bool, type(None)),
            "rounds": int,
            "budget": int,
            "size": int,
            "local_epsilon": (int, float),
            "style_epsilon": (int, float),
        }
        known = {field.name: answers[field.name] for field in fields(cls) if field.name in answers}
        for name, value in known.items():
            if not isinstance(value, kinds.get(name, str)):
                raise ValueError(f"{name} is {value!r}")
        return cls(**known)


NodeConfig = dict[str, str | int | float | bool]


def node_config(folder: Path, settings: Settings, data: Path) -> NodeConfig:
    """The ClientApp's configuration (see client_app.py). Not one value of it comes from the server.

    Args:
        folder: HOME.
        settings: the designer's answers.
        data: the folder of pairs to train on.
    """
    return {
        "data": str(data),
        "out": str(folder / "model"),
        "name": settings.name,
        "share-style": bool(settings.share_style),
        "description": settings.description,
        "weights": str(WEIGHTS),
        "size": settings.size,
        "device": settings.device,
        "budget": settings.budget,
        "local-epsilon": settings.local_epsilon,
        "style-epsilon": settings.style_epsilon,
    }


def remember_leaving(folder: Path, server: str) -> None:
    """Note that the designer has left. Raises OSError."""
    write_atomically(folder / LEFT_FILE, json.dumps({"server": server}).encode())


def has_left(folder: Path, server: str) -> bool:
    """Whether the designer left this studio since the last time that they joined one."""
    try:
        left = json.loads((folder / LEFT_FILE).read_text(encoding="utf-8"))
        return isinstance(left, dict) and left.get("server") == server
    except (OSError, ValueError):
        return False


def forget_leaving(folder: Path) -> None:
    """The designer joins again. Raises OSError."""
    (folder / LEFT_FILE).unlink(missing_ok=True)
