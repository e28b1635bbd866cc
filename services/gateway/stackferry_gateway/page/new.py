"""A new migration: clouds, with a check of their credentials; what of it; how; then its plan, or at once."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from stackferry.errors import Error
from stackferry.messages import RequestMigration
from stackferry.resources import KINDS
from stackferry.roles import OPERATOR
from stackferry.selection import selectable
from stackferry.wording import written
from stackferry_runtime.desk import Declined

from ..api import hosts, migrations, schemas
from ..calls import Row
from ..problems import Problem, pointers
from ..serving import allow, loaded, problem_of
from .visit import Go, Page, Visit

SIDES = ("source", "destination")
FIELDS = ("source", "source_project", "destination", "destination_project", "name", "volumes_at_once",
          "servers_at_once", "bandwidth", "cutover")  # fmt: skip
TEXTS = ("filters", "maps", "labels")
FLAGS = ("warm", "boot_disk_copy", "wait_for_shutdown", "start_servers")
NUMBERS = ("volumes_at_once", "servers_at_once", "bandwidth")


def form(visit: Visit) -> Page:
    """The empty form."""
    return _form(visit, {}, {})


def send(visit: Visit) -> Page | Go:
    """Check what the form says; or ask for it: ``do`` is check, plan or run."""
    allow(visit.call.person, OPERATOR)
    do = visit.said("do", "check")
    try:
        body = _body(visit, "run" if do == "run" else "plan")
        loaded(schemas.NewMigration, body)
    except Error as error:
        return _form(visit, {"": str(error)}, {}, 422)
    except Problem as problem:
        return _refused(visit, problem)
    if do == "check":
        return _form(visit, {}, {side: _check(visit, body[side], side) for side in SIDES}, equal=equal(body))
    key = visit.said("key")[:100]
    headers = {"idempotency-key": f"page-{key}"}  # a button that is pressed twice asks once
    call = replace(visit.asking(body=loaded(schemas.NewMigration, body)), headers=headers)
    try:
        made = migrations.create(call).data
    except (Problem, Declined, Error) as error:
        return _refused(visit, problem_of(error))
    return Go(f"/migrations/{made['id']}")


def _refused(visit: Visit, problem: Problem) -> Page:
    """The form with what is wrong in it."""
    found = {where.strip("/").replace("/", "."): what for where, what in pointers(problem.errors or {})}
    return _form(visit, found or {"": problem.detail}, {}, problem.status)


def _form(visit: Visit, errors: dict[str, str], checked: Row, status: int = 200, equal: Row | None = None) -> Page:
    said = {name: visit.said(name) for name in (*FIELDS, *TEXTS)}
    data = {
        "said": said, "flags": {name for name in FLAGS if visit.said(name)}, "errors": errors, "checked": checked,
        "equal": equal, "clouds": _clouds(visit), "chosen": set(visit.form.get("kinds", ())),
        "kinds": [name for name in KINDS if name in selectable()],
        "key": visit.said("key") or uuid.uuid4().hex,
    }  # fmt: skip
    return Page("new.html", "New migration", data, status)


def _clouds(visit: Visit) -> dict[str, list[str]]:
    """The clouds that exporters, and importers, have credentials for."""
    workers = []
    with suppress(Problem, Declined, Error):
        workers = hosts.workers(visit.call).data["items"]
    served = {"source": "exporter", "destination": "importer"}
    return {side: sorted({cloud for one in workers if one["service"] == served[side] for cloud in one["clouds"] or ()})
            for side in SIDES}  # fmt: skip


def _body(visit: Visit, mode: str) -> Row:
    """What the API is asked for; raises Error naming what can't be understood."""
    body: Row = {"mode": mode}
    for side in SIDES:
        project = visit.said(f"{side}_project")
        body[side] = {"cloud": visit.said(side), **({"project": project} if project else {})}
        if not visit.said(side):
            raise Error(f"name the {side} cloud")
    selection: Row = {}
    if kinds := visit.form.get("kinds"):
        selection["kinds"] = kinds
    if filters := written.filters(visit.lines("filters")):
        selection["filters"] = filters
    params = dict(_params(visit))
    for name, value in (
        ("selection", selection), ("mapping", written.mapping(visit.lines("maps"))),
        ("labels", written.labels(visit.lines("labels"))), ("migration_params", params), ("name", visit.said("name")),
    ):  # fmt: skip
        if value:
            body[name] = value
    for name in NUMBERS:
        if text := visit.said(name):
            if not text.isdecimal() or len(text) > 18:
                raise Error(f"{name.replace('_', ' ')}: {text!r} is no number")
            body[name] = int(text)
    return body


def _params(visit: Visit) -> Iterator[tuple[str, Any]]:
    if visit.said("warm"):
        yield "mode", "warm"
        if cutover := visit.said("cutover"):
            yield "cutover", cutover
    if visit.said("boot_disk_copy"):
        yield "boot_disk_copy", True
    if visit.said("wait_for_shutdown"):
        yield "shutdown", "wait"
    if visit.said("start_servers"):
        yield "power", "running"


def _check(visit: Visit, place: Row, side: str) -> Row:
    """What the credentials of a cloud are, or why they don't serve."""
    project = {"project": place["project"]} if place.get("project") else {}
    try:
        call = visit.asking(schemas.CheckQuery, path={"cloud": place["cloud"]}, side=side, **project)
        return {"is_good": True, **hosts.check(call).data}
    except (Problem, Declined, Error) as error:
        return {"is_good": False, "why": problem_of(error).detail}


def equal(body: Row) -> Row:
    """The same by the command line, and by a message on the bus."""
    words = ["stackferry", "plan" if body["mode"] == "plan" else "migrate"]
    for side, flag in (("source", "-s"), ("destination", "-d")):
        words += [flag, body[side]["cloud"]]
        if project := body[side].get("project"):
            words += [f"--{side}-project", project]
    selection, params = body.get("selection") or {}, body.get("migration_params") or {}
    words += [word for kind in selection.get("kinds") or () for word in ("-k", kind)]
    for kind, items in (selection.get("filters") or {}).items():
        for item in items:
            words += ["-f", f"{kind}={item}" if isinstance(item, str) else f"{kind}~{item['regex']}"]
    words += [word for kind, names in (body.get("mapping") or {}).items() for pair in names.items()
              for word in ("--map", f"{kind}:{pair[0]}={pair[1]}")]  # fmt: skip
    words += ["--warm"] if params.get("mode") == "warm" else []
    words += ["--cutover", params["cutover"]] if params.get("cutover") else []
    words += ["--boot-disk-copy"] if params.get("boot_disk_copy") else []
    words += ["--wait-for-shutdown"] if params.get("shutdown") else []
    words += ["--start-servers"] if params.get("power") else []
    words += [word for name in NUMBERS if name in body for word in (f"--{name.replace('_', '-')}", str(body[name]))]
    words += ["--name", body["name"]] if body.get("name") else []
    words += [word for pair in (body.get("labels") or {}).items() for word in ("--label", "=".join(pair))]
    return {"command": shlex.join(words), "type": RequestMigration.type,
            "message": json.dumps({"migration": "<a new UUID>", **body}, indent=2, ensure_ascii=False)}  # fmt: skip
