"""Migrations: asked for, listed, shown, controlled, reported, forgotten."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from stackferry import cleanup, moved, summary, undone
from stackferry.messages import (
    CleanUpSource,
    ControlMigration,
    DescribeMigrations,
    ForgetMigrations,
    RequestMigration,
    SubmitDocuments,
)
from stackferry.pages import pages
from stackferry.phases import refusal
from stackferry.roles import Client
from stackferry.wording import stays_behind

from ..calls import Call, Reply, Row, after, as_csv, page, tagged, told
from ..problems import Problem
from ..rendering import rendered

AT_ONCE = 500  # migrations that the coordinator is asked for, of which somebody may know of few
PART_BYTES = 300_000  # of documents in one message
OWN_IDS = uuid.UUID("6f1e4b0a-8b58-4e0c-9d62-5c7f4a1f0e11")  # namespace of ids that are made of idempotency keys
IDS = ("kind", "name", "source_id", "destination_id")


def index(call: Call) -> Reply:
    """List migrations, the oldest first; with `newest` the newest."""
    asked_for = [one.partition("=") for one in call.query["label"]]
    pairs = [*((name, value) for name, _, value in asked_for), *call.person.client.labels.items()]
    labels = dict(pairs)
    if any(labels[name] != value for name, value in pairs):
        return Reply(page([], None))  # a label has one value
    which: Row = {"phases": call.query["phase"], "labels": labels, "newest": call.query["newest"]}
    asked = {name: value for name, value in which.items() if value}
    found: list[Row] = []
    limit, cursor = call.query["limit"], call.query.get("cursor")
    last = after(cursor) if cursor else None
    while len(found) <= limit:  # one more, to know whether there are more
        parts = call.ask(DescribeMigrations, {**asked, "limit": AT_ONCE, **({"after": last} if last else {})})
        rows = [row for part in parts for row in part["migrations"]]
        found += [told(row) for row in rows if call.person.client.may_see(row)]
        last = parts[-1].get("next")
        if not last:
            break
    return Reply(page(found[:limit], found[limit - 1]["id"] if len(found) > limit else None))


def create(call: Call) -> Reply:
    """Request a migration. With an `Idempotency-Key` the same request may be sent again, and is taken once."""
    key = call.headers.get("idempotency-key")
    id_ = str(uuid.uuid5(OWN_IDS, f"{call.person.name}\0{key}") if key else uuid.uuid4())
    documents = call.body.get("documents")
    request = {name: value for name, value in call.body.items() if name != "documents"}
    request["labels"] = {**(request.get("labels") or {}), **call.person.client.labels}
    if not request["labels"]:
        del request["labels"]
    parts = [] if documents is None else list(pages(documents, PART_BYTES)) or [[]]
    if documents is not None:
        request |= {"parts": len(parts), "digest": hashlib.sha256(json.dumps(documents).encode()).hexdigest()}
    data = {"migration": id_, **request}
    call.allow(RequestMigration, data, [data])
    if data.get("image_blobs") and call.person.client != Client():
        raise Problem(
            403, "image_blobs names a folder of the services' machines: it's for administrators of everything"
        )
    RequestMigration.load_data(data)
    submitted = [{"migration": id_, "part": number, "documents": part} for number, part in enumerate(parts, 1)]
    for one in submitted:  # whether all of them can be sent, before anything is
        SubmitDocuments.make("", one).to_bytes()
    call.ask(RequestMigration, data)  # first: what is refused leaves nothing behind
    for one in submitted:
        call.ask(SubmitDocuments, one)
    (first,) = call.ask(DescribeMigrations, {"migration": id_, "steps": False})
    return Reply(told(first["migration"]), 202, {"Location": f"/v1/migrations/{id_}"})


def show(call: Call) -> Reply:
    """Show one migration: phase, totals, each kind, what stays behind."""
    return tagged(call, told(call.parts(limit=1)[0]["migration"]))


def delete(call: Call) -> Reply:
    """Forget a migration that is over, for good. Nothing is deleted in a cloud."""
    found = call.migration()
    call.allow(ForgetMigrations, {}, [found])
    (answer,) = call.ask(ForgetMigrations, {"migrations": [found["id"]]})
    if why := answer["kept"].get(found["id"]):
        raise Problem(409, why, help=f"stackferry cancel {found['id']}")
    return Reply(None, 204)


def steps(call: Call) -> Reply:
    """List the steps of a migration, in order."""
    migration, rows, next_ = _some_steps(call, states=call.query["state"], kinds=call.query["kind"])
    return Reply(page([told(row) for row in undone.now(migration["phase"], rows)], next_))


def plan(call: Call) -> Reply:
    """List what a plan would do, with the fields that differ."""
    migration, rows, next_ = _some_steps(call)
    if migration["mode"] != "plan":
        raise Problem(409, "this is no plan, or was started since: see its steps")
    return Reply(page([told(step) for step in rows if _is_planned(step)], next_))


def _some_steps(call: Call, **which: list[str]) -> tuple[Row, list[Row], str | None]:
    """A migration, the steps of the page that is asked for, and where the next page begins."""
    begin = {"after": after(call.query["cursor"])} if call.query.get("cursor") else {}
    parts = call.parts(limit=call.query["limit"], **begin, **{name: few for name, few in which.items() if few})
    return parts[0]["migration"], [step for part in parts for step in part["steps"]], parts[-1].get("next")


def _is_planned(step: Row) -> bool:
    if step["action"] == "room":
        return bool(step["state"] == "failed")
    return bool(step["action"] == "compare" and (step["outcome"] != "unchanged" or step["notes"]))


def workloads(call: Call) -> Reply:
    """Show where each server and each volume is: phase, bytes, rate, time left, downtime."""
    _, rows = whole(call)
    found, overall = moved.report(rows, time.monotonic())
    return Reply({"items": found, "progress": overall})


def report(call: Call) -> Reply:
    """Report what became of a migration: a row a kind, and what needs attention."""
    migration, rows = whole(call)
    kinds = summary.by_kind(rows)
    if call.query["format"] == "csv":
        return as_csv(summary.COLUMNS, kinds, f"report-{migration['id']}")
    found, overall = moved.report(rows, time.monotonic())
    bad = [told(step) for step in summary.attention({**migration, "steps": rows})]
    data = {"migration": told(migration), "kinds": kinds, "attention": bad, "workloads": found, "progress": overall}
    if call.query["format"] == "html":
        lines = list(stays_behind.lines(migration.get("stays_behind") or []))
        html = rendered("report.html", {**data, "columns": summary.ENDS, "stays_behind": lines})
        name = {"Content-Disposition": f'attachment; filename="report-{migration["id"]}.html"'}
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
        return Reply(media="text/html; charset=utf-8", body=html.encode("utf-8", "replace"), headers={**name, **policy})
    return Reply(data)


def id_map(call: Call) -> Reply:
    """List what became of which id of the source."""
    migration, rows = whole(call)
    found = list(summary.id_map(rows))
    if call.query["format"] == "csv":
        return as_csv(IDS, found, f"id-map-{migration['id']}")
    return Reply({"items": found})


def whole(call: Call) -> tuple[Row, list[Row]]:
    """A migration, and all of its steps as they stand now."""
    parts = call.parts()
    found = parts[0]["migration"]
    return found, undone.now(found["phase"], [step for part in parts for step in part["steps"]])


def act(call: Call) -> Reply:
    """Tell a migration to start, pause, resume, cancel, retry, cut servers over, or undo."""
    found, action = call.migration(), call.body["action"]
    call.allow(ControlMigration, {"action": action}, [found])
    if why := refusal(found["phase"], found["paused"], action, found["reason"]):
        raise Problem(409, why, help=f"stackferry show {found['id']}")
    if action == "undo" and (why := cleanup.deleted(whole(call)[1])):
        raise Problem(409, why)
    which = {"servers": call.body["servers"]} if call.body.get("servers") else {}
    call.ask(ControlMigration, {"migration": found["id"], "action": action, **which})
    return Reply(told(call.migration()), 202)


def clean_up(call: Call) -> Reply:
    """Delete at the source what a migration that is done has moved and verified: these workloads."""
    migration, rows = whole(call)
    call.allow(CleanUpSource, {}, [migration])
    found = {one.key: one for one in cleanup.candidates(rows)}
    keys, names = call.body["workloads"], call.body["names"]
    if wrong := dict(_unlike(keys, names, found)):
        raise Problem(422, "what is to be deleted must be named twice: by its key, and by its name", wrong)
    if kept := {key: found[key].refusal for key in keys if found[key].refusal}:
        raise Problem(409, next(str(why) for why in kept.values()), {"workloads": list(map(str, kept.values()))})
    call.ask(CleanUpSource, {"migration": migration["id"], "workloads": keys})
    return Reply(told(call.migration()), 202)


def _unlike(keys: list[str], names: list[str], found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What of a list of workloads and their names doesn't agree with what was moved."""
    if unknown := [key for key in keys if key not in found]:
        yield "workloads", [f"this migration has moved no {key}" for key in unknown]
        return
    if [found[key].name for key in keys] != names:
        yield "names", [f"these are called {', '.join(found[key].name for key in keys)}"]
