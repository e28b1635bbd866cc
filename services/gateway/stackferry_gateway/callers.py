"""Who calls: by a token of the gateway's own file or, where there is a file for it, by one of Keystone's.

What Keystone has said counts for a minute, so a token that is revoked is good for a minute more; ten, while Keystone
doesn't answer. Those who are known, those who are new and those who are refused don't get in each other's way.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stackferry_runtime.logs import logger
from stackferry_runtime.reread import Reread

from .keystone import Said, asked, may_be_token, person_of, read
from .people import Person, Rate, Tokens
from .problems import Problem

log = logger(__name__)
KEEPS = 60.0  # seconds that an answer counts
PATIENCE, GRACE = 2.0, 600.0  # seconds that somebody who is known waits for a new one; that an old one counts then
REFUSED = 10.0  # seconds in which a token that is no good isn't asked about again
KEPT = 10_000  # answers, and refusals
AT_ONCE, WAITING = 8, 64  # questions at the same time; new tokens that wait for their turn
STRANGERS = 20.0  # new tokens a second that Keystone is asked about, for each address
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """Whom Keystone has said that it is: by which file, and when (monotonic seconds)."""

    said: Said
    person: Person
    at: float


class Callers:
    """Those of the file of tokens, and those whom Keystone knows.

    Whoever was known lately waits for nobody who is new: those who are known have turns of their own. Where Keystone
    doesn't answer soon, what it has said before counts for some minutes. It's asked about a token once at a time.
    """

    def __init__(self, tokens: Tokens, keystone: str = "") -> None:
        self.tokens = tokens
        self._said = Reread(Path(keystone), read) if keystone else None
        self._known: dict[str, Known] = {}
        self._refused: dict[str, tuple[Said, Problem, float]] = {}  # digest → by which file, why, when
        self._asking: dict[str, asyncio.Task[Person]] = {}
        self._turns, self._again = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._strangers, self._waiting = Rate(STRANGERS), 0

    @property
    def has_keystone(self) -> bool:
        """Whether Keystone's tokens are good here."""
        return self._said is not None

    async def of(self, token: bytes, address: str = "") -> Person:
        """Return whose token this is; raise Problem for a wrong one, or while Keystone can't be asked.

        *address*: where it comes from: so many tokens that are new are asked about for each.
        """
        if self._said is None or self.tokens.has(token) or not may_be_token(token):
            return self.tokens.of(token)
        digest, said, now = hashlib.sha256(token).hexdigest(), self._said.now(), time.monotonic()
        known = self._known.get(digest)
        known = known if known is not None and known.said is said and known.at > now - GRACE else None
        if known is not None and known.at > now - KEEPS:
            return self.tokens.good(known.person)
        if known is None:
            self._look_at_refusals(digest, said, now)
        if (asking := self._asking.get(digest)) is None:
            if known is None:
                self._strangers.take(_network(address))
            asking = self._begin(token, digest, said, known is None)
        if known is None:
            return await asyncio.shield(asking)  # it goes on, though whoever asked first leaves
        try:
            return await asyncio.wait_for(asyncio.shield(asking), PATIENCE)
        except TimeoutError:
            return self.tokens.good(known.person)
        except Problem as problem:
            if problem.status != 503:
                raise
            return self.tokens.good(known.person)

    def _begin(self, token: bytes, digest: str, said: Said, is_new: bool) -> asyncio.Task[Person]:
        if is_new and self._waiting >= WAITING:
            text = "many tokens are new to this gateway, and Keystone is asked about each"
            raise Problem(503, text, Retry_After="2")

        def over(asking: asyncio.Task[Person]) -> None:
            self._waiting -= is_new
            self._asking.pop(digest, None)
            if not asking.cancelled():
                asking.exception()  # else asyncio complains where everybody who asked has left

        self._waiting += is_new
        asking = self._asking[digest] = asyncio.create_task(self._ask(token, digest, said, is_new))
        asking.add_done_callback(over)
        return asking

    def _look_at_refusals(self, digest: str, said: Said, now: float) -> None:
        by, problem, at = self._refused.get(digest, (None, None, 0.0))
        if problem is not None and by is said and at > now - REFUSED:
            raise problem.with_traceback(None)  # else it would grow with each time

    async def _ask(self, token: bytes, digest: str, said: Said, is_new: bool) -> Person:
        """Have Keystone say whose token it is, when it's its turn, and remember that."""
        try:
            async with self._turns if is_new else self._again:
                shown = await asked(said, token)
            person = self.tokens.good(person_of(shown, said.rules, digest))
        except Problem as problem:
            if problem.status != 503:
                self._forget(digest, said, problem)
            raise
        if is_new:
            log.info("Keystone knows whose token this is", audit=True, person=person.name, role=person.client.role)
        now = time.monotonic()
        self._known = _bounded(self._known, lambda one: one.at > now - GRACE)
        self._known[digest] = Known(said, person, now)
        return person

    def _forget(self, digest: str, said: Said, problem: Problem) -> None:
        now = time.monotonic()
        self._known.pop(digest, None)
        self._refused = _bounded(self._refused, lambda one: one[2] > now - REFUSED)
        self._refused[digest] = (said, problem, now)


def _network(address: str) -> str:
    """Whose address it is: with IPv6 everybody has as many as they like, of one network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _bounded(kept: dict[str, T], counts: Callable[[T], bool]) -> dict[str, T]:
    """The same while it's small; else what still *counts*, and nothing where that is too much."""
    if len(kept) < KEPT:
        return kept
    left = {digest: one for digest, one in kept.items() if counts(one)}
    return left if len(left) < KEPT else {}
