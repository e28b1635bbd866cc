"""The HTTP API of this machine: where it is, and the token of whoever has started it."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import yaml

from .rabbitmq import free_port

OWNER = "local"


@dataclass(frozen=True)
class Gateway:
    """The gateway of the local system in *folder*. Its port stays the same from start to start."""

    folder: Path

    @property
    def token_file(self) -> Path:
        """A token for everything; nobody but its owner can read it."""
        return self.folder / "token"

    @property
    def tokens_file(self) -> Path:
        """Whose tokens are good, and for what: more may be added."""
        return self.folder / "tokens.yaml"

    def url(self) -> str:
        """Where it listens, once it does."""
        return self._url_file.read_text()

    def settings(self) -> dict[str, str]:
        """Its settings, with a token, made at the first start."""
        if not self.token_file.exists() or not self.tokens_file.exists():
            token = secrets.token_urlsafe(32)
            known = {"name": OWNER, "sha256": hashlib.sha256(token.encode()).hexdigest(), "role": "admin"}
            _write(self.tokens_file, yaml.safe_dump({"tokens": [known]}))
            _write(self.token_file, token)
        return {
            "STACKFERRY_TOKENS": str(self.tokens_file),
            "STACKFERRY_PORT": str(self._port()),
            "STACKFERRY_URL_FILE": str(self._url_file),
        }

    @property
    def _url_file(self) -> Path:
        return self.folder / "run" / "gateway.url"

    def _port(self) -> int:
        file = self.folder / "gateway.port"
        if not file.exists():
            file.write_text(str(free_port()))
        return int(file.read_text())


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as content:
        content.write(text)
