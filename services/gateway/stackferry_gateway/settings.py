"""The gateway's settings."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import validate
from stackferry_runtime.settings import Common, setting


@dataclass(frozen=True)
class Settings(Common):
    """The gateway: HTTP for programs and people that don't speak AMQP. It has no cloud's credentials, no database."""

    address: str = setting("127.0.0.1", "address to listen on; any but this machine's own wants TLS")
    port: int = setting(8972, "port to listen on; 0: any that is free", validate.Range(0, 65535))
    tls_certificate: str = setting("", "file with the certificate (PEM, with its chain) that HTTPS is spoken with")
    tls_key: str = setting("", "file with its private key (PEM)")
    tls_elsewhere: bool = setting(False, "whether a proxy before it speaks TLS, so that it need not itself")
    proxies: str = setting(
        "", "addresses of the proxies before it, with commas: what they say in X-Forwarded-For is believed"
    )  # fmt: skip
    url_file: str = setting("", "a file to write the address into once it takes requests")
    tokens: str = setting(
        "", "file (YAML) that says whose tokens are good, and for what; it's read again when it has changed"
    )
    keystone: str = setting(
        "", "file (YAML) that says which cloud's Keystone is asked about other tokens, and what its roles are good "
        "for; it's read again when it has changed"
    )  # fmt: skip
    session_key: str = setting(
        "", "file with a secret of 32 bytes or more, that sessions of the page are signed with: the same for all "
        "gateways behind one address; without it each has its own, and sessions end with it"
    )  # fmt: skip
    answer_within: float = setting(
        30.0, "seconds after which a question that nobody answers is given up", validate.Range(min=1)
    )
    body_bytes: int = setting(
        64 << 20, "bytes of a request's body, at most: documents to import are sent in one", validate.Range(min=1024)
    )
    rate: float = setting(50.0, "requests a second with one token; more for a moment", validate.Range(min=0.1))
    at_once: int = setting(
        8,
        "requests that are worked on at the same time with one token; more wait for their turn",
        validate.Range(min=1),
    )
    listeners: int = setting(
        300, "streams of events that are open at the same time with one token", validate.Range(min=1)
    )
    history_bytes: int = setting(
        64 << 20, "bytes of events that are kept at hand for listeners; older ones are read from the broker",
        validate.Range(min=1 << 20),
    )  # fmt: skip
