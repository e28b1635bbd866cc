"""What a project has in each service that no kind covers: asked side by side; a service that refuses costs one line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from os_service_types import ServiceTypes
from stackferry.resources.extensions import offered
from stackferry.resources.staying import Staying
from stackferry.resources.view import View
from stackferry.selection import selects_kind
from stackferry_clouds.failures import failure

from .uncovered import KNOWN, NETWORK, TABLE, Uncovered

#: seconds that all of them together are waited for
PATIENCE = 30.0
#: objects of one type that are counted, at most
MOST = 10_000
AT_ONCE = 8


def survey(view: View, selection: dict[str, Any] | None, patience: float = PATIENCE) -> list[Staying]:
    """Return every object of the project that no kind covers; with kinds selected, those that belong to these kinds."""
    services = _services(view)
    rows = [row for row in TABLE if row.service in services and _is_asked_for(row, selection)]
    found: dict[str, list[Staying]] = {row.type: [] for row in rows}
    pool = ThreadPoolExecutor(AT_ONCE)
    asked = {pool.submit(_ask, view, row, found[row.type]): row for row in rows}
    _, silent = wait(asked, patience)
    pool.shutdown(wait=False, cancel_futures=True)
    for row in (asked[future] for future in silent):
        found[row.type] = [*found[row.type], _unlisted(row.type, f"no answer within {patience:g} s")]
    told = itertools.chain.from_iterable(found.values())
    return list(told) if (selection or {}).get("kinds") is not None else [*told, *_unknown(services)]


def _is_asked_for(row: Uncovered, selection: dict[str, Any] | None) -> bool:
    return (selection or {}).get("kinds") is None or any(selects_kind(selection, kind) for kind in row.of)


def _ask(view: View, row: Uncovered, found: list[Staying]) -> None:
    """List one type into *found*, object by object: what was read before a failure counts."""
    try:
        for item in itertools.islice(_listed(view, row), MOST):
            found.append(Staying(row.type, str(item.id), row.name(item) or None, row.reason))
    except Exception as error:
        found.append(_unlisted(row.type, failure(error)[1]))


def _listed(view: View, row: Uncovered) -> Iterator[Any]:
    if row.service == NETWORK and not offered(view, row.extension):
        return
    query = {**row.query, "project_id": view.project_id} if row.wants_project else row.query
    for item in getattr(view.proxy(row.service.replace("-", "_")), row.plural)(**query):
        project = getattr(item, "project_id", None) or getattr(item, "owner", None)
        if project in (None, view.project_id) and not row.automatic(item):
            yield item


def _unlisted(type_: str, reason: str) -> Staying:
    return Staying(type_, None, None, f"could not be listed: {reason}")


def _services(view: View) -> set[str]:
    """The services that this cloud's catalogue has, by their official names."""
    session, official = view.connection.session, ServiceTypes()
    catalog = session.auth.get_access(session).service_catalog.catalog
    return {official.get_service_type(entry["type"]) or str(entry["type"]) for entry in catalog}


def _unknown(services: set[str]) -> list[Staying]:
    why = "Stackferry does not know this service: see there what the project has"
    return [Staying(f"service {name}", None, None, why) for name in sorted(services - KNOWN)]
