"""The field types of kinds: marshmallow fields that also know how a value crosses from cloud to cloud.

Each field answers four questions about its value: how it's written into a document (``export``), what it's
called at the destination (``resolve``), in which form two values are compared (``canonical``), and which links
to other resources it holds (``links``; ``refs`` declares them). A null in a document means "not said", unless the
field is ``nullable``: then null is a value of its own (a subnet without a gateway).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, fields

if TYPE_CHECKING:
    from .view import View

Link = tuple[str, "Ref", dict[str, Any]]
Replace = Callable[[str, dict[str, Any]], dict[str, Any]]  # (path, reference) → reference


class Portable(fields.Field[Any]):
    """Base of all fields here.

    *description* is what the documentation says of it. *empty*: an empty value is told at creation too, where the
    cloud would put something else (a port's security groups).
    """

    def __init__(self, description: str = "", *, nullable: bool = False, empty: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("allow_none", not kwargs.get("required"))
        kwargs["metadata"] = {"description": description}
        super().__init__(**kwargs)
        self.nullable, self.empty = nullable, empty

    def read(self, resource: Any, attribute: str) -> Any:
        """Return the value that an SDK resource has."""
        return getattr(resource, attribute, None)

    def export(self, value: Any, view: View) -> Any:
        """Return *value* of a cloud as a document has it."""
        return value

    def resolve(self, value: Any, view: View) -> Any:
        """Return *value* of a document as this destination needs it."""
        return value

    def canonical(self, value: Any) -> Any:
        """Return a form in which equal values are equal."""
        return value

    def differs(self, want: Any, have: Any) -> bool:
        """Whether the destination's value must change."""
        return bool(self.canonical(want) != self.canonical(have))

    def earlier(self, was: Any, becomes: Any, now: Any) -> Any:
        """What to set to bring back what *was* there before *becomes* was set; *now* may have more."""
        return was

    def links(self, value: Any, path: str) -> Iterator[Link]:
        """Yield (path, field, reference) of each link in a document's *value*."""
        yield from ()

    def map_links(self, value: Any, path: str, replace: Replace) -> Any:
        """Return a document's *value*, which stands at *path*, with each link replaced."""
        return value

    def refs(self) -> Iterator[Ref]:
        """Yield the references that it declares."""
        yield from ()


class Text(Portable, fields.String):
    """A string; null and the empty string are the same."""

    def canonical(self, value: Any) -> Any:
        return value or ""


class Flag(Portable, fields.Boolean):
    """A boolean; a cloud that doesn't know the property has it false."""

    def __init__(self, description: str = "", **kwargs: Any) -> None:
        super().__init__(description, truthy={True}, falsy={False}, **kwargs)

    def canonical(self, value: Any) -> Any:
        return bool(value)


class Number(Portable, fields.Integer):
    """An integer; older files have some of them as text."""

    def __init__(self, description: str = "", **kwargs: Any) -> None:
        super().__init__(description, **kwargs)

    def resolve(self, value: Any, view: View) -> Any:
        return None if value is None else int(value)

    def canonical(self, value: Any) -> Any:
        return None if value is None else int(value)


class Address(Portable, fields.String):
    """An IP address, compared as an address: IPv6 has many spellings."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ValidationError(f"{text!r} is not an IP address") from None
        return text

    def canonical(self, value: Any) -> Any:
        return str(ipaddress.ip_address(value)) if value else None


class Cidr(Portable, fields.String):
    """An IP range, compared as a range."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValidationError(f"{text!r} is not an IP range such as 10.0.0.0/24") from None
        return text

    def canonical(self, value: Any) -> Any:
        return str(ipaddress.ip_network(value, strict=False)) if value else None


class Bag(Portable, fields.Dict):
    """An object whose keys are free."""

    def canonical(self, value: Any) -> Any:
        return value or {}


class Partial(Bag):
    """A bag of which the destination may have more: what a document doesn't say stays."""

    def item(self, value: Any) -> Any:
        """Return one of its values in a form in which equal ones are equal."""
        return value

    def differs(self, want: Any, have: Any) -> bool:
        return any(self.item((have or {}).get(n)) != self.item(v) for n, v in (want or {}).items())

    def earlier(self, was: Any, becomes: Any, now: Any) -> Any:
        """The keys that were set as they were, or gone."""
        others = {n: v for n, v in (now or {}).items() if n not in becomes}
        return {**others, **{n: v for n, v in (was or {}).items() if n in becomes}}


class Struct(Portable):
    """An object with declared members; only the members that a document has are compared."""

    def __init__(self, description: str = "", /, *, nullable: bool = False, **members: Portable) -> None:
        super().__init__(description, nullable=nullable)
        self.members = members

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError("expected an object")
        errors = {}
        for name, member in self.members.items():
            try:
                if value.get(name) is not None:
                    member.deserialize(value[name], name, value)
                elif member.required:
                    raise ValidationError("missing")
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        return value

    def _attribute(self, name: str) -> str:
        return self.members[name].attribute or name

    def export(self, value: Any, view: View) -> Any:
        if value is None:
            return None
        return {n: m.export(value.get(self._attribute(n)), view) for n, m in self.members.items()}

    def resolve(self, value: Any, view: View) -> Any:
        if value is None:
            return None
        return {
            self._attribute(n): m.resolve(value[n], view) for n, m in self.members.items() if value.get(n) is not None
        }

    def canonical(self, value: Any) -> Any:
        if value is None:
            return None
        by_attribute = {self._attribute(n): m for n, m in self.members.items()}
        return {a: m.canonical(value[a]) for a, m in by_attribute.items() if value.get(a) is not None}

    def earlier(self, was: Any, becomes: Any, now: Any) -> Any:
        """Only the members that were said: the others, which may need rights, are as they were."""
        return {name: was.get(name) for name in becomes} if was and becomes else was

    def differs(self, want: Any, have: Any) -> bool:
        if not want or not have:
            return bool(want) != bool(have)
        by_attribute = {self._attribute(n): m for n, m in self.members.items()}
        return any(m.differs(want[a], have.get(a)) for a, m in by_attribute.items() if a in want)

    def links(self, value: Any, path: str) -> Iterator[Link]:
        for name, member in self.members.items():
            if isinstance(value, dict) and value.get(name) is not None:
                yield from member.links(value[name], f"{path}.{name}")

    def map_links(self, value: Any, path: str, replace: Replace) -> Any:
        if not isinstance(value, dict):
            return value
        changed = {
            n: m.map_links(value[n], f"{path}.{n}", replace)
            for n, m in self.members.items()
            if value.get(n) is not None
        }
        return {**value, **changed}

    def refs(self) -> Iterator[Ref]:
        for member in self.members.values():
            yield from member.refs()


class Many(Portable):
    """A list. *ordered* lists keep their order (DNS servers); the others are sorted, so that equal is equal."""

    def __init__(self, inner: Portable, description: str = "", *, ordered: bool = False, **kwargs: Any) -> None:
        super().__init__(description, **kwargs)
        self.inner, self.ordered = inner, ordered

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise ValidationError("expected a list")
        errors = {}
        for number, item in enumerate(value):
            try:
                self.inner.deserialize(item, str(number))
            except ValidationError as error:
                errors[number] = error.messages
        if errors:
            raise ValidationError(errors)
        return value

    def _arrange(self, values: list[Any]) -> list[Any]:
        return values if self.ordered else sorted(values, key=_sort_key)

    def export(self, value: Any, view: View) -> Any:
        return None if value is None else self._arrange([self.inner.export(item, view) for item in value])

    def resolve(self, value: Any, view: View) -> Any:
        return None if value is None else [self.inner.resolve(item, view) for item in value]

    def canonical(self, value: Any) -> Any:
        return self._arrange([self.inner.canonical(item) for item in value or []])

    def links(self, value: Any, path: str) -> Iterator[Link]:
        for number, item in enumerate(value if isinstance(value, list) else []):
            yield from self.inner.links(item, f"{path}.{number}")

    def map_links(self, value: Any, path: str, replace: Replace) -> Any:
        if not isinstance(value, list):
            return value
        return [self.inner.map_links(item, f"{path}.{number}", replace) for number, item in enumerate(value)]

    def refs(self) -> Iterator[Ref]:
        yield from self.inner.refs()


class Pattern(Many):
    """A list whose items may say less than what is there: an address that names only its subnet fits any in it."""

    def differs(self, want: Any, have: Any) -> bool:
        left = list(have or [])
        for wanted in self.canonical(want):
            found = next((h for h in left if wanted.items() <= self.inner.canonical(h).items()), None)
            if found is None:
                return True
            left.remove(found)
        return bool(left)


class Ref(Portable):
    """A link to another resource: an id inside a cloud, ``{name, project_name, domain_name}`` in a document."""

    def __init__(self, kind: str, description: str = "", *, attribute: str | None = None, **kwargs: Any) -> None:
        super().__init__(description, attribute=attribute or f"{kind}_id", **kwargs)
        self.kind = kind

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("name"), str | type(None)):
            raise ValidationError("expected {name, project_name, domain_name}")
        return value

    def export(self, value: Any, view: View) -> Any:
        return None if not value else view.reference(self.kind, value)

    def resolve(self, value: Any, view: View) -> Any:
        return None if value is None else view.resolve(self.kind, value)

    def links(self, value: Any, path: str) -> Iterator[Link]:
        if isinstance(value, dict):
            yield path, self, value

    def map_links(self, value: Any, path: str, replace: Replace) -> Any:
        return replace(path, value) if isinstance(value, dict) else value

    def refs(self) -> Iterator[Ref]:
        yield self


def _sort_key(value: Any) -> Any:
    if isinstance(value, dict):  # ids differ from cloud to cloud, and must not decide
        return tuple((k, str(_sort_key(v))) for k, v in sorted(value.items()) if k != "_id")
    return (("", str(value)),)
