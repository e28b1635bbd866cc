"""Who is there to work, as last heard of: importers with their certificates, agents with their hosts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select
from stackferry import __version__, topology

from ..storage import tables as t
from .assignment import Fleet, Host, unfit

WORKER_SILENT = 120.0  # seconds: four times as long as a worker is silent
AGENT_SILENT = 30.0  # an agent says every five seconds that it's there
MANY = 256  # agents that are remembered of one host: nobody can make more rows than that
NEWS = 0.9  # seconds after which a worker has said that its credentials are others
GONE = 86400.0  # seconds of silence after which one is forgotten
WORKER = ("version", "certificate", "clouds")
#: which service works on which side of a migration
SIDES = {"source": topology.EXPORTER.service, "destination": topology.IMPORTER.service}
AGENT = ("name", "cloud", "project", "slots", "version", "certificate")
# Statements of each assignment are made once: SQLAlchemy takes longer to make one than SQLite to answer it.
_ANSWERING = (t.agent.c.seen > bindparam("since"), t.agent.c.slots > 0)
_HEARD = select(t.agent).where(*_ANSWERING).order_by(t.agent.c.host)
_AGENTS = _HEARD.with_for_update()
_ON = select(t.agent.c.certificate).where(t.agent.c.host == bindparam("host"), *_ANSWERING)
_HOLDING = select(t.step.c.results).where(t.step.c.state == "holding")
_DRAINING = select(t.host.c.id).where(t.host.c.draining)
_WANTING = (
    select(t.step.c.migration)
    .join(t.migration, t.migration.c.id == t.step.c.migration)
    .where(t.step.c.state == "wanting", t.migration.c.paused.is_(False))
    .distinct()
)
_MANY_WANTING = select(func.count()).select_from(_WANTING.subquery())


def worker_seen(connection: Connection, upsert: Callable[..., Any], data: dict[str, Any], now: float) -> None:
    """Note that a worker is there, or leaves."""
    key = {"service": data["service"], "instance": data["instance"]}
    _seen(connection, upsert, t.worker, key, {n: data.get(n) for n in WORKER}, data, now)


def workers(connection: Connection, now: float) -> list[dict[str, Any]]:
    """Every worker that isn't silent, as people are told of it."""
    c = t.worker.c
    query = select(c.service, c.instance, c.version, c.clouds, c.seen).where(c.seen > now - WORKER_SILENT)
    rows = connection.execute(query.order_by(c.service, c.instance)).mappings()
    return [{**row, "seen": round(max(0.0, now - row["seen"]), 1)} for row in rows]


def unknown_clouds(
    connection: Connection, request: dict[str, Any], now: float, own: Collection[str] | None
) -> dict[str, str]:
    """Why a request's clouds can't be reached, by field: no worker on that side has credentials for them.

    Where none is there, or one doesn't say which it knows, nobody can tell. A client is told of its *own* clouds only.
    """
    wrong, c = {}, t.worker.c
    for side, service in SIDES.items():
        if not (cloud := (request.get(side) or {}).get("cloud")):
            continue
        there = select(c.clouds).where(c.service == service, c.seen > now - WORKER_SILENT)
        told = list(connection.execute(there).scalars())
        known = sorted({name for names in told for name in names or ()})
        if told and None not in told and cloud not in known:
            known = known if own is None else [name for name in known if name in own]
            some = f"{', '.join(known[:20])}{' ...' if len(known) > 20 else ''}" or "none"
            wrong[side] = f"no {service} has credentials for a cloud {cloud!r} in its clouds.yaml; known: {some}"
    return wrong


def agent_seen(connection: Connection, upsert: Callable[..., Any], data: dict[str, Any], now: float) -> None:
    """Note that an agent is there, or leaves."""
    values = {**{n: data.get(n) for n in AGENT}, "project": data.get("project") or ""}
    if data.get("stopping"):  # it may be back soon: its host's work isn't given to others at once
        data, values["slots"] = {**data, "stopping": False}, 0
    _seen(connection, upsert, t.agent, {"host": data["host"], "instance": data["instance"]}, values, data, now)
    mine = select(t.agent.c.instance).where(t.agent.c.host == data["host"]).order_by(t.agent.c.seen.desc())
    if surplus := list(connection.execute(mine.offset(MANY)).scalars()):
        connection.execute(delete(t.agent).where(t.agent.c.host == data["host"], t.agent.c.instance.in_(surplus)))


def _seen(
    connection: Connection, upsert: Callable[..., Any], table: Any, key: dict[str, Any], values: dict[str, Any],
    data: dict[str, Any], now: float,
) -> None:  # fmt: skip
    if data.get("stopping"):
        connection.execute(delete(table).filter_by(**key))
        return
    values = {**values, "seen": now}
    statement = upsert(table).values(**key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def forget(connection: Connection, now: float) -> None:
    """Forget whoever left without a word."""
    for table in (t.worker, t.agent):
        connection.execute(delete(table).where(table.c.seen < now - GONE))


def importers(connection: Connection, now: float) -> list[str]:
    """The certificates of the importers that were seen lately."""
    query = select(t.worker.c.certificate).where(
        t.worker.c.service == "importer", t.worker.c.seen > now - WORKER_SILENT, t.worker.c.certificate.is_not(None)
    )
    return list(connection.execute(query).scalars())


def places(connection: Connection, host: str) -> list[dict[str, Any]]:
    """Where a host is, as its agents say: {cloud, project}."""
    query = select(t.agent.c.cloud, t.agent.c.project).where(t.agent.c.host == host).distinct()
    found = [{"cloud": row.cloud, "project": row.project or None} for row in connection.execute(query)]
    return found or [{"cloud": None}]  # nobody knows where: only who may touch everything may touch it


def agents_on(connection: Connection, host: str, now: float) -> list[str]:
    """The certificates of the agents on a host that were seen lately."""
    return list(connection.execute(_ON, {"host": host, "since": now - AGENT_SILENT}).scalars())


def lost(connection: Connection, now: float, silent: float) -> list[tuple[str, str, list[str]]]:
    """(migration, key of the place, hosts) of volumes on hosts that have been silent for so long, where others could
    do their work."""
    holding = (
        select(t.step.c.migration, t.step.c.key, t.step.c.results, t.migration.c.request)
        .join(t.migration, t.migration.c.id == t.step.c.migration)
        .where(t.step.c.state == "holding", t.migration.c.paused.is_(False))
    )
    rows = list(connection.execute(holding))
    if not rows:
        return []
    alive = set(connection.execute(select(t.agent.c.host).where(t.agent.c.seen > now - silent)).scalars())
    known = {(host.cloud, host.project) for host in hosts(connection, now).hosts if host.slots and host.unfit is None}
    found = []
    for migration, key, results, request in rows:
        sides = {results[f"{side}_host"]: request[side] for side in ("source", "destination")}
        gone = [host for host in sides if host not in alive]
        if gone and all((sides[host]["cloud"], sides[host].get("project") or "") in known for host in gone):
            found.append((migration, key, gone))
    return found


def hosts(connection: Connection, now: float, per_cloud: int = 0) -> Fleet:
    """Every host with an agent that answers, and how many of its slots are taken; whoever else asks must wait."""
    agents = connection.execute(_AGENTS, {"since": now - AGENT_SILENT}).mappings()
    return Fleet(tuple(host for host, _ in grouped(connection, agents)), per_cloud)


def missing(connection: Connection, now: float, *places: dict[str, Any]) -> str | None:
    """Say in which of these projects no host can be used; whoever assigns need not wait for this question."""
    agents = connection.execute(_HEARD, {"since": now - AGENT_SILENT}).mappings()
    return Fleet(tuple(host for host, _ in grouped(connection, agents))).missing(*places)


def grouped(connection: Connection, agents: Iterable[Any]) -> Iterator[tuple[Host, list[Any]]]:
    """Each host with its agents."""
    used: Counter[str] = Counter()
    for results in connection.execute(_HOLDING).scalars():
        used.update(results.values())
    draining = set(connection.execute(_DRAINING).scalars())
    grouped: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for row in agents:
        grouped[(row["host"], row["cloud"], row["project"])].append(row)
    for (id_, cloud, project), mine in grouped.items():
        slots = sum(row["slots"] for row in mine)
        why = unfit((row["version"] for row in mine), __version__)
        yield Host(id_, cloud, project, slots, used[id_], id_ in draining, why), mine


def wanting(connection: Connection, now: float) -> list[str]:
    """The migrations that want a place on the hosts, unless they're paused, or every place is taken."""
    found = list(connection.execute(_WANTING).scalars())
    known = hosts(connection, now) if found else Fleet(())
    return [] if known.full else found


def share(connection: Connection, fleet: Fleet, held: int) -> int:
    """How many more places one migration may have: all, or its part when others want some too."""
    wanting = max(1, connection.execute(_MANY_WANTING).scalar_one())
    total = fleet.slots
    return total if wanting == 1 else max(0, max(1, total // (2 * wanting)) - held)
