"""Documents inside of documents: a server's ports, trunks, floating IPs and volumes."""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from . import export, source_id
from .fields import Link, Many, Portable, Ref, Replace
from .kind import KINDS, Kind
from .view import WITHIN

if TYPE_CHECKING:
    from .view import View

Document = dict[str, Any]


class Nested(Portable):
    """One document of another kind, with its own ``_info``; an import makes a step of its own of it.

    Its links are the owner's too, at paths such as ``ports.0.params.network_ref``; the source's ids behind them stay
    in its own ``_info.source_ids``, by paths within it, so that they move along when a list is edited.
    """

    def __init__(self, kind: type[Kind], **kwargs: Any) -> None:
        super().__init__(kind.kind, **kwargs)
        self.kind = kind

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("params"), dict):
            raise ValidationError("expected a document: an object with type and params")
        errors: dict[str, Any] = {}
        if value.get("type") != self.kind.type:
            errors["type"] = [f"is {value.get('type')!r}, not {self.kind.type!r}"]
        for part in ("_info", "_migration_params"):
            if not isinstance(value.get(part, {}), dict):
                errors[part] = ["is not an object"]
        info = value.get("_info")
        if isinstance(info, dict) and (wrong_id := source_id.fault(info.get("id"))):
            errors["_info"] = {"id": [wrong_id]}
        said = {n: v for n, v in value["params"].items() if v is not None and n in self.kind.declared()}
        if wrong := self.kind().validate(said):
            errors["params"] = wrong
        if errors:
            raise ValidationError(errors)
        return value

    def export(self, value: Any, view: View) -> Any:
        return export.document(self.kind, value, view)

    def links(self, value: Any, path: str) -> Iterator[Link]:
        if isinstance(value, dict) and isinstance(value.get("params"), dict):
            for inner, field, ref in self.kind.links(value["params"]):
                yield f"{path}.params.{inner}", field, ref

    def map_links(self, value: Any, path: str, replace: Replace) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("params"), dict):
            return value
        params = self.kind.map_links(value["params"], lambda inner, ref: replace(f"{path}.params.{inner}", ref))
        return {**value, "params": params}

    def refs(self) -> Iterator[Ref]:
        for field in self.kind.declared().values():
            yield from field.refs()


@cache
def nested_in(kind: type[Kind]) -> dict[str, type[Kind]]:
    """Return field → kind of the documents that documents of *kind* hold lists of."""
    return {
        name: field.inner.kind
        for name, field in kind.declared().items()
        if isinstance(field, Many) and isinstance(field.inner, Nested)
    }


def source_ids(kind: type[Kind], document: Document) -> dict[str, str]:
    """Return path → the source's id behind each link of a document, and of the documents inside of it.

    OS Migrate has some of them among the facts, by the name of the attribute (``network_id``).
    """
    info, parts = document.get("_info") or {}, nested_in(kind)
    ids = {
        path: str(id_)
        for path, ref, _ in kind.links({n: v for n, v in document["params"].items() if n not in parts})
        if (id_ := info.get(ref.attribute or "")) and isinstance(id_, str)
    }
    ids |= info.get("source_ids") or {}
    for name, inner in parts.items():
        for number, part in enumerate(document["params"].get(name) or ()):
            ids |= {f"{name}.{number}.params.{path}": id_ for path, id_ in source_ids(inner, part).items()}
    return ids


def within_owners(kind: type[Kind], params: Document) -> Document:
    """Return params whose references say what their names are unique within: those of subnets, the network beside."""
    links = {path: (field.kind, ref) for path, field, ref in kind.links(params)}

    def told(path: str, ref: dict[str, Any]) -> dict[str, Any]:
        other = links[path][0]
        beside = beside_of(path, KINDS[other].scope if other in KINDS else None, links)
        return ref if beside is None else {**ref, WITHIN: links[beside][1]}

    return kind.map_links(params, told)


def beside_of(path: str, name: str | None, paths: Container[str]) -> str | None:
    """Return the path of the link called *name* that stands beside another one: a port's network, for its subnets."""
    parts = path.split(".")
    beside = [".".join([*parts[:n], name]) for n in reversed(range(len(parts)))] if name else []
    return next((other for other in beside if other in paths), None)
