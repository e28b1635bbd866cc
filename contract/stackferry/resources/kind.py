"""What a kind is: a marshmallow schema whose fields are the document, the validation and the documentation.

A kind is declared in one module of this package: its fields, where openstacksdk finds it (``declaration.py`` lists
what can be said), and what is special. Hooks are for the exceptions; most kinds override none. Importing the package
registers every kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from .declaration import Declaration
from .hints import Hints

if TYPE_CHECKING:
    from .view import Record, View

#: SDK attribute → [its value before an update, its value afterwards], as JSON
Replaced = dict[str, list[Any]]
KINDS: dict[str, type[Kind]] = {}
BY_TYPE: dict[str, type[Kind]] = {}


class Kind(Declaration):
    """Base of every kind: how it's read, found, made, changed and deleted, unless a kind says otherwise."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.singular = cls.singular or cls.kind
        cls.plural = cls.plural or f"{cls.singular}s"
        KINDS[cls.kind] = cls
        BY_TYPE[cls.type] = cls

    # -- reading -----------------------------------------------------------------------------------------

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """Every resource of this kind in the view's project."""
        yield from getattr(view.proxy(cls.service), cls.plural)(project_id=view.project_id)

    @classmethod
    def taken(cls, record: Record) -> Record:
        """Return what to keep of a record, in the form in which the fields read it."""
        return record

    @classmethod
    def stands_alone(cls, view: View, record: Record) -> bool:
        """Whether a resource has a document of its own, outside of others."""
        return not cls.nested

    @classmethod
    def obstacle(cls, view: View, record: Record) -> str | None:
        """Why a resource can't cross at all; None when it can."""
        return None

    @classmethod
    def complete(cls, view: View, record: Record, names: Iterable[str]) -> Record:
        """Return the record with those of the named fields that a listing doesn't have."""
        return record

    @classmethod
    def remarks(cls, view: View, record: Record) -> Iterable[str]:
        """What doesn't cross of a resource that does."""
        return ()

    @classmethod
    def choose(cls, view: View, record: Record) -> dict[str, Any]:
        """Return what ``_migration_params`` should say instead of the defaults."""
        return {}

    @classmethod
    def has_payload(cls, document: dict[str, Any]) -> bool:
        """Whether bytes belong to it that no document holds."""
        return False

    @classmethod
    def payload_missing(cls, record: Record) -> bool:
        """Whether these bytes are still to come here."""
        return False

    @classmethod
    def fingerprint(cls, view: View, record: Record) -> list[str] | None:
        """What tells resources of one name apart, besides their own fields; None when there's nothing."""
        return None

    @classmethod
    def named(cls, view: View, name: str) -> Iterable[Any]:
        """Every resource of this name that can be seen."""
        yield from getattr(view.proxy(cls.service), cls.plural)(name=name)

    @classmethod
    def usable_by_project(cls, view: View, record: Record) -> bool:
        """Whether the view's project may use a resource of the very project that a reference names."""
        return cls.usable(view, record)

    @classmethod
    def usable(cls, view: View, record: Record) -> bool:
        """Whether the view's project may use a resource of another project; a member is shown nothing else."""
        return not view.is_admin or bool(record.get("is_shared"))

    @classmethod
    def fetch(cls, view: View, id_: str) -> Any:
        """The SDK's resource of an id, the project's own or any that is visible; None when there's none."""
        return getattr(view.proxy(cls.service), f"find_{cls.singular}")(id_, ignore_missing=True)

    @classmethod
    def afresh(cls, view: View, record: Record) -> Record | None:
        """The record as it is now; None when it's gone."""
        return view.refresh(cls.kind, record["id"])

    @classmethod
    def changed(cls, view: View, since: datetime) -> Iterable[Any] | None:
        """What is there and has changed since then (UTC), by one listing; None where the API has none for that."""
        return None

    # -- finding -----------------------------------------------------------------------------------------

    @classmethod
    def told(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Return a document's params; other programs may have said some of them elsewhere in it."""
        params: dict[str, Any] = document["params"]
        return params

    @classmethod
    def unwanted(cls, hints: Hints) -> str | None:
        """Why nothing is to be done about a document at all; None when something is."""
        return None

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """Return the params that this user may set at this destination, and notes on what was left out."""
        if view.is_admin:
            return params, []
        denied = {n: params[n] for n, harmless in cls.admin.items() if params.get(n) not in (None, harmless)}
        notes = [f"{n} = {v!r} was left out: it needs administrator rights" for n, v in denied.items()]
        return {n: v for n, v in params.items() if n not in cls.admin}, notes

    @classmethod
    def candidates(cls, view: View, body: dict[str, Any], hints: Hints) -> list[Record]:
        """The destination's resources that may be the one that *body* describes."""
        scope = cls.attribute(cls.scope) if cls.scope else None
        return [
            record
            for record in view.records(cls.kind)
            if (record["name"] or "") == (body.get("name") or "")
            and (scope is None or record.get(scope) == body.get(scope))
        ]

    @classmethod
    def extra_changes(cls, view: View, record: Record, hints: Hints) -> list[dict[str, Any]]:
        """Differences that are no fields: [{field, from, to}]."""
        return []

    @classmethod
    def lacks(cls, view: View, document: dict[str, Any], body: dict[str, Any], hints: Hints) -> list[str]:
        """Everything that this cloud lacks for making it; raise Taken when it has what excludes it."""
        return []

    @classmethod
    def provisos(cls, view: View, document: dict[str, Any]) -> list[str]:
        """What will be made otherwise than people may expect, though all that it takes is there."""
        return []

    # -- making and changing -----------------------------------------------------------------------------

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Create; return the SDK's resource."""
        tags = body.pop("tags", None)
        resource = getattr(view.proxy(cls.service), f"create_{cls.singular}")(**body)
        if tags:
            set_tags(view, cls.service, resource, tags)
        return resource

    @classmethod
    def settled(cls, record: Record) -> bool:
        """Whether the cloud has made it; raise EndedInError when it won't. For gradual kinds."""
        return True

    @classmethod
    def update(cls, view: View, record: Record, body: dict[str, Any], hints: Hints) -> Any:
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
    def also_replaced(cls, view: View, record: Record, hints: Hints) -> Replaced:
        """What of ``extra_changes`` an update replaces."""
        return {}

    @classmethod
    def bring_back(cls, view: View, record: Record, body: dict[str, Any]) -> None:
        """Set what an update has replaced (``undo``), given as SDK attributes."""
        cls.update(view, record, body, {})

    @classmethod
    def delete(cls, view: View, record: Record) -> None:
        """Delete; what is gone already is fine."""
        getattr(view.proxy(cls.service), f"delete_{cls.singular}")(record["id"], ignore_missing=True)

    @classmethod
    def results(cls, record: Record) -> dict[str, Any]:
        """What people want to know of it, once it's there, and couldn't know before."""
        return {}

    @classmethod
    def take_back(cls, view: View, record: Record, hints: Hints) -> None:
        """Undo what this migration did with it; most kinds are deleted."""
        cls.delete(view, record)


def set_tags(view: View, service: str, resource: Any, tags: list[str]) -> None:
    """Replace the tags of a Neutron resource (they have an API of their own)."""
    resource.tags = view.proxy(service).set_tags(resource, sorted(tags)).tags


def order() -> tuple[str, ...]:
    """Every kind, prerequisites first: the order in which people expect to read them."""
    graph = {name: sorted(kind.needs() & KINDS.keys()) for name, kind in sorted(KINDS.items())}
    return tuple(TopologicalSorter(graph).static_order())


def named(kind: type[Kind], record: Record) -> str:
    """What to call a resource in a sentence."""
    return f"{kind.kind.replace('_', ' ')} {record.get('name') or record['id']!r}"
