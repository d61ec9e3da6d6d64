"""What the companion asks the studio itself; everything else goes through the proxy (proxy.py)."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from federation.bundle import build_app
from federation.designer.flower_objects import now, public_key_to_bytes, sign_message
from federation.designer.network import route, untrusted, untrusted_sentence
from federation.designer.settings import CompanionError, Settings
from federation.wire import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from fedgai import __version__
from fedgai.model import FedGAI
from fedgai.shipped import WEIGHTS

PATIENCE = 15.0  # s for the studio to answer a question


class AwayError(CompanionError):
    """The studio does not answer as it should. Asking again later may help."""


class UntrustedError(AwayError):
    """The studio shows a certificate that this machine does not trust. Waiting helps only in a network that asks to sign in."""


@cache
def release_hash() -> str:
    """SHA-256 of the Flower app that this installation makes: no other program runs here."""
    return hashlib.sha256(build_app()).hexdigest()


class StudioClient:
    """Asks a studio.

    Args:
        settings: whose ``server`` and ``certificate`` count.
    Raises:
        VariableError, CertificateError: see ``network.route``.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        way = route(settings.server, settings.certificate)
        self._client = httpx.Client(verify=way.trust, proxy=way.proxy, trust_env=False, timeout=PATIENCE, follow_redirects=False)

    def status(self) -> dict[str, Any]:
        """The federation's public status (see ``gateway.public_status``). Raises AwayError."""
        return self._json(self._ask("GET", "/federation/status"))

    def check(self) -> dict[str, Any]:
        """The status, of a federation that this installation can take part in.

        Raises:
            AwayError: see ``status``.
            CompanionError: the studio has another release, program or preset. Nothing was sent.
        """
        status = self.status()
        remote, own = str(status.get("app_hash") or "")[:12], release_hash()[:12]
        if status.get("version") != __version__ or (remote and remote != own):
            raise CompanionError(
                f"{self.settings.server} runs FedGAI {str(status.get('version'))[:20]} (program {remote or 'unknown'}), and this "
                f"machine has {__version__} (program {own}). Only the same program runs here: install the studio's release, or "
                "ask the people who run it"
            )
        if self.settings.preset and status.get("preset") and status["preset"] != self.settings.preset:
            raise CompanionError(
                f"the federation uses the preset {str(status['preset'])[:20]}, and you asked for "
                f"{self.settings.preset}: leave --preset out, or ask the people who run the studio"
            )
        if status.get("encoder") and status["encoder"] != FedGAI.load(WEIGHTS).encoder_sha256:
            raise CompanionError(
                "the federation uses another encoder than this installation: ask the people who run the studio which weights "
                "it started with"
            )
        return status

    def leave(self, key: Path) -> str:
        """End the membership. Returns the name that the member had. Raises CompanionError."""
        private = load_ssh_private_key(key.read_bytes(), None)
        assert isinstance(private, EllipticCurvePrivateKey)  # make_key makes no other
        moment = now().isoformat()
        headers = {
            KEY_HEADER: base64.b64encode(public_key_to_bytes(private.public_key())).decode(),
            TIMESTAMP_HEADER: moment,
            SIGNATURE_HEADER: base64.b64encode(sign_message(private, moment.encode("ascii"))).decode(),
        }
        answer = self._ask("POST", "/federation/leave", headers)
        if answer.status_code == 401:
            raise CompanionError(f"{self.settings.server} does not know this key: you are not a member there")
        return str(self._json(answer).get("left", ""))

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        server = self.settings.server
        try:
            return self._client.request(method, server + path, headers=headers)
        except httpx.TimeoutException:
            raise AwayError(f"{server} does not answer: waiting for it") from None
        except httpx.ProxyError as error:
            raise AwayError(
                f"the proxy of this network does not let this machine through to {server} ({error}): trying again"
            ) from None
        except httpx.HTTPError as error:
            if reason := untrusted(error):
                raise UntrustedError(untrusted_sentence(server, reason)) from None
            raise AwayError(f"{server} cannot be reached: check whether this machine is online") from None

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        server = self.settings.server
        if answer.is_redirect:
            where = answer.headers.get("location", "")[:80]
            raise AwayError(f"{server} redirects this machine to {where}, which the companion does not follow: check the address")
        if answer.status_code in (502, 503, 504):
            raise AwayError(f"{server} is waking up, which can take some minutes: waiting")
        try:
            content = answer.raise_for_status().json()
            if isinstance(content, dict):
                return content
        except (httpx.HTTPStatusError, ValueError):
            pass
        if answer.status_code == 404 or "html" in answer.headers.get("content-type", ""):
            raise AwayError(f"{server} answers, but has no federation at the moment: check the address")
        raise AwayError(f"{server} answers with an error ({answer.status_code}): trying again")
