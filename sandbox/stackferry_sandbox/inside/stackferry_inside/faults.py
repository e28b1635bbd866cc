"""A WSGI middleware that makes a service misbehave as the rules in a file say.

A rule is ``{"id", "method"?, "path" (a regular expression, found anywhere in the path), "user"?,
"times"?, "action"}``. An action is ``{"status", "retry_after"?, "body"?, "performed"?}`` (the service
doesn't see the request, or performs it all the same), ``{"drop": "before"|"after"}`` (close the connection
without an answer, before or after the service performed the request), either with an optional ``"delay"``
in seconds, or a delay alone. The first rule that matches and isn't used up acts.
"""

import http
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)

FAULT = "stackferry.fault"
"""Key in a request's environ: the id of the rule that acted."""

DROPPED = "stackferry.dropped"
"""Key in a request's environ: the connection was cut, the client has no answer."""

CONNECTION = "stackferry.connection"
"""Key in a request's environ: the socket of its connection."""

Rule = dict[str, Any]


def matches(rule: Rule, method: str, path: str, user: str | None) -> bool:
    """Whether a rule is about a request."""
    return (
        rule.get("method") in (None, method)
        and re.search(rule["path"], path) is not None
        and rule.get("user") in (None, user)
    )


class RuleFile:
    """The rules in a file, and how often this process has used each.

    Every request looks whether the file has changed, so rules act as soon as the file is there.
    """

    def __init__(self, path: Path) -> None:
        """Follow a file, which need not exist."""
        self.path = path
        self.seen: tuple[int, int, int] | None = None
        self.rules: list[Rule] = []
        self.uses: dict[str, int] = {}
        self.lock = threading.Lock()

    def refresh(self) -> None:
        """Read the file if it is another than the one read last."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            self.seen, self.rules = None, []
            return
        # It is replaced, never rewritten: a new inode even within the clock's resolution.
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self.seen:
            self.rules = json.loads(self.path.read_text(encoding="utf-8"))
            self.seen = stamp

    def claim(self, method: str, path: str, user: str | None, *, named: bool) -> Rule | None:
        """The rule that acts on a request; counts its use.

        Args:
            method: the request's method.
            path: the request's whole path.
            user: the name of the user who asks.
            named: consider the rules that name a user, or those that don't.
        """
        with self.lock:
            self.refresh()
            for rule in self.rules:
                if (rule.get("user") is not None) is named and matches(rule, method, path, user):
                    used = self.uses.get(rule["id"], 0)
                    if rule.get("times") is None or used < rule["times"]:
                        self.uses[rule["id"]] = used + 1
                        return rule
        return None


class Gate:
    """An application that faults may befall.

    There are two gates in each service: one outside of everything, which sees all requests, and one
    behind the token middleware, which knows the user.
    """

    def __init__(self, application: Any, rules: RuleFile, *, named: bool) -> None:
        """Guard an application; ``named`` chooses the rules that name a user."""
        self.application = application
        self.rules = rules
        self.named = named

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request, or do what a rule says."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        rule = self.rules.claim(environ["REQUEST_METHOD"], path, environ.get("HTTP_X_USER_NAME"), named=self.named)
        if rule is None:
            return self.application(environ, start_response)
        environ[FAULT] = rule["id"]
        return self.act(rule["action"], environ, start_response)

    def act(self, action: dict[str, Any], environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Misbehave."""
        if "delay" in action:
            time.sleep(action["delay"])
        if action.get("drop") == "before":
            return cut(environ, start_response)
        if action.get("drop") == "after":
            finish(self.application(environ, ignore))
            return cut(environ, start_response)
        if action.get("performed"):
            finish(self.application(environ, ignore))
        if "status" in action:
            return answer(action, start_response)
        return self.application(environ, start_response)


def ignore(*_: Any) -> Any:
    """Stands for start_response where nobody will see the answer."""
    return lambda _data: None


def finish(body: Iterable[bytes]) -> None:
    """Let an application complete an answer that nobody will see."""
    try:
        for _ in body:
            pass
    finally:
        if hasattr(body, "close"):
            body.close()


def cut(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Close the connection; whatever the server then tries to send is lost."""
    environ[DROPPED] = True
    try:
        environ[CONNECTION].shutdown(socket.SHUT_RDWR)
    except OSError as error:
        LOG.info("the client had gone already: %s", error)
    start_response("500 Dropped", [("Content-Length", "0"), ("Connection", "close")])
    return []


def answer(action: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with a status."""
    status = int(action["status"])
    body = action.get("body", "")
    text = body if isinstance(body, str) else json.dumps(body)
    payload = text.encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"),
        ("Content-Length", str(len(payload))),
    ]
    if "retry_after" in action:
        headers.append(("Retry-After", str(action["retry_after"])))
    known = {each.value: each.phrase for each in http.HTTPStatus}
    start_response(f"{status} {known.get(status, 'Fault')}", headers)
    return [payload]


def adapt_token_middleware(rules: RuleFile) -> None:
    """Put a gate behind keystone's token middleware, wherever a service's pipeline has it."""
    from keystonemiddleware import auth_token

    make = auth_token.BaseAuthProtocol.__init__

    def with_gate(self: Any, app: Any, *args: Any, **options: Any) -> None:
        make(self, Gate(app, rules, named=True), *args, **options)

    auth_token.BaseAuthProtocol.__init__ = with_gate
