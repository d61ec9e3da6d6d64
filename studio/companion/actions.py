"""What the window's buttons do: answers, drawings, the part in the federation, and the studio at home, for one designer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from federation.designer.dry_run import dry_run
from federation.designer.receipt import Receipt
from federation.designer.settings import CompanionError, Settings, address, has_left, private_folder
from federation.identity import fingerprint, make_key
from studio.companion.background import failure
from studio.companion.drawings import KINDS, DrawingsFolder
from studio.companion.hand_view import HandView
from studio.companion.home_process import HomeProcess
from studio.companion.participation import SHEETS_FIRST, Participation


class CompanionActions:
    """See above. All open pages show the same.

    Args:
        home: the companion's folder.
        certificate: PEM file to trust for the studio, where it was not answered before.
    Raises:
        FedGAIError, OSError: the folder cannot be used, or what was answered before cannot be read.

    Attributes:
        drawings, hand, part, studio: what is done with each, see drawings.py, hand_view.py, participation.py and home_process.py.
        answers: what the designer answered by now, complete or not.
        key, fingerprint: the designer's public key, and what the operator sees of it.
        sample: what would be sent now, once it was asked for.
    """

    def __init__(self, home: Path, certificate: str = "") -> None:
        self.home = private_folder(home)
        self.key = make_key(home / "key")
        self.fingerprint = fingerprint(self.key)
        known = Settings.load(home / "window") or Settings.load(home) or Settings("", "", "")
        self.answers = replace(known, certificate=known.certificate or certificate)
        self.sample: Receipt | None = None
        self.drawings = DrawingsFolder(home, lambda: self.answers)
        self.hand = HandView(home)
        self.part = Participation(home)
        self.studio = HomeProcess(home, self._say)
        self._own = self.answers.data  # the folder that the designer named last
        self._wants_to_join = False  # Join was pressed while something was missing
        if self.answers.data:
            self.drawings.look()

    def close(self) -> None:
        """End everything that runs here."""
        self.part.stop(wait=True)
        self.hand.close()
        self.studio.close()
        self.drawings.close()

    # -- answers ---------------------------------------------------------------------------------------------------------

    def answer(self, **changes: Any) -> None:
        """Keep what was answered so far, complete or not."""
        answers = replace(self.answers, **changes)
        if answers != self.answers:
            self.answers = answers
            try:
                answers.save(self.home / "window")
            except Exception as error:  # it is kept as long as the window is open
                self._say(failure(error))

    def missing(self) -> list[tuple[str, str, bool]]:
        """What is asked for before joining: what, the step of the page, whether it is there."""
        answers = self.answers
        return [
            ("Your drawings", "step-1", self.drawings.ready),
            ("Your name", "step-2", bool(answers.name.strip())),
            ("Your signature: shared or kept", "step-2", answers.share_style is not None),
            ("The studio", "step-3", bool(answers.server.strip())),
        ]

    # -- drawings --------------------------------------------------------------------------------------------------------

    def choose(self, kind: str) -> None:
        """Look at the copies of another kind, or at the folder that was named."""
        if kind in KINDS and kind != self.drawings.kind:
            if self.drawings.kind == "folder":
                self._own = self.answers.data
            self._use(self._own if kind == "folder" else self.drawings.folder_of(kind))

    def dropped(self, kind: str) -> None:
        """Files of a kind were copied: use them from now on."""
        if kind in KINDS[:3]:
            self._use(self.drawings.folder_of(kind))

    def name_folder(self, folder: str) -> None:
        """Use a folder of the designer's own, where it lies."""
        path = Path(folder.strip().strip("'\"")).expanduser()
        if not folder.strip() or not path.is_dir():
            self.drawings.found = None
            self.drawings.trouble = f"There is no folder {path}. Copy its whole path, as your file manager shows it."
            return
        self._use(str(path.resolve()))

    def remove(self, name: str) -> None:
        """Take a copied file away again."""
        self._forget()
        self.drawings.remove(name)

    def correct(self, sheet: str, how: str, boxes: list[int]) -> None:
        """Change where a sheet's drawings are, see ``DrawingsFolder.correct``."""
        self._forget()
        self.drawings.correct(sheet, how, boxes)

    def show_sample(self) -> None:
        """Find out what exactly would be sent."""
        self.drawings.do("packing what would be sent; nothing is sent", self._make_sample)

    def show_hand(self) -> None:
        """Find out how the hand will look to others."""
        try:
            self._need_drawings()
        except Exception as error:
            self.hand.fail(failure(error))
            return
        self.hand.start(self.answers)

    def _forget(self) -> None:
        """What was made of the drawings, for they are others now."""
        self.sample = None
        self.hand.forget()

    def _use(self, data: str) -> None:
        self._forget()
        self.answer(data=data)
        self.drawings.look()

    def _make_sample(self) -> None:
        answers = self.answers
        self._need_drawings()
        local = replace(answers, server=answers.server or "https://localhost", name=answers.name or "designer")
        self.sample = dry_run(self.home, local, self.drawings.progress)

    # -- the federation --------------------------------------------------------------------------------------------------

    @property
    def notice(self) -> str:
        """What is still missing, once Join was pressed; else how the last thing ended. "" for nothing."""
        if self._wants_to_join:
            try:
                self._complete()
            except Exception as error:
                return failure(error)
        return self.part.notice

    def join(self) -> None:
        """Take part. What is missing becomes the notice, until it is there."""
        self._say("")
        try:
            settings = self._complete()
        except Exception:
            self._wants_to_join = True
            return
        try:
            settings.save(self.home)
        except Exception as error:
            self._say(failure(error))
            return
        self.part.join(settings)

    @property
    def left(self) -> bool:
        """Whether the designer left the studio that is named, here or in a terminal, and has not joined again."""
        try:
            return has_left(self.home, address(self.answers.server))
        except CompanionError:
            return False

    def leave(self) -> None:
        """Leave, once it was asked and confirmed. It needs no drawings."""
        try:
            settings = replace(self.answers, server=address(self.answers.server))
        except CompanionError:
            self.part.stay()
            self._say("Write the address of the studio that you want to leave, in step 3.")
            return
        self.part.leave(settings)

    def _say(self, text: str) -> None:
        self.part.notice, self._wants_to_join = text, False

    def _need_drawings(self) -> None:
        """Raises CompanionError where there are none to learn from, with the true reason."""
        drawings = self.drawings
        if drawings.ready:
            return
        if drawings.looking:
            raise CompanionError("the companion is still looking at your drawings: wait a moment, then press the button again")
        if drawings.trouble:
            raise CompanionError(drawings.trouble)
        if drawings.sheets and not drawings.accepted:
            raise CompanionError(SHEETS_FIRST)
        raise CompanionError("there is no drawing yet: add some in step 1")

    def _complete(self) -> Settings:
        """The answers, if they are all there. Raises FedGAIError."""
        answers = self.answers
        self._need_drawings()
        if not answers.name.strip():
            raise CompanionError("write the name that others shall see, in step 2")
        if answers.share_style is None:
            raise CompanionError("choose in step 2 whether you share your signature or keep it")
        if not answers.server.strip():
            raise CompanionError("write the studio's address in step 3; the people who run it know it")
        return answers.checked()
