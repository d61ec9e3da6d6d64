"""Who is approved under which name and key, and what becomes of somebody who leaves."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

pytest.importorskip("flwr")

from dataclasses import replace

from federation.identity import IdentityError, display_name, make_key, public_key
from federation.server.folder import Folder
from federation.server.look_alikes import resembled
from federation.server.members import MemberError, approve, revoke
from federation.server.report import RoundReport
from fedgai.model import FedGAI


def line() -> str:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


# -- keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 64, 76])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n    ", "\n\n"])
def test_a_key_that_is_broken_over_lines(width: int, newline: str) -> None:
    key = line()
    broken = newline.join(textwrap.wrap(key, width, break_on_hyphens=False))
    assert public_key(broken) == public_key(f"  {broken} ada@home\n") == key


def test_a_key_whose_comment_could_be_base64() -> None:
    key = line()
    assert public_key(f"{key} ada") == public_key(f"{key} AAAA AAAA") == key


@pytest.mark.parametrize("text", ["ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384 AAAA", "", "ssh-rsa AAAA", "ecdsa-" + "A" * 10**6])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(IdentityError):
        public_key(text)


def test_a_lost_public_key_is_made_again(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    assert make_key(tmp_path / "key") == key
    (tmp_path / "key.pub").unlink()
    (tmp_path / "key").write_text("damaged")
    with pytest.raises(IdentityError, match="cannot be read"):
        make_key(tmp_path / "key")


# -- names ---------------------------------------------------------------------------------------------------------------

CYRILLIC_A, CYRILLIC_O, UKRAINIAN_I = "\u0410", "\u043e", "\u0456"
LOOK_ALIKES = [
    f"{CYRILLIC_A}iko",
    f"A{UKRAINIAN_I}ko",
    "A\N{LATIN SMALL LETTER DOTLESS I}ko",
    "Aik\N{GREEK SMALL LETTER OMICRON}",
    "\N{FULLWIDTH LATIN CAPITAL LETTER A}iko",
    "AIKO",
    "A i k o",
    f"Aik{CYRILLIC_O}",
    f"{CYRILLIC_A}{UKRAINIAN_I}k{CYRILLIC_O}",
    "A1ko",
    "a1k0",
    "Aik0",
    "A|ko",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_name_that_looks_like_another(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path)
    approve(folder, line(), "Aiko")
    with pytest.raises(MemberError, match=r"'Aiko'|is taken"):
        approve(folder, line(), name)
    assert [m.name for m in folder.members()] == ["Aiko"]


def test_names_that_differ_to_the_eye() -> None:
    pairs = ("Aiko", "Akio"), ("Zoë", "Zoe"), ("Ana", "Anna"), ("Дмитрий", "Dmitri"), ("さくら", "サクラ"), ("Bob", "Rob")
    numbered = [(f"Studio {a}", f"Studio {b}") for a in range(10) for b in range(10) if a != b]
    for name, other in [*pairs, ("Alko", "Aiko"), ("Ai", "Al"), *numbered]:
        assert resembled(name, [other]) is None, (name, other)


@pytest.mark.parametrize(
    ("name", "other"),
    [("Brun0", "Bruno"), ("Ce1este", "Celeste"), ("8runo", "Bruno"), ("5usan", "Susan"), ("2oe", "Zoe"), ("6oro", "Goro")],
)
def test_a_digit_in_place_of_a_letter(name: str, other: str) -> None:
    assert resembled(name, [other]) == other and resembled(other, [name]) == name


def test_a_name_like_that_of_a_hand_in_the_bank(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder = Folder(tmp_path)
    folder.publish(0, FedGAI.load(tiny_model_dir), RoundReport.read({"round": 0}))
    with pytest.raises(MemberError, match="looks like 'Ada Line'"):
        approve(folder, line(), "\N{CYRILLIC CAPITAL LETTER A}da Line")
    assert approve(folder, line(), "Ada Line").name == "Ada Line"  # an atelier's name may be its designer's


INVISIBLE = ["A\u200biko", "A\ufe0fiko", "\u3164", "\u2800", "Aiko\u034f", "\u202eokiA"]


@pytest.mark.parametrize("name", ["", " ", "x" * 41, "a\nb", *INVISIBLE])
def test_characters_that_nobody_sees(name: str) -> None:
    with pytest.raises(IdentityError, match="printable"):
        display_name(name)


def test_one_spelling_of_a_name() -> None:
    assert display_name("  Zoe\u0308   K. ") == "Zoë K."


# -- leaving -------------------------------------------------------------------------------------------------------------


def test_who_leaves_is_taken_out_of_every_bank_at_once(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder, model = Folder(tmp_path), FedGAI.load(tiny_model_dir)
    ateliers, neutral = list(model.styles), model.neutral
    ada, bruno = approve(folder, line(), "Ada"), approve(folder, line(), "Coco Blot")
    folder.change_members(lambda ms: [replace(m, node_id=i + 1) for i, m in enumerate(ms)])
    for member in (ada, bruno):
        hand = model.styles["Ada Line"]
        model.add_style(replace(hand, style=hand.style.clone(), name=member.name, extra={"designer": 5}))
    for number in (0, 1, 2):
        folder.publish(number, model, RoundReport(round=number))
    (tmp_path / "signatures").mkdir()
    (tmp_path / "signatures" / "1.safetensors").write_bytes(b"arrived")
    revoke(folder, "Ada")
    for number in (0, 1, 2):
        left = FedGAI.load(folder.checkpoint(number))
        assert list(left.styles) == ateliers  # Bruno draws under an atelier's name, in its place
        assert torch.equal(left.neutral, neutral)
    assert not (tmp_path / "signatures" / "1.safetensors").exists()
    folder.publish(3, model, RoundReport(round=3))  # a round that was under way when she left
    assert "Ada" not in folder.hands() and "Coco Blot" in folder.hands()
    folder.change_members(lambda ms: [replace(m, revoked="2026") for m in ms])
    folder.forget_hands()
    assert "Coco Blot" not in folder.hands()


def test_an_atelier_stays_whoever_leaves_under_its_name(tmp_path: Path, tiny_model_dir: Path) -> None:
    folder, model = Folder(tmp_path), FedGAI.load(tiny_model_dir)
    folder.publish(0, model, RoundReport.read({"round": 0}))
    approve(folder, line(), "Ada Line")
    revoke(folder, "Ada Line")
    assert folder.hands() == list(model.styles)
