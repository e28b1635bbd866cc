"""Become an agent: ``python become_agent.py LOCK RECORD LOG COMMAND...``.

It first records which process it is, then turns into the command. So whoever started it may be killed at any time,
and the agent is known all the same. It belongs to nobody: neither a session nor a parent ends with it.
"""

import os
import sys
from pathlib import Path


def become(record: Path, log: str, command: list[str]) -> None:
    """Turn this process into the agent; never returns."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from stackferry_inside import identity

    identity.write(record)
    try:
        os.execvp(command[0], command)  # noqa: S606 - to become the agent is the purpose
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def main() -> None:
    """Fork the agent, and end as soon as it is what it should be."""
    lock, record, log, *command = sys.argv[1:]
    # Nobody else may start or stop agents here until the command runs; the agent itself doesn't keep the lock.
    os.set_inheritable(int(lock), False)
    reading, writing = os.pipe()  # closed by the exec
    if not os.fork():
        os.close(reading)
        become(Path(record), log, command)
    os.close(writing)
    os.read(reading, 1)


if __name__ == "__main__":
    main()
