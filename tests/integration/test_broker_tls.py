"""deploy/rabbitmq-tls.conf on a real broker: agents reach it with TLS, by the name in its certificate alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stackferry.bus import connect
from stackferry.errors import BrokerUnavailable
from stackferry_cli.local.rabbitmq import PROGRAMS, Node, free_port

from ..conftest import scratch

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not any(Path(p).exists() for p in PROGRAMS), reason="rabbitmq-server is not installed")


class Secured(Node):
    """A node that also listens with TLS, at a port of loopback, as compose's does."""

    def __init__(self, home: Path, secrets: Path) -> None:
        super().__init__(home)
        self.secrets, self.tls_port = secrets, free_port()

    def _write(self, name: str, text: str) -> None:
        if name == "rabbitmq.conf":
            conf = (ROOT / "deploy/rabbitmq-tls.conf").read_text()
            conf = conf.replace("/run/secrets/broker-identity", f"{self.secrets}/broker-identity.pem")
            text += conf.replace("ssl.1 = 5671", f"ssl.1 = 127.0.0.1:{self.tls_port}")
        super()._write(name, text)


@pytest.fixture(scope="module")
def node() -> Iterator[Secured]:
    with scratch("tls") as folder:
        command = [sys.executable, "deploy/compose-secrets", "--folder", str(folder / "secrets")]
        subprocess.run([*command, "--broker-name", "localhost"], check=True, capture_output=True, cwd=ROOT)
        node = Secured(folder, folder / "secrets")
        try:
            node.start()
            yield node
        finally:
            node.stop()


def uri(node: Secured, name: str) -> str:
    return node.uri("importer").replace("amqp:", "amqps:").rpartition("@")[0] + f"@{name}:{node.tls_port}//"


def test_an_agent_that_trusts_the_certificate_gets_in(node: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{node.secrets}/broker-certificate.pem")
    with connect(uri(node, "localhost"), "tests") as connection:
        assert connection.connection.sock.version() == "TLSv1.3"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "trusts"), [("127.0.0.1", True), ("localhost", False)])
def test_nobody_talks_to_a_broker_that_is_not_the_named_one(
    node: Secured, monkeypatch: pytest.MonkeyPatch, name: str, trusts: bool
) -> None:
    if trusts:
        monkeypatch.setenv("SSL_CERT_FILE", f"{node.secrets}/broker-certificate.pem")
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        connect(uri(node, name), "tests")
