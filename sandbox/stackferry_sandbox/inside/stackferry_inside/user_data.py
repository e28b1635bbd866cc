"""Read the part of a server's user data that concerns transfer agents.

User data that begins with ``#cloud-config`` and has a ``write_files`` entry for /etc/stackferry/transfer.env asks
for agents. That entry, and every other one below /etc/stackferry/, becomes a file; all else is ignored.
"""

import base64
import gzip
import logging
import posixpath
import re
import zlib
from dataclasses import dataclass
from typing import Any

import yaml

LOG = logging.getLogger(__name__)

ETC = "/etc/stackferry"
TRANSFER_ENV = f"{ETC}/transfer.env"
MARK = b"#cloud-config"
COMPRESSED = re.compile("gz")
ENCODED = re.compile("b64|base64")
QUOTES = "\"'"


@dataclass(frozen=True)
class File:
    """One file that the user data wants written."""

    path: str
    """As in the guest: absolute, without dots."""
    content: bytes
    mode: int


def files(user_data: bytes) -> list[File]:
    """The files below /etc/stackferry; none if the user data doesn't ask for agents."""
    if not user_data.startswith(MARK):
        return []
    try:
        found = [file_of(path, entry) for entry in entries(user_data) if (path := path_of(entry)).startswith(f"{ETC}/")]
    except (yaml.YAMLError, AttributeError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
        LOG.warning("user data that can't be read: %r", error)  # cloud-init, too, boots the server and only complains
        return []
    return found if any(file.path == TRANSFER_ENV for file in found) else []


def entries(user_data: bytes) -> list[dict[str, Any]]:
    """What is below ``write_files``."""
    return (yaml.safe_load(user_data) or {}).get("write_files") or []


def path_of(entry: dict[str, Any]) -> str:
    """The path of an entry, without dots."""
    return posixpath.normpath(str(entry.get("path", "")))


def file_of(path: str, entry: dict[str, Any]) -> File:
    """The file that an entry describes."""
    return File(path, content_of(entry), int(str(entry.get("permissions") or "0644"), 8))


def content_of(entry: dict[str, Any]) -> bytes:
    """The decoded content of an entry."""
    content = entry.get("content") or ""
    data = content if isinstance(content, bytes) else str(content).encode()
    encoding = str(entry.get("encoding") or "")
    if ENCODED.search(encoding):
        data = base64.b64decode(data)
    return gzip.decompress(data) if COMPRESSED.search(encoding) else data


def variables(text: str) -> dict[str, str]:
    """The variables of an environment file, as systemd reads simple ones: KEY=VALUE, the value may be in quotes."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.split("=", 1) for line in lines if "=" in line and line[0] not in "#;"]
    return {key.strip(): unquoted(value.strip()) for key, value in pairs}


def unquoted(value: str) -> str:
    """A value without the quotes around it."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES
    return value[1:-1] if quoted else value


def moved(content: bytes, folder: str) -> bytes:
    """An environment file whose paths lead to where /etc/stackferry is on this machine."""
    return re.sub(re.escape(ETC.encode()) + rb"(?![\w.-])", lambda _: folder.encode(), content)
