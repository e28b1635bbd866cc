"""Move a tenant, and judge: what was lost or changed unsaid, what a plan didn't say, what came twice, what undo leaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import reader
from .announced import announced, sayings
from .change import changes
from .comparing import differences
from .description import Description
from .outcomes import as_was, at_rest, outcomes, unsuccessful
from .reading import Reading, raw
from .seeding import Seeding
from .verdict import Verdict

FINAL = ("planned", "done", "undone", "cancelled", "stuck")
WRITES = ("POST", "PUT", "PATCH", "DELETE")
LONGEST = 240.0  # seconds that a migration of a small tenant may take


class Endless(Exception):
    """A migration doesn't end."""


class Judge:
    """One seed's trial: a project in each cloud, with conversion hosts that are no part of the tenant."""

    def __init__(self, description: Description, source: Any, destination: Any, ferry: Any) -> None:
        self.description, self.source, self.destination, self.ferry = description, source, destination, ferry
        self.verdict = Verdict(description.seed, len(description.source))
        self._unannounced: set[tuple[str, str]] = set()
        self._not_ours = {t.cloud: self._furniture(t) for t in (source, destination)}

    @staticmethod
    def _furniture(tenant: Any) -> set[str]:
        """The ids of what a project has before the trial, but for its default group."""
        return {one.id for one in reader.read(tenant).values() if one.kind not in ("security_group", "rule")}

    def read(self, tenant: Any) -> Reading:
        """What a project has, without the conversion host."""
        hidden = self._not_ours[tenant.cloud]
        return {id_: one for id_, one in reader.read(tenant).items() if id_ not in hidden}

    def trial(self) -> Verdict:
        """All checks; one that can't be done ends it."""
        description, verdict = self.description, self.verdict
        with self._timed("seeding"):
            Seeding(self.source).make(description.source)
            Seeding(self.destination).make(description.destination)
        source, before = self.read(self.source), self.read(self.destination)
        try:
            with self._timed("plan"):
                plan = self._migrate(mode="plan")
            self._same("plan writes at the destination", before, self.read(self.destination))
            with self._timed("migration"):
                done = self._start(plan) if description.seed % 2 else self._migrate()
            self._same("the source is touched", at_rest(source), at_rest(self.read(self.source)))
            after = self.read(self.destination)
            said = [*sayings(plan), *sayings(done)]
            self._compare(source, after, before, said)
            self._promises(plan, done)
            with self._timed("second run"):
                self._again(after, bool(unsuccessful(done)))
            with self._timed("change"):
                later = self._changed(source, before, said, done)
            with self._timed("undo"):
                self._undone([*later, done], before, source)
        except Endless as error:
            verdict.find("endless", error)
        return verdict

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.verdict.seconds[what] = time.monotonic() - start

    # -- the product

    def _migrate(self, **how: Any) -> dict[str, Any]:
        params = {"migration_params": self.description.params} if self.description.params else {}
        migration = self.ferry.migrate(self.source.entry, self.destination.entry, **params, **how)
        return self._ended(migration, FINAL)

    def _start(self, plan: dict[str, Any]) -> dict[str, Any]:
        self.ferry.control(plan["id"], "start")
        return self._ended(plan["id"], ("done", "cancelled", "stuck"))

    def _ended(self, migration: str, phases: tuple[str, ...]) -> dict[str, Any]:
        deadline = time.monotonic() + LONGEST
        while (state := self.ferry.show(migration))["phase"] not in phases:
            if time.monotonic() > deadline:
                busy = [f"{s['key']} {s['action']} {s['state']} {s['reason'] or ''}" for s in state["steps"]
                        if s["state"] not in ("done", "failed", "skipped", "removed")]  # fmt: skip
                self.ferry.control(migration, "cancel")
                raise Endless(f"{migration} is {state['phase']} after {LONGEST:g} s: {busy[:8]}")
            self.ferry.hear(migration, 0.5)
        if state["phase"] == "stuck":
            self.verdict.find("stuck", state["reason"])
        return dict(state)

    # -- the checks

    def _same(self, check: str, before: Reading, after: Reading) -> None:
        """Both readings are equal, ids and all; but a rule that was taken away can't come back with its id."""
        before, after = _rules_by_content(before), _rules_by_content(after)
        was, is_ = raw(before), raw(after)
        for id_ in sorted(was.keys() | is_.keys()):
            one = before.get(id_) or after[id_]
            if id_ not in is_:
                self.verdict.find(check, f"{one} ({id_}) is gone")
            elif id_ not in was:
                self.verdict.find(check, f"{one} ({id_}) is new: {is_[id_]}")
            else:
                for name in was[id_]:
                    if was[id_][name] != is_[id_].get(name):
                        self.verdict.find(check, f"{one} ({id_}) {name}: {was[id_][name]} → {is_[id_].get(name)}")

    def _compare(self, source: Reading, after: Reading, before: Reading, said: list[Any]) -> None:
        for difference in differences(source, after, before):
            if (text := announced(difference, said, source)) is None:
                self.verdict.find("unannounced", difference)
                self._unannounced.add((difference.about.id, difference.field))
            else:
                what = f"{difference.about.kind} {difference.field}"
                self.verdict.announced[what] += 1
                self.verdict.texts.setdefault(what, text)

    def _promises(self, plan: dict[str, Any], done: dict[str, Any]) -> None:
        """What the plan said of each object is what became of it."""
        promised, kept = outcomes(plan), outcomes(done)
        for key in sorted(promised.keys() | kept.keys()):
            (outcome, why), (became, reason) = promised.get(key, ("", "")), kept.get(key, ("", ""))
            if outcome != became:
                name = next((s["name"] for s in [*plan["steps"], *done["steps"]] if s["key"] == key), "")
                self.verdict.find(
                    "plan",
                    f"{key} {name!r}: said {outcome or 'nothing'} ({why}), became {became or 'nothing'} ({reason})",
                )

    def _again(self, after: Reading, retried: bool) -> None:
        """A second run and a second plan change nothing, but that a run tries again what failed before."""
        since = time.time()
        for mode in ("plan", "run"):
            again = self._migrate(mode=mode)
            for key, (outcome, why) in outcomes(again).items():
                step = next(s for s in again["steps"] if s["key"] == key)
                if outcome in ("created", "updated") and not retried:
                    self.verdict.find(f"second {mode}", f"{key} {step['name']!r} {outcome}: {step['changes']} {why}")
        project = self.destination.connect().current_project_id
        for request in () if retried else self.destination.box.access_log("dst", since=since):
            if request.method in WRITES and request.project_id == project and "stackferry" in request.agent:
                self.verdict.find("second run writes", f"{request.method} {request.path}")
        self._same("second run changes", after, self.read(self.destination))

    def _changed(self, source: Reading, before: Reading, said: list[Any], done: dict[str, Any]) -> list[dict[str, Any]]:
        """One field changes at the source: a migration, which is returned, updates exactly that."""
        arrived = {s["source_id"] for s in done["steps"] if s["outcome"] in ("created", "updated", "unchanged")}
        change = changes(self.description.seed, source, arrived)
        if change is None:
            return []
        change.make(self.source)
        now = as_was(self.read(self.source), source)
        again = self._migrate()
        updated = {s["source_id"] for s in again["steps"] if s["outcome"] == "updated"}
        if updated != {change.object.id.removeprefix("keypair/")}:
            names = [f"{s['key']} {s['name']!r} {s['changes']}" for s in again["steps"] if s["outcome"] == "updated"]
            self.verdict.find("change", f"{change} updates {names or 'nothing'}")
        also = [*said, *sayings(again)]
        for difference in differences(now, self.read(self.destination), before):
            known = (difference.about.id, difference.field) in self._unannounced
            if not known and announced(difference, also, now) is None:
                self.verdict.find("change", f"after {change}: {difference}")
        return [again]

    def _undone(self, migrations: list[dict[str, Any]], before: Reading, source: Reading) -> None:
        """Undo of all migrations, the latest first, leaves the destination as it was, and the source, too."""
        source = as_was(self.read(self.source), source) if len(migrations) > 1 else source
        for migration in migrations:
            self.ferry.control(migration["id"], "undo")
            state = self._ended(migration["id"], ("undone", "stuck"))
            for step in state["steps"]:
                if "/undo/" in step["key"] and step["state"] in ("failed", "skipped"):
                    self.verdict.find("undo", f"{step['key']} {step['state']}: {step['reason']}")
        self._same("undo", before, self.read(self.destination))
        self._same("undo touches the source", source, self.read(self.source))


def _rules_by_content(reading: Reading) -> Reading:
    """A reading whose security group rules have what they say in the place of their ids."""
    told = raw(reading)
    return {f"rule {told[id_]}" if one.kind == "rule" else id_: one for id_, one in reading.items()}
