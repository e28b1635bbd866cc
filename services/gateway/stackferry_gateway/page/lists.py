"""*Now*, *Hosts* and *Trouble*: what is there, and what needs a person."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

from stackferry.progress import Standing
from stackferry.progress.words import CUTOVER
from stackferry.roles import ADMIN, OPERATOR

from ..api import hosts, letters, migrations, schemas
from ..calls import Row, moment
from ..problems import Problem
from ..serving import loaded
from .advice import ACTIVE, ENDED, advice, crossed
from .visit import Go, Page, Visit

SHOWN, OVER_SHOWN = 100, 20  # migrations on one page
LARGEST = 20_000  # steps of a migration whose servers are looked at one by one
SMALL = 3000  # the same, where many migrations are shown
READ = 15  # migrations on a list whose steps are read for it: fewer than are kept at hand
DAY = 86400.0
EVERYTHING = "/events?progress=false"


def now(visit: Visit) -> Page:
    """What is under way, what needs a person, and what is over."""
    active = [_row(visit, one, number < READ) for number, one in enumerate(_some(visit, ACTIVE, SHOWN))]
    over = [_row(visit, one) for one in _some(visit, ENDED, OVER_SHOWN)]
    fleet = _fleet(visit)
    today = moment(time.time() - DAY)
    cards = [row for row in (*active, *over) if row["advice"].is_urgent and (row["changed"] > today or row in active)]
    counts = {
        "under way": sum(1 for row in active if row["phase"] not in ("stuck", "planned")),
        "need a person": len(cards),
        "done in a day": sum(1 for row in over if row["changed"] > today),
        "hosts ready": sum(1 for host in fleet if host["state"] == "ready"),
    }
    data = {"cards": cards, "active": active, "over": over, "counts": counts}
    return Page("now.html", "Now", data, hears=EVERYTHING)


def _some(visit: Visit, phases: tuple[str, ...], limit: int) -> list[Row]:
    call = visit.asking(schemas.MigrationsQuery, phase=list(phases), newest=True, limit=limit)
    return list(migrations.index(call).data["items"])


def _row(visit: Visit, migration: Row, is_read: bool = False) -> Row:
    """A migration with where it is, as far as that is cheap to know. *is_read*: its steps may be read for it."""
    overall, phases = (None, None)
    if migration["phase"] == "running":
        found = visit.seen.standings.peek(migration["id"])
        if found is None and is_read and size(migration) <= SMALL:
            found = standings(visit, migration["id"])
        if found is not None:
            _, overall, phases = found
    totals = migration["totals"] or {}
    failed = totals.get("failed", 0) + totals.get("skipped", 0)
    cutover = phases.get(CUTOVER, 0) if phases else 0
    return {
        **migration, "overall": overall, "servers": phases, "failed": failed,
        "advice": advice(migration, failed, cutover, visit.may(ADMIN), visit.may(OPERATOR)),
        "crossed": crossed(migration, *(_bytes(overall) if overall else ())),
    }  # fmt: skip


def _bytes(overall: Standing) -> tuple[int, int]:
    whole = overall.copied + overall.verified
    return whole.done, whole.total


def size(migration: Row) -> int:
    """How many steps a migration has."""
    return sum((migration["totals"] or {}).values())


def standings(visit: Visit, migration: str) -> Any:
    """Each of its workloads, all as one, and how many are in which phase."""
    return visit.seen.standings.of(migration, lambda: migrations.whole(visit.asking(path={"migration": migration}))[1])


def fleet(visit: Visit) -> Page:
    """The conversion hosts, and the exporters and importers."""
    found = {"hosts": _fleet(visit), "workers": list(hosts.workers(visit.call).data["items"])}
    return Page("hosts.html", "Hosts", found, hears=EVERYTHING)


def _fleet(visit: Visit) -> list[Row]:
    return list(hosts.index(visit.call).data["items"])


def tell_host(visit: Visit) -> Go:
    """Tell a host to take nothing new, or to go on."""
    hosts.act(visit.asking(body={"action": visit.said("action")}))
    return Go("/hosts")


def trouble(visit: Visit, stays: str = "") -> Page:
    """What isn't as it should be: migrations, hosts, services, messages. *stays*: why one of these wasn't settled."""
    rows = [_row(visit, one) for one in (*_some(visit, ACTIVE, SHOWN), *_some(visit, ENDED, SHOWN))]
    found = [row for row in rows if row["phase"] == "stuck" or row["failed"]]
    silent = [host for host in _fleet(visit) if host["state"] not in ("ready", "drained", "draining")]
    seen = hosts.workers(visit.call).data
    missing = [name for name in ("exporter", "importer") if not any(one["service"] == name for one in seen["items"])]
    # how many there are now, for whoever may see them; else as of the last minute
    parked = letters.index(visit.call).data if _may_settle(visit) else {"items": [], "number": seen["parked"]}
    data = {
        "rows": found, "hosts": silent, "missing": missing, "letters": parked["items"],
        "parked": parked["number"], "may_drop": visit.may(ADMIN), "stays": stays,
    }  # fmt: skip
    return Page("trouble.html", "Trouble", data, hears=EVERYTHING)


def _may_settle(visit: Visit) -> bool:
    return visit.may(OPERATOR) and not visit.call.person.client.is_limited


def settle(visit: Visit) -> Go | Page:
    """Put a message back that nobody could act on, or drop it; a drop is asked for first."""
    action, id_ = visit.said("action"), visit.said("id")
    if action == "drop" and visit.said("sure") != "yes":
        return Go(f"/trouble/sure?{urlencode({'id': id_})}")
    body = loaded(schemas.DeadLetterAction, {"action": action, "ids": [id_]})
    answer = letters.act(visit.asking(body=body)).data
    why = answer["stay"].get(id_) or ("it isn't there any more" if answer["missing"] else "")
    return trouble(visit, why) if why else Go("/trouble")


def sure(visit: Visit) -> Page:
    """Ask before a message is dropped."""
    id_ = visit.said("id")
    found = next((one for one in letters.index(visit.call).data["items"] if one["id"] == id_), None)
    if found is None:
        raise Problem(404, "no message of this id is parked; somebody else may have settled it")
    explained = "It is deleted for good. What it would have done isn't done."
    about = {"letter": found, "to": "/trouble", "label": "Drop it", "explained": explained}
    return Page(
        "sure.html", "Drop this message?", {**about, "fields": {"action": "drop", "id": id_}, "is_danger": True}
    )
