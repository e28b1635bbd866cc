"""What a kind declares: class attributes and fields, and what can be read off them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema

from .fields import Link, Portable, Ref, Replace
from .migration_params import MigrationParam


class Declaration(Schema):
    """The declared part of every kind; class attributes say it."""

    #: its name here, derived from the class name: ``security_group_rule``
    kind: ClassVar[str]
    #: ``type`` of its documents, as OS Migrate writes it
    type: ClassVar[str]
    #: its data file, without ``.yml``
    file: ClassVar[str] = ""
    #: whether its documents only exist inside of others (a server's ports)
    nested: ClassVar[bool] = False
    #: whether an itinerary of many steps moves it; for now, only when its kind is named
    by_workload: ClassVar[bool] = False
    #: openstacksdk's proxy (``connection.<service>``), and what its calls there end with
    service: ClassVar[str] = "network"
    singular: ClassVar[str] = ""
    plural: ClassVar[str] = ""
    #: whether a cloud may have no such API: then there are none of it
    optional: ClassVar[bool] = False
    #: what no API can change after creation: a difference is a conflict, not an update
    fixed: ClassVar[frozenset[str]] = frozenset()
    #: what is said at creation and never compared: it may have been changed since (a server's flavor)
    initial: ClassVar[frozenset[str]] = frozenset()
    #: what only an administrator may set, with the value that needs no right
    admin: ClassVar[dict[str, Any]] = {}
    #: what needs other resources first: field → the kind after which it's set
    late: ClassVar[dict[str, str]] = {}
    #: attributes of the source that go to ``_info``
    info: ClassVar[tuple[str, ...]] = ("id", "project_id", "created_at", "updated_at", "revision_number")
    #: attributes that only the kind's own hooks read
    reads: ClassVar[tuple[str, ...]] = ()
    #: what can be chosen in ``_migration_params``
    choices: ClassVar[tuple[MigrationParam, ...]] = ()
    #: the attribute that holds the project it belongs to
    owner: ClassVar[str] = "project_id"
    #: whether it may belong to whomever in each cloud: public images, external networks
    for_everybody: ClassVar[bool] = False
    #: whether the project's own stands in for somebody else's of its name: people copy images from cloud to cloud
    stands_in: ClassVar[bool] = False
    #: whether its id can be chosen at creation (``hints.new_id``), so that it can't be made twice
    takes_id: ClassVar[bool] = False
    #: whether the cloud goes on making and deleting it after it has answered, so that we wait (``settled``)
    gradual: ClassVar[bool] = False
    #: whether ``candidates`` finds it by something surer than a name (an address)
    certain: ClassVar[bool] = False
    #: the link that its name is unique within, if any
    scope: ClassVar[str | None] = None
    #: the link whose name a filter is matched with, when the kind has no name of its own
    filtered_by: ClassVar[str | None] = None

    class Meta:
        unknown = EXCLUDE

    @classmethod
    def declared(cls) -> dict[str, Portable]:
        """Name in a document → field."""
        return _declared(cls)

    @classmethod
    def attribute(cls, name: str) -> str:
        """The SDK attribute behind a field."""
        return cls.declared()[name].attribute or name

    @classmethod
    def by_attribute(cls) -> dict[str, Portable]:
        """SDK attribute → the field that it's behind."""
        return _by_attribute(cls)

    @classmethod
    def attributes(cls) -> frozenset[str]:
        """Every SDK attribute that we read."""
        read = {*cls.info, *cls.reads, "id", "name", cls.owner}
        return frozenset({cls.attribute(n) for n in cls.declared()} | read)

    @classmethod
    def needs(cls) -> set[str]:
        """The kinds that it links to, without itself."""
        return {ref.kind for field in cls.declared().values() for ref in field.refs()} - {cls.kind}

    @classmethod
    def owner_of_name(cls) -> Ref:
        """The link that its name is unique within."""
        return next(iter(cls.declared()[str(cls.scope)].refs()))

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
    def called(cls, params: dict[str, Any]) -> str | None:
        """The name that filters are about."""
        return params.get("name")

    @classmethod
    def namesake(cls, params: dict[str, Any]) -> Any:
        """What documents that may be mistaken for each other have in common; None: this one can't be."""
        return (params.get("name") or "") if "name" in cls.declared() else None

    @classmethod
    def title(cls, params: dict[str, Any]) -> str:
        """What people call this document."""
        name = params.get("name")
        return name if isinstance(name, str) and name else "(no name)"


@cache
def _by_attribute(cls: type[Declaration]) -> dict[str, Portable]:
    return {cls.attribute(name): field for name, field in cls.declared().items()}


@cache
def _declared(cls: type[Declaration]) -> dict[str, Portable]:
    return {field.data_key or name: field for name, field in cls._declared_fields.items()}  # type: ignore[misc]
