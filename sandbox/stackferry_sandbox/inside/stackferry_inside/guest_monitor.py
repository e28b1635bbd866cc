"""Talk to QEMU through its monitor (QMP), one connection for each request."""

import json
import socket
from typing import Any

SECONDS = 60.0
"""QEMU answers at once, or is busy with another request."""

Command = tuple[str, dict[str, Any]]


class GuestError(Exception):
    """A guest can't do what it was asked to."""


class Refused(GuestError):
    """QEMU has refused a command."""


def ask(path: str, *commands: Command) -> Any:
    """The answer to the last of some commands.

    Args:
        path: the monitor's socket.
        commands: the name and the arguments of each.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(path)
            stream = connection.makefile("rw", encoding="utf-8")
            stream.readline()  # the greeting
            for command in (("qmp_capabilities", {}), *commands):
                answer = answer_to(stream, command)
    except (OSError, ValueError) as error:  # it has gone, perhaps in the middle of a line
        raise GuestError(f"its monitor does not answer: {error}") from error
    return answer


def answer_to(stream: Any, command: Command) -> Any:
    """Say one command; events come between."""
    name, arguments = command
    stream.write(json.dumps({"execute": name, "arguments": arguments}))
    stream.flush()
    while True:
        answer = json.loads(stream.readline())
        if "error" in answer:
            raise Refused(f"{name}: {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
