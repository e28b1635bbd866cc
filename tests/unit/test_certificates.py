"""Data connections: both ends accept exactly the certificates that they were told of."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from stackferry_runtime.certificates import Identity, Stranger, check_peer, connecting, identity, serving


@pytest.fixture
def make(tmp_path: Path) -> Any:
    return lambda folder, name="importer": identity(tmp_path / folder, name)


def talk(server: Identity, accepted: list[str], client: Identity, expected: str) -> bytes:
    """Connect over loopback and send a word; return what the server took, or raise what either side raised."""
    errors: list[Exception] = []
    taken = b""

    def serve() -> None:
        nonlocal taken
        raw, _ = listener.accept()
        raw.settimeout(5)
        try:
            with serving(server, accepted).wrap_socket(raw, server_side=True) as connection:
                check_peer(connection, accepted)
                taken = connection.recv(5)
                connection.sendall(b"x")
        except (OSError, Stranger) as error:
            errors.append(error)
            raw.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            raw = socket.create_connection(listener.getsockname(), timeout=5)
            with connecting(client, expected).wrap_socket(raw) as connection:
                check_peer(connection, [expected])
                assert connection.version() == "TLSv1.3"
                connection.sendall(b"hello")
                connection.recv(1)
        finally:
            raw.close()
            thread.join()
    if errors:
        raise errors[0]
    return taken


def test_those_who_know_each_other_talk(make: Any) -> None:
    server, client = make("a", "exporter"), make("b")
    assert talk(server, [client.certificate], client, server.certificate) == b"hello"


def test_the_right_one_of_several_with_one_name_is_found(make: Any) -> None:
    server, one, other = make("a", "exporter"), make("b"), make("c")
    for client in (one, other):
        assert talk(server, [one.certificate, other.certificate], client, server.certificate) == b"hello"


def test_a_server_refuses_a_stranger(make: Any) -> None:
    server, client, stranger = make("a", "exporter"), make("b"), make("c")
    with pytest.raises((OSError, Stranger)):
        talk(server, [client.certificate], stranger, server.certificate)


def test_a_client_refuses_another_server(make: Any) -> None:
    server, client, other = make("a", "exporter"), make("b"), make("c", "exporter")
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(server, [client.certificate], client, other.certificate)


def test_a_client_without_a_certificate_is_refused(make: Any, tmp_path: Path) -> None:
    server, client = make("a", "exporter"), make("b")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=server.certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        raw = socket.create_connection(listener.getsockname(), timeout=5)
        accepted, _ = listener.accept()
        thread = threading.Thread(target=lambda: context.wrap_socket(raw).close())
        thread.start()
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            serving(server, [client.certificate]).wrap_socket(accepted, server_side=True)
        thread.join()
        accepted.close()


def test_a_certificate_that_an_accepted_one_signed_is_a_stranger(make: Any, tmp_path: Path) -> None:
    server, client, child = make("a", "exporter"), make("b"), make("c")
    signer = serialization.load_pem_private_key(client.path.read_bytes(), None)
    own = x509.load_pem_x509_certificate(child.certificate.encode())
    issuer = x509.load_pem_x509_certificate(client.certificate.encode())
    signed = (
        x509.CertificateBuilder().subject_name(own.subject).issuer_name(issuer.subject).public_key(own.public_key())
        .serial_number(1).not_valid_before(own.not_valid_before_utc).not_valid_after(own.not_valid_after_utc)
        .sign(signer, hashes.SHA256())
    )  # fmt: skip
    key = serialization.load_pem_private_key(child.path.read_bytes(), None)
    path = tmp_path / "signed.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    with pytest.raises(Stranger):
        talk(server, [client.certificate], Identity.read(path), server.certificate)


def test_an_identity_is_made_once_and_stays_private(make: Any) -> None:
    first = make("a")
    assert make("a") == first
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in first.certificate
    assert make("a", "exporter").certificate != first.certificate


def test_it_is_made_anew_for_another_address_only(tmp_path: Path) -> None:
    first = identity(tmp_path, "transfer")
    second = identity(tmp_path, "transfer", "127.0.0.1")
    assert second.certificate != first.certificate
    assert identity(tmp_path, "transfer", "127.0.0.1").certificate == second.certificate
    assert identity(tmp_path, "transfer").certificate == second.certificate
    assert identity(tmp_path, "transfer", "::1").certificate != second.certificate
    named = identity(tmp_path, "transfer", "host.example")
    assert identity(tmp_path, "transfer", "host.example").certificate == named.certificate
