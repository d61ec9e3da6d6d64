"""Checks who sends a request: a member who was not revoked, by the key that signs the request."""

from __future__ import annotations

import datetime
import logging
import time

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key, load_ssh_public_key

from federation.identity import fingerprint
from federation.server.folder import Folder
from federation.server.members import Member
from federation.wire import CallRefusedError
from fedgai.model import CheckpointError
from fedgai.text import printable

log = logging.getLogger("fedgai.gateway")

OLDEST, NEWEST = 305, 5  # s: a signature's age before and after which the SuperLink refuses it


class UsedSignatures:
    """Nonces of the signatures seen, for as long as the SuperLink would take one again.

    They are kept in two halves, and the older half is dropped when even its newest nonce is too old. What one member can
    put in here is bounded by that member's request rate.
    """

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()
        self._since = time.monotonic()

    def __contains__(self, nonce: int) -> bool:
        return nonce in self._new or nonce in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, nonce: int) -> None:
        if time.monotonic() - self._since > OLDEST + NEWEST:
            self._new, self._old, self._since = set(), self._new, time.monotonic()
        self._new.add(nonce)


class UnknownKeyError(CallRefusedError):
    """A key that no member has. ``line`` is the key in OpenSSH's form; "" if it is not an ECDSA P-384 key."""

    def __init__(self, key: bytes) -> None:
        self.line = openssh_line(key)
        super().__init__(401, f"the key {fingerprint(self.line) if self.line else '?'} is not registered with this federation")

    def signed(self, timestamp: str, signature: bytes) -> bool:
        """Whether the request was signed with that key, just now. So nobody can ask in somebody else's name."""
        try:
            public = load_ssh_public_key(self.line.encode())
            if not isinstance(public, ec.EllipticCurvePublicKey):
                return False
            return -NEWEST < time.time() - verify(public, timestamp, signature) < OLDEST
        except ValueError:
            return False


class MemberKeys:
    """Checks keys and signatures. Follows members.json.

    Args:
        folder: the federation's.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._version: tuple[int, int, int] | None = None
        self._members: dict[bytes, tuple[Member, ec.EllipticCurvePublicKey]] = {}  # by the key, as Flower writes it (PEM)
        self._revoked: dict[bytes, Member] = {}
        self._signatures = UsedSignatures()
        self._started = time.time()

    def member(self, key: bytes) -> Member:
        """Whose key that is. Raises CallRefusedError; UnknownKeyError for a key that was never a member's."""
        self._follow()
        if key in self._members:
            return self._members[key][0]
        if key in self._revoked:
            raise CallRefusedError(401, f"the key of {self._revoked[key].name} was revoked")
        raise UnknownKeyError(key)

    def check(self, key: bytes, timestamp: str, signature: bytes) -> int:
        """Check the signature of a member's request.

        Returns:
            its nonce, for ``use``.

        Raises:
            CallRefusedError: it is not the member's, too old, or was used before.
        """
        member, public = self._members[key]
        try:
            signed = verify(public, timestamp, signature)
            nonce, _ = decode_dss_signature(signature)
        except ValueError:
            raise CallRefusedError(401, f"the signature is not that of {member.name}") from None
        age = time.time() - signed
        if not -NEWEST < age < OLDEST:
            direction = "behind" if age > 0 else "ahead"
            raise CallRefusedError(401, f"the clock of {member.name} is {abs(age):.0f} s {direction}")
        if nonce in self._signatures:
            raise CallRefusedError(401, f"this request of {member.name} was made before (replayed)")
        if signed < self._started:  # whether it was used before then is not known here; a SuperNode signs again
            reason = f"this request of {member.name} was signed before the federation started: sign again"
            raise CallRefusedError(503, reason, 1)
        return nonce

    def use(self, nonce: int) -> None:
        """Let nobody use this signature again."""
        self._signatures.add(nonce)

    def _follow(self) -> None:
        """Read members.json where it is not the one last read."""
        try:
            file = (self._folder.path / "members.json").stat()
            version = (file.st_mtime_ns, file.st_ino, file.st_size)
        except FileNotFoundError:
            version = None
        if version == self._version and version is not None:
            return
        try:
            everybody = self._folder.members()
        except CheckpointError as error:  # nobody knows who was revoked: nobody enters, nobody is sent away
            raise CallRefusedError(503, "the list of members cannot be read", 10) from error
        self._members, self._revoked = {}, {}
        for member in everybody:
            try:
                public = load_ssh_public_key(member.key.encode())
                pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            except (ValueError, TypeError, UnsupportedAlgorithm):  # one bad line keeps nobody else out
                name = printable(member.name, longest=100)
                log.warning("the key of %s in members.json cannot be read: approve %s again", name, name)
                continue
            if member.revoked or not isinstance(public, ec.EllipticCurvePublicKey):
                self._revoked[pem] = member
            else:
                self._members[pem] = (member, public)
        self._version = version


def verify(public: ec.EllipticCurvePublicKey, timestamp: str, signature: bytes) -> float:
    """When a request was signed, in seconds since the epoch. Raises ValueError where the signature does not fit."""
    try:
        signed = datetime.datetime.fromisoformat(timestamp).timestamp()
        public.verify(signature, timestamp.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    except (OverflowError, InvalidSignature) as error:
        raise ValueError("the signature does not fit") from error
    return signed


def openssh_line(key: bytes) -> str:
    """A public key (PEM) as one OpenSSH line, which an operator can approve; "" for anything but an ECDSA P-384 key."""
    try:
        public = load_pem_public_key(key)
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP384R1):
            return ""
        return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    except Exception:  # a stranger's bytes, and a parser: whatever it raises
        return ""
