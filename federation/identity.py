"""Who somebody is: a designer's key and name, and the certificates of this machine's own servers.

Both sides of the federation use it: the designer's machine makes the key, the server's lets it in.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_ssh_public_key

from fedgai.errors import FedGAIError

NAME_LENGTH = 40
KEYGEN = "ssh-keygen -t ecdsa -b 384"


class IdentityError(FedGAIError):
    """A key or a name that cannot be used; the message is one line for people."""


def make_key(path: str | Path) -> str:
    """A designer's key (ECDSA P-384, as ``ssh-keygen -t ecdsa -b 384`` makes it), unless it is there already.

    Args:
        path: of the private key, readable by its owner alone; the public one is written beside it as ``PATH.pub``.
    Returns:
        the public key as one OpenSSH line, which the operator needs.
    """
    path = Path(path)
    public = path.with_name(path.name + ".pub")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP384R1())
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        public.write_bytes(line + b"\n")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return public.read_text().strip()


def public_key(text: str) -> str:
    """An OpenSSH public key without its comment, from a file's path or the line itself. Raises IdentityError."""
    text = text.strip()
    if not text.startswith(("ssh-", "ecdsa-", "sk-", "-----")):
        try:
            text = Path(text).expanduser().read_text(errors="replace").strip()
        except (OSError, ValueError) as error:
            raise IdentityError(f"{text[:80]!r} is neither a key nor a file that can be read") from error
    if "PRIVATE KEY" in text:
        raise IdentityError("this is a private key, which must stay with its designer: give the file that ends in .pub")
    line = " ".join(text.splitlines()[0].split()[:2]) if text else ""
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"this is not an OpenSSH public key: make one with {KEYGEN}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise IdentityError(f"an ecdsa-sha2-nistp384 key is needed, and this is {line.split()[0]}: make one with {KEYGEN}")
    return line


def display_name(name: str) -> str:
    """The name as it will be shown. Raises IdentityError where it is not 1 to 40 printable characters."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
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
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        )  # fmt: skip

    authority = builder(issuer, authority_key.public_key(), ca=True).sign(authority_key, hashes.SHA256())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    server = builder(subject, key.public_key(), ca=False).add_extension(names, critical=False)
    server = server.sign(authority_key, hashes.SHA256())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, content in (
        ("ca.pem", authority.public_bytes(serialization.Encoding.PEM)),
        ("server.pem", server.public_bytes(serialization.Encoding.PEM)),
        ("server.key", private),
    ):
        aside = folder / f".{name}"
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(content)
        os.replace(aside, folder / name)
