"""The identity of a process on data connections: a key and a self-signed certificate of its own.

The certificate is registered with the coordinator, and the command of a transfer names the one at the other end.
Both ends accept exactly what they were told to: no authority vouches for anybody. The private key is made here,
and never leaves its folder.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from stackferry.errors import Error

VALID = timedelta(days=3650)
CLOCKS_DIFFER = timedelta(days=1)


class Stranger(Error):
    """The other end of a connection is not the one it was to be."""


@dataclass(frozen=True)
class Identity:
    """A key with its certificate in one PEM file, and the public certificate alone."""

    path: Path
    certificate: str

    @classmethod
    def read(cls, path: Path) -> Identity:
        """Return the identity in a file."""
        found = x509.load_pem_x509_certificate(path.read_bytes())
        return cls(path, found.public_bytes(serialization.Encoding.PEM).decode())


def identity(folder: Path, name: str, address: str | None = None) -> Identity:
    """Return the identity *name* of a folder; make it at the first start, or when it's for another address.

    Our own connections know each other by their certificates alone. Other programs also want to find the *address* in
    it that they connect to.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{name}.pem"
    if path.exists() and address and address not in _addresses(path):
        path.unlink()
    if not path.exists():
        _write_once(path, _make(name, address))
    return Identity.read(path)


def _addresses(path: Path) -> list[str]:
    extensions = x509.load_pem_x509_certificate(path.read_bytes()).extensions
    with suppress(x509.ExtensionNotFound):
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [str(name.value) for name in names]
    return []


def _named(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _make(name: str, address: str | None) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    serial, now = x509.random_serial_number(), datetime.now(UTC)
    # The name is for people, but OpenSSL finds a trust anchor by it: no two may have the same. 64 characters at most.
    words = f"{name} {serial:x}"[:40] + f" {socket.gethostname()}"[:24]
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, words)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)  # its own trust anchor
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if address:
        builder = builder.add_extension(x509.SubjectAlternativeName([_named(address)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _write_once(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by us alone; of two processes that do this at once, the first one wins."""
    descriptor, new = tempfile.mkstemp(dir=path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        os.unlink(new)


def readable(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the certificates in them, one in each, as PEM: a text that can't be read keeps nobody else out."""
    return tuple(found for text in texts if (found := _certificate(text)))


@lru_cache(maxsize=1024)
def _certificate(text: str) -> str | None:
    try:
        pem = x509.load_pem_x509_certificate(text.encode("ascii")).public_bytes(serialization.Encoding.PEM).decode()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)  # OpenSSL is stricter
    except (ValueError, OSError, x509.InvalidVersion):
        return None
    return pem


def serving(mine: Identity, accepted: Iterable[str]) -> ssl.SSLContext:
    """Return the context of the side that listens: *accepted* may connect."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, mine, accepted)
    context.num_tickets = 0  # nobody comes back
    return context


def connecting(mine: Identity, certificate: str) -> ssl.SSLContext:
    """Return the context of the side that connects to the holder of *certificate*."""
    if not (known := readable([certificate])):
        raise Stranger("the certificate that the other end has announced can't be read")
    return _context(ssl.PROTOCOL_TLS_CLIENT, mine, known)


def _context(protocol: int, mine: Identity, accepted: Iterable[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate is the name
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(mine.path)
    for certificate in accepted:
        context.load_verify_locations(cadata=certificate)
    return context


def check_peer(connection: ssl.SSLSocket, accepted: Iterable[str]) -> None:
    """Raise Stranger unless the peer showed one of these very certificates, and not one that they signed."""
    if connection.getpeercert(binary_form=True) not in {ssl.PEM_cert_to_DER_cert(text) for text in readable(accepted)}:
        raise Stranger("the other end has another certificate than was announced")
