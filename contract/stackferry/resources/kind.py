"""What a kind is: a marshmallow schema whose fields are the document, the validation and the documentation.

A kind is declared in one module of this package: its fields, where openstacksdk finds it, and what is special.
Hooks (``listing``, ``candidates``, ``create``, ``update``, ``delete``, ``prepare``, ``fingerprint``) are for the
exceptions; most kinds override none. Importing the package registers every kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import EXCLUDE, Schema

from .fields import Link, Many, Portable, Ref, Replace, Struct

if TYPE_CHECKING:
    from .view import Record, View

KINDS: dict[str, type[Kind]] = {}
BY_TYPE: dict[str, type[Kind]] = {}


class Kind(Schema):
    """Base of every kind; class attributes declare it."""

    #: its name here, derived from the class name: ``security_group_rule``
    kind: ClassVar[str]
    #: ``type`` of its documents, as OS Migrate writes it
    type: ClassVar[str]
    #: its data file, without ``.yml``
    file: ClassVar[str]
    #: openstacksdk's proxy (``connection.<service>``), and what its calls there end with
    service: ClassVar[str] = "network"
    singular: ClassVar[str] = ""
    plural: ClassVar[str] = ""
    #: what no API can change after creation: a difference is a conflict, not an update
    fixed: ClassVar[frozenset[str]] = frozenset()
    #: what only an administrator may set, with the value that needs no right
    admin: ClassVar[dict[str, Any]] = {}
    #: what needs other resources first: field → the kind after which it's set
    late: ClassVar[dict[str, str]] = {}
    #: attributes of the source that go to ``_info``
    info: ClassVar[tuple[str, ...]] = ("id", "project_id", "created_at", "updated_at", "revision_number")
    #: the attribute that holds the project it belongs to
    owner: ClassVar[str] = "project_id"
    #: whether its id can be chosen at creation (``hints.new_id``), so that it can't be made twice
    takes_id: ClassVar[bool] = False
    #: the link that its name is unique within, if any
    scope: ClassVar[str | None] = None
    #: the link whose name a filter is matched with, when the kind has no name of its own
    filtered_by: ClassVar[str | None] = None

    class Meta:
        unknown = EXCLUDE

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.singular = cls.singular or cls.kind
        cls.plural = cls.plural or f"{cls.singular}s"
        KINDS[cls.kind] = cls
        BY_TYPE[cls.type] = cls

    # -- what can be read off the declaration ------------------------------------------------------------

    @classmethod
    def declared(cls) -> dict[str, Portable]:
        """Name in a document → field."""
        return _declared(cls)

    @classmethod
    def attribute(cls, name: str) -> str:
        """The SDK attribute behind a field."""
        return cls.declared()[name].attribute or name

    @classmethod
    def attributes(cls) -> frozenset[str]:
        """Every SDK attribute that we read."""
        return frozenset({cls.attribute(n) for n in cls.declared()} | set(cls.info) | {"id", "name", cls.owner})

    @classmethod
    def needs(cls) -> set[str]:
        """The kinds that it links to, without itself."""
        return {ref.kind for field in cls.declared().values() for ref in _refs(field)} - {cls.kind}

    @classmethod
    def links(cls, params: dict[str, Any]) -> Iterator[Link]:
        """Yield (path, field, reference) of each link in a document's params."""
        for name, field in cls.declared().items():
            if params.get(name) is not None:
                yield from field.links(params[name], name)

    @classmethod
    def map_links(cls, params: dict[str, Any], replace: Replace) -> dict[str, Any]:
        """Return params with each link replaced."""
        fields = cls.declared()
        return {n: fields[n].map_links(v, n, replace) if n in fields else v for n, v in params.items()}

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """What people call this document."""
        name = params.get("name")
        return name if isinstance(name, str) and name else "(no name)"

    # -- hooks -------------------------------------------------------------------------------------------

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """Every resource of this kind in the view's project."""
        yield from getattr(view.proxy(cls.service), cls.plural)(project_id=view.project_id)

    @classmethod
    def obstacle(cls, record: Record) -> str | None:
        """Why a resource can't cross at all; None when it can."""
        return None

    @classmethod
    def complete(cls, view: View, record: Record, names: Iterable[str]) -> Record:
        """Return the record with those of the named fields that a listing doesn't have."""
        return record

    @classmethod
    def has_payload(cls, document: dict[str, Any]) -> bool:
        """Whether bytes belong to it that no document holds."""
        return False

    @classmethod
    def payload_missing(cls, record: Record) -> bool:
        """Whether these bytes are still to come here."""
        return False

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any]) -> list[Record]:
        """The destination's resources that may be the one that *body* describes."""
        scope = cls.attribute(cls.scope) if cls.scope else None
        return [
            record
            for record in view.records(cls.kind)
            if (record["name"] or "") == (body.get("name") or "")
            and (scope is None or record.get(scope) == body.get(scope))
        ]

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """Return the params that this user may set at this destination, and notes on what was left out."""
        if view.is_admin:
            return params, []
        denied = {n: params[n] for n, harmless in cls.admin.items() if params.get(n) not in (None, harmless)}
        notes = [f"{n} = {v!r} was left out: it needs administrator rights" for n, v in denied.items()]
        return {n: v for n, v in params.items() if n not in cls.admin}, notes

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """What tells resources of one name apart, besides their own fields; None when there's nothing."""
        return None

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: dict[str, Any]) -> Any:
        """Create; return the SDK's resource."""
        tags = body.pop("tags", None)
        resource = getattr(view.proxy(cls.service), f"create_{cls.singular}")(**body)
        if tags:
            set_tags(view, cls.service, resource, tags)
        return resource

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: dict[str, Any]) -> Any:
        """Set what is in *body*; return the SDK's resource."""
        proxy, tags = view.proxy(cls.service), body.pop("tags", None)
        if body:
            resource = getattr(proxy, f"update_{cls.singular}")(record["id"], **body)
        else:
            resource = getattr(proxy, f"get_{cls.singular}")(record["id"])
        if tags is not None:
            set_tags(view, cls.service, resource, tags)
        return resource

    @classmethod
    def extra_changes(cls, view: View, record: Record, hints: dict[str, Any]) -> list[dict[str, Any]]:
        """Differences that are no fields: [{field, from, to}]."""
        return []

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        """Delete; what is gone already is fine."""
        getattr(view.proxy(cls.service), f"delete_{cls.singular}")(record["id"], ignore_missing=True)


@cache
def _declared(cls: type[Kind]) -> dict[str, Portable]:
    return {field.data_key or name: field for name, field in cls._declared_fields.items()}  # type: ignore[misc]


def set_tags(view: View, service: str, resource: Any, tags: list[str]) -> None:
    """Replace the tags of a Neutron resource (they have an API of their own)."""
    resource.tags = view.proxy(service).set_tags(resource, sorted(tags)).tags


def _refs(field: Portable) -> Iterator[Ref]:
    if isinstance(field, Ref):
        yield field
    elif isinstance(field, Many):
        yield from _refs(field.inner)
    elif isinstance(field, Struct):
        for member in field.members.values():
            yield from _refs(member)


def order() -> tuple[str, ...]:
    """Every kind, prerequisites first: the order in which people expect to read them."""
    graph = {name: sorted(kind.needs() & KINDS.keys()) for name, kind in sorted(KINDS.items())}
    return tuple(TopologicalSorter(graph).static_order())
