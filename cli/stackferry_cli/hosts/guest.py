"""What is inside of the hosts, from the words of a command line, the files that they name, and variables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackferry.errors import Error

from .wanted import Guest


def guest(typed: Mapping[str, Any], known: Mapping[str, Any], amqp_uri: str) -> Guest:
    """What is inside of the hosts of one side; raise Error naming the file or option that makes no sense."""
    try:
        pip_arguments = tuple(shlex.split(typed["pip_arguments"]))
    except ValueError as error:
        raise Error(f"--pip-arguments: {error}") from None
    return Guest(
        amqp_uri,
        ca=_content(typed["ca_file"]),
        agents=typed["agents"],
        slots=typed["slots"],
        bandwidth=typed["bandwidth"],
        port=typed["listen_port"],
        packages=tuple(typed["package"] or ()),
        pip_arguments=pip_arguments,
        install=known.get("host_content_install", True),
        pre_hook=_content(typed["pre_hook"]) or known.get("host_pre_content_hook"),
        post_hook=_content(typed["post_hook"]) or known.get("host_post_content_hook"),
        ssh_keys=_keys(typed["ssh_public_key"], known.get("keypair_private_path")),
    )


def _keys(given: Path | None, private: str | None) -> tuple[str, ...]:
    """Public keys; OS Migrate's are beside the private one that its variable names."""
    beside = Path(f"{private}.pub").expanduser() if private else None
    text = _content(given or (beside if beside and beside.exists() else None)) or ""
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _content(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{file} can't be read: {error}") from None
