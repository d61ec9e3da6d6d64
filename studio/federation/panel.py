"""The operator's panel: a page of its own, plain forms, behind a login. Without a password in the environment there is none.

What it does is done by federation/operator.py, as on the command line.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from federation import operator
from federation.server.folder import Folder
from fedgai.model import CheckpointError

PATH = "/federation/operator"
COOKIE = "fedgai-operator"
LASTS = 8 * 3600  # s that a login lasts
TRIES, EVERYBODY, WINDOW = 5, 50, 300  # wrong passwords of one address, of all of them, in so many seconds
BODY = 16 * 1024  # bytes of a form
STYLE = (Path(__file__).parent / "panel.css").read_text()
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Attempts:
    """Wrong passwords of late. Once there are too many, not even the right one is looked at."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again, or 0."""
        now = time.monotonic()
        for key in list(self._wrong):
            self._wrong[key] = [t for t in self._wrong[key] if now - t < WINDOW]
            if not self._wrong[key]:
                del self._wrong[key]
        mine, everybodys = self._wrong.get(address, []), sorted(t for times in self._wrong.values() for t in times)
        until = [times[-most] + WINDOW for times, most in ((mine, TRIES), (everybodys, EVERYBODY)) if len(times) >= most]
        return max([t - now for t in until], default=0.0)

    def wrong(self, address: str) -> None:
        self._wrong.setdefault(address, []).append(time.monotonic())


class Panel:
    """Logins and what is done with them.

    Args:
        folder: the federation's.
        password: what the operator says; not empty.
        address: who asks, for counting wrong passwords.
    """

    def __init__(self, folder: Folder, password: str, address: Callable[[dict], str]) -> None:
        if not password:
            raise ValueError("an empty password would let anybody in")
        self.folder, self.address = folder, address
        self._password = hashlib.sha256(password.encode()).digest()
        self._attempts = Attempts()
        self._logins: dict[bytes, float] = {}  # SHA-256 of the cookie -> when it ends; a copy of this lets nobody in
        self._said: dict[bytes, str] = {}
        self._lock = threading.Lock()

    # -- logins ----------------------------------------------------------------------------------------------------------

    def login(self, password: str, address: str) -> tuple[str, float]:
        """-> a cookie and 0; or "" and how long to wait, in seconds, before the next try."""
        with self._lock:
            if wait := self._attempts.wait(address):
                return "", wait
            # digests have one length: neither it nor where they differ shows in the time this takes
            if not hmac.compare_digest(hashlib.sha256(password.encode()).digest(), self._password):
                self._attempts.wrong(address)
                return "", self._attempts.wait(address)
            cookie = secrets.token_urlsafe(32)
            now = time.monotonic()
            self._logins = {k: t for k, t in self._logins.items() if t > now} | {_digest(cookie): now + LASTS}
            return cookie, 0.0

    def known(self, cookie: str) -> bytes | None:
        """What a login is kept under, or None where it is none or has ended."""
        key = _digest(cookie)
        with self._lock:
            return key if self._logins.get(key, 0) > time.monotonic() else None

    def logout(self, key: bytes) -> None:
        with self._lock:
            self._logins.pop(key, None)

    # -- what is asked for -----------------------------------------------------------------------------------------------

    def act(self, form: dict[str, str]) -> str:
        """Do what a form asks for. Returns a sentence about it, also where it cannot be done."""
        folder = self.folder
        try:
            match form.get("do"):
                case "approve":
                    # the key itself, never a path: on the command line a file may be named, and this is not its owner
                    if not form.get("key", "").strip().startswith(("ssh-", "ecdsa-", "sk-")):
                        return "Paste the key's line: it begins with ecdsa-sha2-nistp384."
                    return f"{operator.approve(folder, form['key'], form.get('name', '')).name} is approved."
                case "revoke":
                    return f"{operator.revoke(folder, form.get('who', '')).name} is revoked."
                case "pause":
                    operator.pause(folder)
                    return "The federation is paused."
                case "resume":
                    operator.resume(folder)
                    return "The federation goes on."
                case "rollback":
                    number = int(form["round"]) if form.get("round", "").isdecimal() else -1
                    operator.rollback(folder, number)
                    return f"The studio draws with round {number}, and the next round starts from it."
        except (ValueError, CheckpointError, OSError) as error:
            said = str(error).replace(str(folder.path), "the federation's folder")
            return f"{said[:1].upper()}{said[1:]}".rstrip(".") + "."
        return "That is nothing this page can do."

    def page(self, key: bytes) -> str:
        """The panel, of one login."""
        token = f'<input type="hidden" name="token" value="{self.token(key)}">'
        paused = self.folder.control().get("paused")
        said = self._said.pop(key, "")
        members = "".join(
            f'<tr><th scope="row">{escape(m["name"])}</th><td class="{escape(m["state"])}">{escape(m["state"])}</td>'
            f"<td><code>{escape(m['fingerprint'])}</code></td><td>{escape(m['since'][:10])}</td><td>"
            + ("" if m["state"] == "revoked" else f'<form method="post">{token}<input type="hidden" name="who" '
               f'value="{escape(m["fingerprint"])}"><button name="do" value="revoke">Revoke</button></form>')
            + "</td></tr>"
            for m in operator.members(self.folder)
        )
        latest = self.folder.latest()
        rounds = "".join(
            f'<tr><th scope="row">{escape(r["round"])}</th><td>{escape(r["finished"][:16].replace("T", " "))}</td>'
            f"<td>{escape(r['designers'])}</td><td>{escape(r['state'])}"
            + (f", epsilon {escape(r['epsilon'])} so far" if r["epsilon"] else "") + "</td><td>"
            + ("" if str(latest) == r["round"] else f'<form method="post">{token}<input type="hidden" name="round" '
               f'value="{escape(r["round"])}"><button name="do" value="rollback">Draw with it</button></form>')
            + "</td></tr>"
            for r in reversed(operator.rounds(self.folder))
        )
        turn = ("resume", "Resume") if paused else ("pause", "Pause")
        status = self.folder.status()
        return document(
            (f'<p class="said" role="status">{escape(said)}</p>' if said else "")
            + f"""<section><h2>State</h2><p>{"Paused" if paused else escape(status.phase.capitalize())}, round {status.round},
            {len(status.online)} online. {escape(status.note)}</p>
            <form method="post">{token}<button name="do" value="{turn[0]}">{turn[1]}</button></form></section>
            <section><h2>Approve a designer</h2><form method="post" class="stacked">{token}
            <label>Name that others see<input name="name" maxlength="40" required autocomplete="off"></label>
            <label>Public key, one line<textarea name="key" rows="3" required spellcheck="false"
            placeholder="ecdsa-sha2-nistp384 AAAA…"></textarea></label>
            <button class="main" name="do" value="approve">Approve</button></form></section>
            <section><h2>Members</h2>{_table(members, "Name", "State", "Key", "Since")
                                      or "<p>Nobody is approved yet.</p>"}</section>
            <section><h2>Rounds</h2>{_table(rounds, "Round", "Finished", "Designers", "State")
                                     or "<p>There is no checkpoint yet.</p>"}</section>
            <form method="post" class="bye">{token}<button name="do" value="logout">Log out</button></form>"""
        )

    def token(self, key: bytes) -> str:
        """In every form: a page of somebody else's cannot know it."""
        return hmac.new(self._password, key, "sha256").hexdigest()

    # -- HTTP ------------------------------------------------------------------------------------------------------------

    def routes(self) -> APIRouter:
        """Include them before Gradio is mounted."""
        router = APIRouter()
        router.add_api_route(PATH, self.show, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route(PATH, self.take, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        key = self.known(request.cookies.get(COOKIE, ""))
        return _html(await run_in_threadpool(self.page, key) if key else login_page())

    async def take(self, request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return _html(document("<p>This form is too long.</p>"), 413)
        key = self.known(request.cookies.get(COOKIE, ""))
        if key is None:
            if "password" not in form:
                return _html(login_page("The login has ended: log in again."), 401)
            cookie, wait = self.login(form["password"], self.address(request.scope))
            if wait:
                return _html(login_page(f"Too many wrong passwords: try again in {minutes_of(wait)}."), 429,
                             {"retry-after": str(int(wait) + 1)})
            if not cookie:
                return _html(login_page("This is not the password."), 401)
            answer = _again()
            secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").split(",")[0].strip())
            answer.set_cookie(COOKIE, cookie, max_age=LASTS, path=PATH, httponly=True, samesite="strict", secure=secure)
            return answer
        if not hmac.compare_digest(form.get("token", "").encode(), self.token(key).encode()):
            return _html(document("<p>This form is not from the panel.</p>"), 403)
        answer = _again()
        if form.get("do") == "logout":
            self.logout(key)
            answer.delete_cookie(COOKIE, path=PATH)
        else:
            self._said[key] = await run_in_threadpool(self.act, form)
        return answer


def login_page(said: str = "") -> str:
    return document(f"""<form method="post" class="login">{f'<p class="said" role="alert">{escape(said)}</p>' if said else ""}
    <label>Operator's password<input type="password" name="password" required autofocus autocomplete="current-password"></label>
    <button class="main">Log in</button></form>""")


def document(body: str) -> str:
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>FedGAI Studio, operator</title>
    <meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
    <style>{STYLE}</style></head><body><header><h1>FedGAI <em>Operator</em></h1><a href="/">To the studio</a></header>
    <main>{body}</main></body></html>"""


def minutes_of(seconds: float) -> str:
    minutes = int(seconds // 60) + 1
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _table(rows: str, *heads: str) -> str:
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    return f'<div class="table"><table><thead><tr>{head}<td></td></tr></thead><tbody>{rows}</tbody></table></div>' if rows else ""


async def _form(request: Request) -> dict[str, str] | None:
    """A posted form; None where it is longer than ``BODY``."""
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
    return RedirectResponse(PATH, 303, HEADERS)


def _html(content: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    return HTMLResponse(content, status, {**HEADERS, **(headers or {})})


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
