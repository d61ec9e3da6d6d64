"""A designer's key and name, and the certificates of this machine's own servers.

Both sides of the federation use it: the designer's machine makes the key, the server's lets it in.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from fedgai.errors import FedGAIError
from fedgai.files import write_atomically

NAME_LENGTH = 40
KEYGEN = "ssh-keygen -t ecdsa -b 384"
_KEY_CHARACTERS = 4096  # of a public key's file, at most
# printable by their class, but invisible: fillers, joiners, variation selectors, the empty braille pattern
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


class IdentityError(FedGAIError):
    """A key or a name that cannot be used; the message is one line for people."""


def make_key(path: str | Path) -> str:
    """A designer's key (ECDSA P-384, as ``ssh-keygen -t ecdsa -b 384`` makes it), unless it is there already.

    Args:
        path: of the private key, readable by its owner alone; the public one is written beside it as ``PATH.pub``.

    Returns:
        the public key as one OpenSSH line, which the operator needs.

    Raises:
        IdentityError: the key that is there already cannot be read.
    """
    path = Path(path)
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return public.read_text().strip()
    if path.exists():
        key = _private_key(path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP384R1())
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    write_atomically(public, line + b"\n", 0o644)
    if not path.exists():
        write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return line.decode()


def public_key(text: str) -> str:
    """An OpenSSH public key without its comment.

    Args:
        text: the key itself, in one line or broken over several (as mail programs do it), or the path of its file.

    Returns:
        one line, "ecdsa-sha2-nistp384 AAAA...".

    Raises:
        IdentityError: it is not such a key; one sentence says what to do.
    """
    text = text.strip()
    if not text.startswith(("ssh-", "ecdsa-", "sk-", "-----")):
        try:
            with Path(text).expanduser().open(errors="replace") as file:
                text = file.read(_KEY_CHARACTERS).strip()
        except (OSError, ValueError, RuntimeError) as error:
            raise IdentityError(
                f"{text[:80]!r} is neither a key nor a file that can be read: give a designer's key, or its .pub file"
            ) from error
    if "PRIVATE KEY" in text:
        raise IdentityError("this is a private key, which must stay with its designer: give the file that ends in .pub")
    kind, *words = text[:_KEY_CHARACTERS].split() or [""]
    for end in range(1, len(words) + 1):  # of a key in one line, the second word; what follows is a comment
        line = f"{kind} {''.join(words[:end])}"
        try:
            key = load_ssh_public_key(line.encode())
        except (ValueError, UnsupportedAlgorithm):
            continue
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise IdentityError(f"an ecdsa-sha2-nistp384 key is needed, and this is {kind}: make one with {KEYGEN}")
        return line
    raise IdentityError(f"this is not an OpenSSH public key: make one with {KEYGEN}")


def display_name(name: str) -> str:
    """The name as it will be shown, in Unicode's composed form, with single spaces.

    Raises:
        IdentityError: it is not 1 to 40 printable characters, or has characters that nobody sees.
    """
    name = re.sub(" +", " ", unicodedata.normalize("NFC", name)).strip()
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable() or _INVISIBLE.search(name):
        raise IdentityError(f"a name has 1 to {NAME_LENGTH} printable characters")
    return name


def fingerprint(key: str) -> str:
    """As ``ssh-keygen -l`` shows it: SHA256:..."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def make_certificate(folder: Path) -> None:
    """Write ca.pem, server.pem and server.key for this machine's loopback. The authority's key is never written."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "FedGAI host")])
    now = datetime.now(UTC)

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        usage = x509.KeyUsage(True, False, False, False, False, ca, ca, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        )

    authority = builder(issuer, authority_key.public_key(), ca=True).sign(authority_key, hashes.SHA256())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    unsigned = builder(subject, key.public_key(), ca=False).add_extension(names, critical=False)
    server = unsigned.sign(authority_key, hashes.SHA256())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {
        "ca.pem": authority.public_bytes(serialization.Encoding.PEM),
        "server.pem": server.public_bytes(serialization.Encoding.PEM),
        "server.key": private,
    }
    for name, content in files.items():
        write_atomically(folder / name, content)


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except (OSError, ValueError, UnsupportedAlgorithm, TypeError) as error:
        raise IdentityError(f"the key {path} cannot be read: restore the file, or delete it to get a new key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"the key {path} is not an ECDSA P-384 key: delete it to get a new key")
    return key
