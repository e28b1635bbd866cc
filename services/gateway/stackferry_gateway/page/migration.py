"""One migration: what to do next, and its tabs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import urlencode

from stackferry import summary
from stackferry.envelope import Envelope
from stackferry.progress import Amount, Standing
from stackferry.progress.standing import OVER
from stackferry.progress.words import CUTOVER
from stackferry.roles import ADMIN, OPERATOR, TAKES_AWAY
from stackferry.step_key import read
from stackferry.undone import UNDOING
from stackferry.wording import stays_behind, telling

from ..api import migrations, schemas
from ..calls import Reply, Row
from ..pace import BUCKET
from ..problems import Problem
from ..serving import allow, loaded
from . import chart
from .advice import BUTTONS, REACHED, STEPS, advice, crossed
from .lists import LARGEST, size, standings
from .visit import File, Go, Page, Visit

PAGE = 50  # servers, or steps, of a page
HEARD = 200  # events that are shown
WAITS = 1000  # steps that are looked at for what they wait for
FILTERS = ("all", "under way", "waiting", "done", "failed")


def show(visit: Visit) -> Page:
    """The tab that says most: servers, where there are some, else the plan or the resources."""
    found = _about(visit)
    return TABS[found["tabs"][0]](visit, found)


def tab(visit: Visit) -> Page:
    """One of its tabs."""
    name = visit.call.path["tab"]
    if name not in TABS:
        raise Problem(404, f"a migration has no {name!r}")
    return TABS[name](visit, _about(visit))


def _about(visit: Visit) -> Row:
    """What every tab says above."""
    found = migrations.show(visit.call).data
    workloads = sum(row["count"] for row in found["kinds"] if row["kind"] in ("server", "volume") and _is_main(row))
    is_run = found["mode"] == "run"
    known = is_run and workloads and size(found) <= LARGEST
    each, overall, phases = standings(visit, found["id"]) if known else ([], None, Counter())
    failed = _failed(found)
    cutover = phases.get(CUTOVER, 0)
    amount = (overall.copied + overall.verified) if overall else Amount()
    tabs = [
        *(["servers"] if is_run and workloads else []),
        *(["plan"] if found["mode"] == "plan" else []),
        "resources",
        *(["waiting"] if is_run else []),
        "stays-behind",
        "events",
        "report",
    ]
    return {
        "migration": found, "tabs": tabs, "each": each, "overall": overall, "servers": phases, "amount": amount,
        "workloads": workloads, "failed": failed, "crossed": crossed(found, amount.done, amount.total),
        "advice": advice(found, failed, cutover, visit.may(ADMIN), visit.may(OPERATOR)),
        "reached": _reached(found), "steps": STEPS, "chart": chart.drawn(visit.seen.pace.of(found["id"]), BUCKET),
        "may_cut_over": visit.may(OPERATOR) and found["phase"] == "running",
    }  # fmt: skip


def _page(found: Row, name: str, **data: Any) -> Page:
    migration = found["migration"]
    title = migration["name"] or migration["id"][:8]
    hears = f"/migrations/{migration['id']}/heard"
    return Page(f"migration/{name}.html", title, {**found, "tab": name, **data}, hears=hears)


def _is_main(row: Row) -> bool:
    return row["action"] in ("ensure", "compare")


def _failed(found: Row) -> int:
    """How many resources need attention: they failed, or were skipped since something else had."""
    if found["phase"] == "undone":
        return 0
    rooms = sum(row["count"] for row in found["kinds"] if row["action"] == "room" and row["state"] == "failed")
    total = summary.by_kind(found["kinds"])[-1]
    return int(total["failed"] + total["skipped"] + rooms)


def _reached(found: Row) -> int:
    if found["phase"] in REACHED:
        return REACHED[found["phase"]]
    return 3 if size(found) > 1 else 0


# -- tabs --------------------------------------------------------------------------------------------------


def _servers(visit: Visit, found: Row) -> Page:
    which = visit.said("show", "all")
    wanted = [one for one in found["each"] if _is_shown(one, which)]
    first = _number(visit.said("from"))
    return _page(found, "servers", shown=wanted[first : first + PAGE], many=len(wanted), first=first, which=which,
                 filters=FILTERS, pages=_pages(visit, first, len(wanted)), id_of=_id)  # fmt: skip


def _id(one: Standing) -> str:
    return read(one.key).id


def _is_shown(one: Standing, which: str) -> bool:
    if which == "under way":
        return one.active
    if which == "waiting":
        return not one.active and one.phase not in OVER
    if which == "failed":
        return one.phase in ("failed", "skipped", "taking back", "taken back")
    return which != "done" or one.phase == "done"


def _resources(visit: Visit, found: Row) -> Page:
    """A row a kind; with ``kind``, each of them, with what differs."""
    kind, rows, next_ = visit.said("kind"), [], None
    if kind:
        page = migrations.steps(visit.asking(schemas.StepsQuery, kind=[kind], limit=PAGE, **_cursor(visit))).data
        rows, next_ = [row for row in page["items"] if _is_main(row)], page["next"]
    counts = found["migration"]["kinds"]
    if found["migration"]["phase"] in UNDOING and size(found["migration"]) <= LARGEST:
        counts = migrations.whole(visit.call)[1]
    more = visit.here(cursor=next_) if next_ else None
    return _page(found, "resources", kinds=summary.by_kind(counts), kind=kind, rows=rows, more=more,
                 columns=summary.ENDS)  # fmt: skip


def _cursor(visit: Visit) -> dict[str, Any]:
    cursor = visit.said("cursor")
    return {"cursor": cursor} if cursor else {}


def _plan(visit: Visit, found: Row) -> Page:
    """What would be done; resource by resource, with the fields that differ."""
    if found["migration"]["mode"] != "plan":
        return _resources(visit, found)
    page = migrations.plan(visit.asking(schemas.Query, limit=PAGE * 4, **_cursor(visit))).data
    total = summary.by_kind(found["migration"]["kinds"])[-1]
    more = visit.here(cursor=page["next"]) if page["next"] else None
    return _page(found, "plan", rows=page["items"], total=total, more=more)


def _waiting(visit: Visit, found: Row) -> Page:
    """What holds steps up: hosts, quotas, people, clouds; each reason once."""
    asked = visit.asking(schemas.StepsQuery, state=["wanting", "resting", "asked"], limit=WAITS)
    reasons: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in migrations.steps(asked).data["items"]:
        if row["state"] == "wanting":
            reasons["a place on a conversion host", row["reason"] or "all places are taken"].append(row)
        elif row["action"] in ("cutover", "wait"):
            whom = "somebody's word to cut over" if row["action"] == "cutover" else "somebody to shut its server down"
            reasons[whom, row["reason"] or ""].append(row)
        elif row["reason"]:
            reasons["another try", row["reason"]].append(row)
    told = [{"what": what, "reason": why, "many": len(rows), "names": [_title(row) for row in rows[:5]]}
            for (what, why), rows in sorted(reasons.items(), key=lambda item: -len(item[1]))]  # fmt: skip
    return _page(found, "waiting", reasons=told, missing=found["migration"].get("missing_hosts"))


def _title(row: Row) -> str:
    return f"{row['kind'].replace('_', ' ')} {row['name'] or '(no name)'}"


def _stays_behind(visit: Visit, found: Row) -> Page:
    return _page(found, "stays-behind", lines=list(stays_behind.lines(found["migration"]["stays_behind"] or [])))


def _events(visit: Visit, found: Row) -> Page:
    told = []
    for event in visit.seen.history.latest(found["migration"]["id"], HEARD):
        envelope = Envelope.from_bytes(_data(event.frame), "application/cloudevents+json")
        told.append({"at": envelope.time, "name": event.name, "text": telling.told(envelope) or _about_step(envelope)})
    return _page(found, "events", told=told)


def _about_step(event: Envelope) -> str:
    """What an event is about that has no line of its own."""
    key = str(event.data.get("step") or event.data.get("workload") or "")
    named = " ".join(filter(None, (str(event.data.get("kind") or ""), str(event.data.get("name") or "")))).strip()
    task = read(key).task if key else ""
    return ": ".join(filter(None, (named.replace("_", " ") or key.removesuffix(f"/{task}"), task)))


def _data(frame: bytes) -> bytes:
    """The event in a frame of a stream of server-sent events."""
    return frame.partition(b"\ndata: ")[2].rstrip(b"\n")


def _report(visit: Visit, found: Row) -> Page:
    if size(found["migration"]) > LARGEST:
        kinds = summary.by_kind(found["migration"]["kinds"])
        return _page(found, "report", kinds=kinds, columns=summary.ENDS, attention=[], moved=[], is_large=True)
    said = migrations.report(visit.asking(schemas.ReportQuery)).data
    return _page(found, "report", kinds=said["kinds"], columns=summary.ENDS, attention=said["attention"],
                 moved=said["workloads"], is_large=False)  # fmt: skip


TABS = {
    "servers": _servers, "plan": _plan, "resources": _resources, "waiting": _waiting, "stays-behind": _stays_behind,
    "events": _events, "report": _report,
}  # fmt: skip


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _pages(visit: Visit, first: int, many: int) -> dict[str, str | None]:
    return {
        "before": visit.here(**{"from": max(0, first - PAGE)}) if first else None,
        "after": visit.here(**{"from": first + PAGE}) if first + PAGE < many else None,
    }


# -- deeds -------------------------------------------------------------------------------------------------


def sure(visit: Visit) -> Page:
    """Ask before something is done that can't simply be taken back."""
    action, found = visit.said("action"), migrations.show(visit.call).data
    label, explained = BUTTONS.get(action, ("", ""))
    if not explained:
        raise Problem(404, "there's nothing of this name that is asked for first")
    server = visit.said("server") if action == "cutover" else ""
    if server:
        each = standings(visit, found["id"])[0] if size(found) <= LARGEST else []
        label = f"Cut over {next((one.name for one in each if _id(one) == server), '')} ({server})"
    data = {
        "migration": found, "to": f"/migrations/{found['id']}", "label": label, "explained": explained,
        "fields": {"action": action, "server": server}, "is_danger": action in ("undo", "cancel"),
    }  # fmt: skip
    return Page("sure.html", f"{label}?", data)


def act(visit: Visit) -> Go:
    """Tell a migration something; what takes something away, or stops servers, is asked for first."""
    action, server = visit.said("action"), visit.said("server")
    here = f"/migrations/{visit.call.path['migration']}"
    explained = BUTTONS.get(action, ("", ""))[1]
    if explained and visit.said("sure") != "yes":
        about = {"server": server} if server else {}
        return Go(f"{here}/sure?{urlencode({'action': action, **about})}")
    allow(visit.call.person, ADMIN if action in TAKES_AWAY else OPERATOR)
    body = loaded(schemas.Action, {"action": action, **({"servers": [server]} if server else {})})
    migrations.act(visit.asking(body=body))
    return Go(here)


def download(visit: Visit) -> File:
    """The report, or the map of ids, as a file."""
    name, format_ = visit.call.path["what"], visit.call.path["format"]
    do = {"report": migrations.report, "id-map": migrations.id_map}.get(name)
    schema = schemas.ReportQuery if name == "report" else schemas.FormatQuery
    if do is None or format_ not in ("csv", "json", *(["html"] if name == "report" else [])):
        raise Problem(404, "there are report and id-map, as csv and json, and the report as html")
    reply: Reply = do(visit.asking(schema, format=format_))
    content = reply.content() if format_ != "json" else json.dumps(reply.data, indent=2, ensure_ascii=False).encode()
    return File(content, reply.media, f"{name}-{visit.call.path['migration']}.{format_}")
