"""The exceptions a user of Stackferry may meet; each carries a sentence that says what to do.

Error
├── InvalidMessage     a message that nobody can act on: it's parked, with the reason
├── InvalidDocument    a data file that can't be read, with file, resource and field
├── BrokerUnavailable  RabbitMQ did not answer, or refused us
├── Unroutable         a message for which no queue exists: the topology isn't declared
├── Unconfirmed        the broker did not say that it has the message: it may or may not have it
├── NotNow             work that can't be done yet: its message waits and comes again, as often as needed
├── Unfinished         a cloud is still at it: a later try may find it done
├── EndedInError       a cloud has taken something on, and failed
├── Refused            a request that changes nothing, with what is wrong with it
└── NoAnswer           a question on the bus that nobody answered in time
"""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """Base of everything Stackferry raises on purpose."""


class InvalidMessage(Error):
    """A message that can't be acted on.

    ``reason`` is one word for machines (``undecodable``, ``unknown``, ``invalid``, ``misrouted``, ``refused``: its
    sender has no right to say it),
    ``errors`` the fields and what is wrong with them.
    """

    def __init__(self, reason: str, errors: Any) -> None:
        super().__init__(f"{reason}: {errors}")
        self.reason = reason
        self.errors = errors


class InvalidDocument(Error):
    """Data files that can't be used: one line a problem, each naming file, resource and field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BrokerUnavailable(Error):
    """RabbitMQ can't be reached or refuses the credentials."""


class Unroutable(Error):
    """A mandatory message matched no queue."""


class Unconfirmed(Error):
    """The broker's confirmation is missing: the message may or may not be queued."""


class Nacked(Unconfirmed):
    """The broker has refused a message, for one of its queues at least: such as a full one."""


class NotNow(Error):
    """Not yet: the message waits and comes again, however often that happened before."""


class Claimed(NotNow):
    """Not yet, though its claim may have been taken in: nobody works by that claim."""


class Soon(NotNow):
    """Not yet, but in a second: somebody waits for it."""


class Unfinished(Error):
    """A cloud is still making or deleting something, or something stands in the way that will pass."""


class EndedInError(Error):
    """A cloud has accepted something, and then failed to make it; the sentence holds its reason."""


class NotDone(Error):
    """A cloud has accepted something, and then not done it; another try may succeed."""


class Refused(Error):
    """A request of this client was refused; the sentence says why."""


class NoAnswer(Error):
    """Nobody answered a question in time."""
