"""One project of one cloud, as one migration sees it: listings and look-ups, each made once and remembered.

A view holds plain dictionaries, not SDK objects: a few hundred bytes a resource. Several threads may use one.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keystoneauth1.exceptions import EndpointNotFound
from openstack.exceptions import HttpException, ServiceDisabledException
from stackferry.resources import KINDS
from stackferry.resources.staying import Staying
from stackferry.resources.view import FOREIGN, OWN, PENDING, WITHIN, Ambiguous, Missing, Record

from .watching import Look, Watch

#: what has changed in it is looked at together; a clock that is wrong by more costs a request for each
LATELY = timedelta(hours=1)
#: seconds in which an answer is good for others who ask the same
FRESH = 10.0


@dataclass(frozen=True)
class Lookup:
    """A kind of thing that documents only refer to: openstacksdk's proxy and names, and what else we read."""

    service: str
    singular: str
    plural: str
    reads: tuple[str, ...] = ()


LOOKUPS = {
    "qos_policy": Lookup("network", "qos_policy", "qos_policies", ("is_shared",)),
    "segment": Lookup("network", "segment", "segments"),
    "subnet_pool": Lookup("network", "subnet_pool", "subnet_pools", ("is_shared",)),
    "network_flavor": Lookup("network", "flavor", "flavors"),
    "project": Lookup("identity", "project", "projects"),
    "flavor": Lookup("compute", "flavor", "flavors", ("vcpus", "ram", "disk", "ephemeral", "swap")),
}


class ProjectView:
    """Listings and look-ups of one project; *is_admin* says what its user may set."""

    def __init__(self, connection: Any, project_id: str, is_admin: bool = False, cloud: str = "") -> None:
        self.connection, self.project_id, self.is_admin, self.cloud = connection, project_id, is_admin, cloud
        self._records: dict[str, dict[str, Record]] = {}
        self._owners: dict[str, set[Any]] = {}
        self._others: dict[tuple[str, str], Record | None] = {}
        self._named: dict[tuple[str, str], list[Record]] = {}
        self._projects: dict[str, tuple[str | None, str | None]] = {}
        self._answers: dict[str, Any] = {}
        self._recent: dict[str, tuple[float, Any]] = {}
        self._watches: dict[str, Watch] = {}
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self.notes: list[str] = []  # what an export leaves out of what crosses, and why
        self.staying: list[Staying] = []  # what doesn't cross at all

    def proxy(self, service: str) -> Any:
        """The SDK's proxy of a service."""
        return getattr(self.connection, service)

    # -- the project's own resources ---------------------------------------------------------------------

    def records(self, kind: str) -> list[Record]:
        """Every resource of *kind* in the project; listed once."""
        with self._locks[kind]:
            if kind not in self._records:
                self._records[kind] = {r["id"]: r for r in self._listed(kind)}
            return list(self._records[kind].values())

    def _listed(self, kind: str) -> list[Record]:
        try:
            return [record(kind, item) for item in KINDS[kind].listing(self)]
        except Exception as error:
            if not (KINDS[kind].optional and self.is_absent(error)):
                raise
            self.notes.append(f"this cloud has no {kind.replace('_', ' ')}s: {error}")
            return []

    def records_of(self, kind: str, attribute: str, owner_id: str) -> list[Record]:
        """The resources that belong to one other; an owner younger than the listing is listed by itself."""
        with self._locks[kind]:
            known = self.records(kind)
            owners = self._owners.setdefault(kind, {r.get(attribute) for r in known})
            if owner_id not in owners and owner_id != PENDING:
                listed = getattr(self.proxy(KINDS[kind].service), KINDS[kind].plural)(**{attribute: owner_id})
                self._records[kind].update({r["id"]: r for r in (record(kind, item) for item in listed)})
                owners.add(owner_id)
            return [r for r in self._records[kind].values() if r.get(attribute) == owner_id]

    def remember(self, kind: str, resource: Any) -> Record:
        """Take in what a create or an update returned."""
        known = record(kind, resource)
        with self._locks[kind]:
            if kind in self._records:
                self._records[kind][known["id"]] = known
            else:
                self._others[(kind, known["id"])] = known
        return known

    def forget(self, kind: str, id_: str | None = None) -> None:
        """Look afresh next time: at one resource that is gone, or at the whole kind."""
        with self._locks[kind]:
            if id_ is not None:
                self._records.get(kind, {}).pop(id_, None)
                self._others.pop((kind, id_), None)
                return
            self._records.pop(kind, None)
            self._owners.pop(kind, None)
            for cache in (self._others, self._named):
                for key in [k for k in cache if k[0] == kind]:
                    del cache[key]

    def own(self, kind: str, id_: str) -> Record | None:
        """One of the project's resources, by way of the listing; None when it's not there."""
        with self._locks[kind]:
            if kind not in self._records:
                self.records(kind)
            return self._records[kind].get(id_)

    def get(self, kind: str, id_: str) -> Record | None:
        """One resource by id, the project's own or any that is visible; None when there's none."""
        if id_ == PENDING:
            return None
        with self._locks[kind]:
            if found := self._records.get(kind, {}).get(id_):
                return found
            key = (kind, id_)
            if key not in self._others:
                self._others[key] = self._fetch(kind, id_)
            return self._others[key]

    def _fetch(self, kind: str, id_: str) -> Record | None:
        if kind in KINDS:
            found = KINDS[kind].fetch(self, id_)
        else:
            source = LOOKUPS[kind]
            found = getattr(self.proxy(source.service), f"find_{source.singular}")(id_, ignore_missing=True)
        return record(kind, found) if found is not None else None

    def refresh(self, kind: str, id_: str) -> Record | None:
        """One resource as it is now; None when it's gone, not when the cloud refuses to say (as ``find_`` has it)."""
        found = self._now(kind, id_)
        self.forget(kind, id_)
        if found is not None:
            self._keep(kind, found)
        return found

    def waiting(self, kind: str, id_: str) -> Look:
        """What refreshes one resource, for somebody who looks again and again; one listing may serve all who do."""
        with self._locks[kind]:
            if kind not in self._watches:
                self._watches[kind] = Watch(lambda id_: self.refresh(kind, id_), lambda: self._changed(kind))
            return self._watches[kind].wait(id_)

    def _changed(self, kind: str) -> list[Record] | None:
        """What has changed lately and is still there; None where nobody can be asked for it."""
        listed = KINDS[kind].changed(self, datetime.now(UTC) - LATELY)
        if listed is None:
            return None
        found = [record(kind, item) for item in listed]
        for one in found:
            self._keep(kind, one)
        return found

    def _keep(self, kind: str, found: Record) -> None:
        with self._locks[kind]:
            known = self._records.get(kind)
            if known is not None:
                known[found["id"]] = found
            else:
                self._others[(kind, found["id"])] = found

    def _now(self, kind: str, id_: str) -> Record | None:
        declared = KINDS[kind]
        try:
            return record(kind, getattr(self.proxy(declared.service), f"get_{declared.singular}")(id_))
        except Exception as error:
            if getattr(error, "status_code", None) == 404:
                return None
            raise

    def once(self, question: str, ask: Callable[[], Any]) -> Any:
        """The answer to a question that this cloud is asked once."""
        with self._locks[question]:
            if question not in self._answers:
                self._answers[question] = ask()
            return self._answers[question]

    def lately(self, question: str, ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """The answer to a question that was asked in the last seconds, if it's still *good*; else a new one."""
        with self._locks[question]:
            at, answer = self._recent.get(question, (-math.inf, None))
            if time.monotonic() - at > FRESH or not good(answer):
                self._recent[question] = (time.monotonic(), ask())
            return self._recent[question][1]

    def is_absent(self, error: Exception) -> bool:
        """Whether a cloud says that it doesn't have an API at all: no such path, or no such service."""
        absent = isinstance(error, EndpointNotFound | ServiceDisabledException)
        return absent or (isinstance(error, HttpException) and error.status_code == 404)

    # -- references --------------------------------------------------------------------------------------

    def reference(self, kind: str, id_: str) -> dict[str, Any]:
        """Return the portable reference to a resource; ``_id`` in it is for the exporter only."""
        found = self.get(kind, id_)
        if found is None:  # visible as an id, but not readable
            return {"name": None, "project_name": None, "domain_name": None, "_id": id_}
        project, domain = self._project(found.get("project_id"))
        return {"name": found["name"], "project_name": project, "domain_name": domain, "_id": id_}

    def _project(self, project_id: str | None) -> tuple[str | None, str | None]:
        if not project_id:
            return None, None
        if project_id == self.project_id:
            return OWN, OWN
        with self._locks["project"]:
            if project_id not in self._projects:
                self._projects[project_id] = self._project_names(project_id)
            return self._projects[project_id]

    def _project_names(self, project_id: str) -> tuple[str | None, str | None]:
        if not self.is_admin:  # a member may not read other projects: the name alone must do
            return None, None
        try:
            project = self.proxy("identity").find_project(project_id, ignore_missing=True)
            if project is None:
                return None, None
            domain = self.proxy("identity").find_domain(project.domain_id, ignore_missing=True)
        except Exception as error:
            if getattr(error, "status_code", None) != 403:
                raise
            return None, None  # an administrator of this project need not be one of the whole cloud
        return project.name, domain.name if domain else None

    def resolve(self, kind: str, ref: dict[str, Any]) -> str:
        """Return the id here of what a document refers to; raise Missing or Ambiguous.

        A name means only what this project may use, in the project that the reference names.
        """
        if ref.get("id"):
            return str(ref["id"])
        name = ref.get("name")
        if name is None:
            raise Missing(kind, name)
        found = self._own(kind, name) if ref.get("project_name") == OWN else self._usable(kind, ref)
        if beside := ref.get(WITHIN):
            owner = KINDS[kind].owner_of_name()
            owner_id = self.resolve(owner.kind, beside)
            found = [r for r in found if r[owner.attribute or ""] == owner_id]
        found = [r for r in found if not r.get("is_hidden")] or found  # hidden images are old ones of their names
        if not found:
            raise Missing(kind, name, _whose(ref))
        if len(found) > 1:
            raise Ambiguous(f"{len(found)} {kind.replace('_', ' ')}s here are named {name!r}; use an unambiguous one")
        return str(found[0]["id"])

    def _own(self, kind: str, name: str) -> list[Record]:
        """The project's own of this name, or this id here, never a stranger's that happens to be visible."""
        if kind not in KINDS:
            return [r for r in self.named(kind, name) if r["project_id"] == self.project_id]
        known = self.records(kind)
        return [r for r in known if r["name"] == name] or [r for r in known if r["id"] == name]

    def _usable(self, kind: str, ref: dict[str, Any]) -> list[Record]:
        """What this project may use of a name: its own, what is for everybody, and what is shared with it."""
        may_use = KINDS[kind].usable if kind in KINDS else _shared
        may_use_its = KINDS[kind].usable_by_project if kind in KINDS else _shared
        found = [r for r in self.named(kind, ref["name"]) if self._is_own(r) or may_use(self, r)]
        if ref.get("project_name") is None or ref["project_name"] == self._project_name():
            others = [r for r in found if not self._is_own(r) or r.get("is_shared") or r.get("is_router_external")]
            is_foreign = ref.get(FOREIGN) and kind in KINDS  # flavors and the like belong to no project
            return others if is_foreign and (others or not KINDS[kind].stands_in) else found
        in_project = [r for r in self.named(kind, ref["name"]) if self._is_in(r, ref) and may_use_its(self, r)]
        return in_project or ([r for r in found if not self._is_own(r)] if _for_everybody(kind) else [])

    def _is_own(self, record: Record) -> bool:
        return record.get("project_id") in (None, self.project_id)

    def _is_in(self, record: Record, ref: dict[str, Any]) -> bool:
        """Whether a resource belongs to the project that a reference names; who can't read names knows what isn't."""
        if self._is_own(record):
            return False
        project, domain = self._project(record["project_id"])
        return project is None or (project, domain) == (ref["project_name"], ref.get("domain_name") or domain)

    def _project_name(self) -> str | None:
        """The name of this project."""
        return self.once("this project", lambda: getattr(self.connection.current_project, "name", None))  # type: ignore[no-any-return]

    def _looked_up(self, source: Lookup, name: str) -> Any:
        return getattr(self.proxy(source.service), source.plural)(name=name)

    def named(self, kind: str, name: str) -> list[Record]:
        """Anything visible of this name; an administrator sees strangers' things, too."""
        with self._locks[kind]:
            key = (kind, name)
            if key not in self._named:
                listed = KINDS[kind].named(self, name) if kind in KINDS else self._looked_up(LOOKUPS[kind], name)
                self._named[key] = [record(kind, item) for item in listed if item.name == name]
                if not self._named[key]:
                    return self._named.pop(key)  # it may be made yet
            return self._named[key]


def _shared(view: ProjectView, record: Record) -> bool:
    """Whether this project may use another one's resource; a member is shown nothing else."""
    return not view.is_admin or bool(record.get("is_shared", True))


def _for_everybody(kind: str) -> bool:
    """Whether it may be somebody else's in another cloud: clouds have public images of the same names."""
    return kind not in KINDS or KINDS[kind].for_everybody


def _whose(ref: dict[str, Any]) -> str:
    if ref.get(FOREIGN):
        return " that belongs to another project, as at the source, and may be used here"
    whose = ref.get("project_name")
    return f" in project {whose!r}" if whose not in (None, OWN) else ""


def record(kind: str, resource: Any) -> Record:
    """Return the attributes of an SDK resource that we use, as plain data; its project is always ``project_id``."""
    names = KINDS[kind].attributes() if kind in KINDS else ("id", "name", "project_id", *LOOKUPS[kind].reads)
    fields = KINDS[kind].by_attribute() if kind in KINDS else {}
    known = {
        name: _plain(fields[name].read(resource, name) if name in fields else getattr(resource, name, None))
        for name in names
    }
    return known if kind not in KINDS else KINDS[kind].taken({**known, "project_id": known[KINDS[kind].owner]})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
