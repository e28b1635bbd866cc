"""Rules by which a service misbehaves, put in place and taken away again."""

import contextlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.files import locked, read_json, write_json


@dataclass(frozen=True)
class Action:
    """What happens instead of, or beside, the service's work."""

    status: int | None = None
    """Answer with this status; the service does not see the request, unless ``performed``."""
    retry_after: int | None = None
    """The value of the Retry-After header of that answer."""
    body: Any = None
    """The body of that answer: text, or anything that JSON can express."""
    performed: bool | None = None
    """Let the service perform the request before it's answered with that status."""
    drop: str | None = None
    """Close the connection without an answer: 'before' or 'after' the service performed the request."""
    delay: float | None = None
    """Wait so many seconds first."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.drop not in (None, "before", "after"):
            raise SandboxError(f"drop is 'before' or 'after', not {self.drop!r}")
        if (self.status is not None) + (self.drop is not None) > 1:
            raise SandboxError("an action either answers with a status or drops the connection")
        if self.status is None and self.drop is None and self.delay is None:
            raise SandboxError("an action needs a status, a drop or a delay")
        if self.status is None and any(x is not None for x in (self.retry_after, self.body, self.performed)):
            raise SandboxError("retry_after, body and performed belong to a status")


@dataclass(frozen=True)
class Rule:
    """Which requests an action befalls. The first rule that matches and isn't used up acts."""

    path: str
    """A regular expression, searched anywhere in the path (which begins with a slash)."""
    action: Action
    method: str | None = None
    """Any method if None."""
    user: str | None = None
    """The name of the user who asks. Such a rule sees only requests that carry a valid token."""
    times: int | None = None
    """How often the rule acts in the life of the service's process; always if None."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Refuse what the service could not use."""
        try:
            re.compile(self.path)
        except re.error as error:
            raise SandboxError(f"{self.path!r} is no regular expression: {error}") from error

    @classmethod
    def of(cls, rule: "Rule | Mapping[str, Any]") -> "Rule":
        """A rule from its JSON form."""
        if isinstance(rule, Rule):
            return rule
        fields = dict(rule)
        action = fields.pop("action", {})
        try:
            return cls(action=action if isinstance(action, Action) else Action(**action), **fields)
        except TypeError as error:
            raise SandboxError(f"not a fault rule: {rule}: {error}") from error

    def as_json(self) -> dict[str, Any]:
        """The form that the service reads; what is None is left out."""

        def given(fields: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in fields.items() if value is not None}

        fields = given(asdict(self))
        return fields | {"action": given(fields["action"])}


def change(path: Path, add: Iterable[Rule] = (), remove: Iterable[str] = ()) -> None:
    """Change the rules in a file that other tests may be changing as well."""
    with locked(path.with_suffix(".lock")):
        gone = set(remove)
        rules = [rule for rule in read_json(path) or [] if rule["id"] not in gone]
        write_json(path, rules + [rule.as_json() for rule in add])


@contextlib.contextmanager
def active(path: Path, rules: Iterable[Rule | Mapping[str, Any]]) -> Iterator[list[Rule]]:
    """A context in which rules are in force.

    The service looks at the file at every request, so they are in force at once, and gone at once.
    """
    added = [Rule.of(rule) for rule in rules]
    change(path, add=added)
    try:
        yield added
    finally:
        change(path, remove=(rule.id for rule in added))
