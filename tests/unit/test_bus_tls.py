"""amqps: the broker must show a certificate that's trusted, for the name by which it was called."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stackferry.bus import connect
from stackferry.errors import BrokerUnavailable

pytestmark = pytest.mark.thorough


def certificate(folder: Path) -> Path:
    """A key, and a certificate for `localhost` that it has signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False).add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "broker.pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return folder / "broker.pem"


class Broker:
    """Shakes hands, and notes the first bytes that it hears then."""

    def __init__(self, pem: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: list[bytes] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        raw, _ = self.listener.accept()
        self.listener.close()  # another try is refused at once
        with raw:
            try:
                with self.context.wrap_socket(raw, server_side=True) as secured:
                    self.heard.append(secured.recv(4))
            except OSError:
                self.heard.append(b"")

    def close(self) -> None:
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    broker = Broker(pem)
    yield broker
    broker.close()


def call(broker: Broker, name: str) -> bytes:
    """What the broker hears after the handshake: nothing, when it's refused."""
    with pytest.raises(BrokerUnavailable):
        connect(f"amqps://u:p@{name}:{broker.port}//", "tests", timeout=5)
    broker.thread.join(10)
    return broker.heard[0]


def test_a_broker_that_is_trusted_under_its_name_is_talked_to(broker: Broker) -> None:
    assert call(broker, "localhost") == b"AMQP"


def test_a_certificate_for_another_name_is_refused(broker: Broker) -> None:
    assert call(broker, "127.0.0.1") == b""


def test_a_certificate_that_nobody_trusts_is_refused(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert call(broker, "localhost") == b""
