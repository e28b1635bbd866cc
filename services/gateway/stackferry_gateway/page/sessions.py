"""Who is signed in: a cookie that names a person, signed by the gateway, and worth nothing anywhere else.

The token itself isn't kept by the browser: cookies don't tell one port of a machine from another. A session ends with
the token that it was begun with, after twelve hours, and when a gateway begins anew that has no ``session_key``.
Each form that changes something has a word that only this gateway can make for this session (CSRF).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from stackferry.errors import Error
from starlette.requests import Request
from starlette.responses import Response

from ..people import Person, Tokens
from ..problems import Problem

LASTS = 12 * 3600.0  # seconds
WIDE = 4 << 10  # bytes of a cookie, at most
LEAST = 32  # bytes of a key


class Sessions:
    """Makes and reads the cookies of one gateway, or of several with the same key."""

    def __init__(
        self, key: bytes | None = None, is_secure: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._key, self.is_secure, self.clock = key or secrets.token_bytes(LEAST), is_secure, clock
        self._ended: dict[str, float] = {}  # what cookies of sessions said that were ended → until when
        self.cookie = "__Host-stackferry" if is_secure else "stackferry"

    def begin(self, person: Person, response: Response) -> None:
        """Let the browser say from now on that it's this person."""
        until = int(self.clock() + LASTS)
        words = json.dumps([person.name, until, secrets.token_hex(8)], ensure_ascii=False)
        said = base64.urlsafe_b64encode(words.encode()).decode().rstrip("=")
        value = f"{said}.{self._sign('session', said, person.digest)}"
        response.set_cookie(self.cookie, value, path="/", httponly=True, samesite="lax", secure=self.is_secure)

    def forget(self, request: Request) -> None:
        """A session that was ended is good no longer, whoever has kept its cookie; at this gateway."""
        now = self.clock()
        self._ended = {said: until for said, until in self._ended.items() if until > now}
        self._ended[request.cookies.get(self.cookie, "").partition(".")[0]] = now + LASTS

    def end(self, response: Response) -> None:
        """Let the browser forget who it is."""
        response.delete_cookie(self.cookie, path="/", httponly=True, samesite="lax", secure=self.is_secure)

    def knock(self, request: Request, tokens: Tokens) -> Person:
        """The person whose cookie a request has; raise Problem when there's none, or it's good no longer."""
        said, _, signature = request.cookies.get(self.cookie, "").partition(".")
        if not said or len(said) + len(signature) > WIDE or said in self._ended:
            raise Problem(401, "sign in first")
        try:
            name, until, _ = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
            person = tokens.named(str(name))
        except (ValueError, TypeError, RecursionError, Problem):  # who it might be is nobody's to know
            raise Problem(401, "sign in first") from None
        if not hmac.compare_digest(self._sign("session", said, person.digest).encode(), signature.encode()):
            raise Problem(401, "sign in first")
        if not isinstance(until, int) or until < self.clock():
            raise Problem(401, "the session is over; sign in again")
        return person

    def word(self, request: Request) -> str:
        """What a form of this session says."""
        return self._sign("form", request.cookies.get(self.cookie, ""))

    def check(self, request: Request, word: str) -> None:
        """Raise Problem for a form that isn't of this session, or comes from another site."""
        refuse_others(request)
        if not hmac.compare_digest(self.word(request).encode(), word.encode()):
            raise Problem(403, "this form was made for another session: load the page again, and send it once more")

    def _sign(self, *words: str) -> str:
        return hmac.new(self._key, "\0".join(words).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def refuse_others(request: Request) -> None:
    """Raise Problem for a form that another site sends. Source: Fetch Metadata Request Headers, 2.3."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "forms are taken from this page only")


def key_of(file: str) -> bytes | None:
    """The key that a file holds; None without a file. Raises Error for one that can't be used."""
    if not file:
        return None
    try:
        key = Path(file).read_bytes().strip()
    except OSError as error:
        raise Error(f"STACKFERRY_SESSION_KEY: {file} can't be read: {error.strerror}") from None
    if len(key) < LEAST:
        raise Error(f"STACKFERRY_SESSION_KEY: {file} holds {len(key)} bytes; at least {LEAST} are needed")
    return key
