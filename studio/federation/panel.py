"""The operator's panel: a page of its own, plain forms, behind a login. Without a password in the environment there is none.

What it does is done by federation/operator.py, as on the command line.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from federation import operator
from federation.server.folder import Folder
from fedgai.errors import FedGAIError, sentence
from studio.federation.logins import LASTS, Logins, caller
from studio.templating import render

PATH = "/federation/operator"
COOKIE, DEVICE_COOKIE = "fedgai-operator", "fedgai-device"
DEVICE_LASTS = 180 * 24 * 3600  # s
BODY = 16 * 1024  # bytes of a form
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Panel:
    """The page, and what its forms ask for.

    Args:
        folder: the federation's.
        password: the operator's; not empty.

    Raises:
        ValueError: the password is empty.
    """

    def __init__(self, folder: Folder, password: str) -> None:
        self.folder = folder
        self.logins = Logins(password, folder.secrets / "panel.key")
        self._messages: dict[bytes, str] = {}  # by login, to be shown once

    def act(self, form: dict[str, str]) -> str:
        """Do what a form asks for. Returns a sentence about it, also where it cannot be done."""
        try:
            return self._act(form)
        except (FedGAIError, OSError) as error:
            return sentence(error).replace(str(self.folder.path), "the federation's folder")

    def page(self, session: bytes) -> str:
        """The panel, of one login."""
        latest = self.folder.latest()
        asking: list[dict[str, Any]] = [
            {**knock, "suggestion": f"Designer {knock['fingerprint'][-4:]}"} for knock in operator.asking(self.folder)
        ]
        rounds = [{**row, "drawn": row["round"] == str(latest)} for row in reversed(operator.rounds(self.folder))]
        return html(
            "federation/panel.html",
            message=self._messages.pop(session, ""),
            token=self.logins.token(session),
            paused=bool(self.folder.control().get("paused")),
            status=self.folder.status(),
            asking=asking,
            members=operator.members(self.folder),
            rounds=rounds,
        )

    def routes(self) -> APIRouter:
        """Include them before Gradio is mounted."""
        router = APIRouter()
        router.add_api_route(PATH, self.show, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH, self.take, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """GET."""
        session = self.logins.session(request.cookies.get(COOKIE, ""))
        return _response(await run_in_threadpool(self.page, session) if session else html("federation/panel_login.html"))

    async def take(self, request: Request) -> Response:
        """POST: a password, or a form of the panel."""
        form = await _form(request)
        if form is None:
            return _response(html("federation/panel_page.html", message="This form is too long."), 413)
        session = self.logins.session(request.cookies.get(COOKIE, ""))
        if session is None:
            return self._login(request, form)
        if not hmac.compare_digest(form.get("token", "").encode(), self.logins.token(session).encode()):
            return _response(html("federation/panel_page.html", message="This form is not from the panel."), 403)
        answer = _again()
        if form.get("do") == "logout":
            self.logins.logout(session)
            answer.delete_cookie(COOKIE, path=PATH)
        else:
            self._messages[session] = await run_in_threadpool(self.act, form)
        return answer

    def _act(self, form: dict[str, str]) -> str:
        folder, name = self.folder, form.get("name", "")
        match form.get("do"):
            case "approve":
                # the key itself, never a path: on the command line a file may be named, and this is not its owner
                if not form.get("key", "").strip().startswith(("ssh-", "ecdsa-", "sk-")):
                    return "Paste the key itself: it begins with ecdsa-sha2-nistp384."
                return f"{operator.approve(folder, form['key'], name).name} is approved."
            case "admit":
                return f"{operator.approve_knock(folder, form.get('who', ''), name).name} is approved."
            case "revoke":
                return f"{operator.revoke(folder, form.get('who', '')).name} is revoked."
            case "pause":
                operator.pause(folder)
                return "The federation is paused."
            case "resume":
                operator.resume(folder)
                return "The federation goes on."
            case "rollback":
                text = form.get("round", "")
                number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
                operator.rollback(folder, number)
                return f"The studio draws with round {number}, and the next round starts from it."
        return "This page cannot do that."

    def _login(self, request: Request, form: dict[str, str]) -> Response:
        if "password" not in form:
            return _response(html("federation/panel_login.html", message="The login has ended: log in again."), 401)
        device = request.cookies.get(DEVICE_COOKIE, "")
        cookie, wait = self.logins.login(form["password"], caller(request.scope), device)
        if wait:
            message = f"Too many wrong passwords: try again in {minutes_of(wait)}."
            return _response(html("federation/panel_login.html", message=message), 429, {"retry-after": str(int(wait) + 1)})
        if not cookie:
            return _response(html("federation/panel_login.html", message="This is not the password."), 401)
        answer = _again()
        forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
        for name, value, lasts in ((COOKIE, cookie, LASTS), (DEVICE_COOKIE, self.logins.new_device(), DEVICE_LASTS)):
            answer.set_cookie(
                name,
                value,
                max_age=lasts,
                path=PATH,
                httponly=True,
                samesite="strict",
                secure="https" in (request.url.scheme, forwarded),
            )
        return answer


def minutes_of(seconds: float) -> str:
    """ "a minute", "2 minutes": rounded up."""
    minutes = int(seconds // 60) + 1
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def html(template: str, **values: Any) -> str:
    """A page of the panel."""
    return render(template, **{"message": "", "style": _style(), "studio": "../", **values})


@lru_cache(maxsize=1)
def _style() -> str:
    return Path(__file__).with_name("panel.css").read_text()


async def _form(request: Request) -> dict[str, str] | None:
    """A posted form. Returns None if it is longer than ``BODY``."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY:
            return None
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20, keep_blank_values=True)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _again() -> RedirectResponse:
    """To the page itself, so that a reload does nothing twice."""
    return RedirectResponse("operator", 303, HEADERS)


def _response(content: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(content, status, {**HEADERS, **(headers or {})})
