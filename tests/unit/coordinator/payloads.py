"""The payloads of the simulated world: exporters that offer, importers that fetch, the destination's Glance.

Both workers acknowledge while their jobs go on; when they die afterwards, nobody but the other one may notice.
Glance promises that an image takes in one payload, and that one which broke off is free again after a while.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from stackferry_coordinator.plan.ledger import Ledger
from stackferry_coordinator.plan.step import Step
from stackferry_coordinator.rules.transitions import TRIES

if TYPE_CHECKING:
    from .simulation import Command, World

OFFERED = 60.0  # seconds that an offer waits for a guest
SETTLING = 20.0  # seconds that a fetch waits for Glance to notice that an earlier upload broke off
LONGEST = 900.0  # seconds that a payload takes; a lease is much shorter
EVERY = 30.0  # seconds between two reports of progress
GOOD = ("created", "unchanged")


class Violation(AssertionError):
    """The world is not as it must be."""


@dataclass
class Copy:
    """An image at the destination."""

    status: str = "queued"
    payloads: int = 0


@dataclass
class Offer:
    """A payload that one guest may fetch."""

    key: str
    attempt: int
    open: bool = True
    taken: bool = False


@dataclass
class Upload:
    """A payload on its way into an image."""

    command: Command
    copy: Copy
    takes: float
    began: float
    over: bool = False


Word = dict[str, Any] | None  # what a worker says of a try: None says nothing
ARRIVED: Word = {"outcome": "created"}
THERE: Word = {"outcome": "unchanged"}
BROKEN: Word = {"outcome": "interrupted", "retryable": True, "reason": "it broke off"}
WRONG: Word = {"outcome": "failed", "retryable": False, "reason": "it's another payload than was announced"}
UNDER_WAY: Word = {"outcome": "interrupted", "retryable": True, "reason": "an upload is under way already"}
GONE: Word = {"outcome": "missing", "reason": "it's gone from the destination"}
REFUSED: Word = {"outcome": "failed", "retryable": False, "reason": "no quota"}


@dataclass(frozen=True)
class Fate:
    """How an upload ends: what its exporter and its importer say, and what becomes of the image."""

    exporter: Word
    importer: Word
    image: str


WHOLE = Fate(None, ARRIVED, "active")
LOST = (
    Fate(None, BROKEN, "queued"),  # the exporter died
    Fate(BROKEN, None, "queued"),  # the importer died
    Fate(None, None, "queued"),  # both died
    Fate(BROKEN, None, "active"),  # the importer died before it could say that all had arrived
)
FAILED = (
    Fate(BROKEN, BROKEN, "queued"),  # the source's Glance broke off
    Fate(WRONG, BROKEN, "queued"),
    Fate(BROKEN, REFUSED, "queued"),
    Fate(BROKEN, BROKEN, "saving"),  # the destination's Glance was killed: nobody frees the image
)


@dataclass
class Payloads:
    """What exporters and importers do about payloads in one world, and what came of it."""

    world: World
    copies: dict[str, Copy] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    offered: set[tuple[str, int]] = field(default_factory=set)
    asked: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    told: set[tuple[str, str]] = field(default_factory=set)  # (step, image): the coordinator heard that it arrived

    # -- what the coordinator asks, and hears --------------------------------------------------------------

    def ask(self, command: Command) -> None:
        """Take note of a command that goes out; once it's over, a try may be asked for again, but not begun."""
        phase, tries = self.world.ledger.head.phase, self.asked[command.key]
        if phase != "running" and (command.action == "fetch" or command.attempt not in tries):
            raise Violation(f"{command.key} is begun, though the migration is {phase}")
        tries.add(command.attempt)

    def hear(self, data: dict[str, Any]) -> None:
        """Take note of a fact that has reached the coordinator."""
        if data["step"].endswith("/transfer") and data["outcome"] in GOOD:
            self.told.add((data["step"], data["destination_id"]))

    # -- the exporter ----------------------------------------------------------------------------------------

    def offer(self, command: Command, alive: bool) -> None:
        """Announce a payload, and wait for a guest; the announcement of one who dies may be on its way already."""
        if (command.key, command.attempt) in self.offered:
            raise Violation(f"try {command.attempt} of {command.key} was worked on twice")
        self.offered.add((command.key, command.attempt))
        world = self.world
        if world.chance("fail"):
            word = WRONG if world.chance("permanent") else BROKEN
            return self._say(command, word) if alive else None
        alive = alive and not world.chance("crash")  # after it had acknowledged: nobody else gets this command
        if not alive and world.random.random() < 0.5:
            return None
        address = f"address {len(self.offers)}"
        self.offers[address] = offer = Offer(command.key, command.attempt, open=alive)
        offered = {"address": address, "certificate": "its own", "size": 3}
        world.facts.append(("image-offered", {**_about(command), **offered}))
        world.later(OFFERED, partial(self._tire, offer, command))
        return None

    def _tire(self, offer: Offer, command: Command) -> None:
        """Nobody came."""
        if offer.open and not offer.taken:
            self._say(command, BROKEN)
        if not offer.taken:
            offer.open = False

    # -- the importer ----------------------------------------------------------------------------------------

    def fetch(self, command: Command, alive: bool) -> None:
        """Take the offer up, unless the image has its payload, or another delivery of this command is at it."""
        offer, copy = self.offers[command.data["address"]], self.copies.get(command.data["image"])
        if not alive or self.world.chance("crash"):
            return
        if copy and copy.status == "active":
            self._say(command, THERE)
        elif not offer.open:
            self._say(command, BROKEN)
        elif not offer.taken:
            offer.taken = True
            self._look(offer, command, self.world.now + SETTLING)

    def _look(self, offer: Offer, command: Command, until: float) -> None:
        """Begin once the image can take a payload in; else leave, which the exporter takes for a broken connection."""
        copy = self.copies.get(command.data["image"])
        if copy is not None and copy.status == "queued":
            self._upload(offer, command, copy)
        elif copy is not None and copy.status == "saving" and self.world.now < until:
            self.world.later(self.world.random.uniform(1, 5), partial(self._look, offer, command, until))
        else:
            offer.open = False
            words = {"active": THERE, "saving": UNDER_WAY}
            self._say_both(command, BROKEN, words[copy.status] if copy else GONE)

    def _upload(self, offer: Offer, command: Command, copy: Copy) -> None:
        world, copy.status = self.world, "saving"
        upload = Upload(command, copy, world.random.uniform(1, LONGEST), world.now)
        fate = self._fate()
        share = 1.0 if fate.image == "active" else world.random.random()
        world.later(upload.takes * share, partial(self._end, upload, offer, fate))
        world.later(EVERY, partial(self._progress, upload))

    def _fate(self) -> Fate:
        if self.world.chance("crash"):
            return self.world.random.choice(LOST)
        return self.world.random.choice(FAILED) if self.world.chance("fail") else WHOLE

    def _progress(self, upload: Upload) -> None:
        if not upload.over:
            done = int(self.world.now - upload.began)
            self.world.facts.append(
                ("step-progressed", {**_about(upload.command), "done": done, "total": int(upload.takes)})
            )
            self.world.later(EVERY, partial(self._progress, upload))

    def _end(self, upload: Upload, offer: Offer, fate: Fate) -> None:
        upload.over, offer.open, copy = True, False, upload.copy
        if upload.command.data["image"] not in self.copies:
            fate = Fate(BROKEN, BROKEN, "gone")
        if fate.image == "active" or (fate.image == "queued" and self.world.faults.half_is_whole):
            copy.status, copy.payloads = "active", copy.payloads + (fate.image == "active")
        elif fate.image == "queued":
            self.world.later(self.world.random.uniform(0, SETTLING), partial(self._free, copy))
        self._say_both(upload.command, fate.exporter, fate.importer)

    def _free(self, copy: Copy) -> None:
        """Glance notices that an upload broke off."""
        copy.status = "queued"

    def _say_both(self, command: Command, exporter: Word, importer: Word) -> None:
        for word in self.world.random.sample([exporter, importer], 2):
            self._say(command, word)

    def _say(self, command: Command, word: Word) -> None:
        if word is not None:
            done = {"destination_id": command.data["image"]} if word["outcome"] in GOOD else {}
            self.world.facts.append(("step-ended", {**_about(command), **word, **done}))

    # -- what must be true in the end --------------------------------------------------------------------------

    def check(self, ledger: Ledger) -> None:
        """Every payload is there once, or it is said why not; nothing is left over."""
        if left := [offer.key for offer in self.offers.values() if offer.open]:
            raise Violation(f"{left[0]} is still being offered")
        for id_, copy in self.copies.items():
            if copy.payloads != (copy.status == "active"):
                raise Violation(f"{id_} is {copy.status} with {copy.payloads} payloads")
        for step in ledger.all():
            if step.action == "transfer":
                self._check_step(step, ledger.step(step.key.removesuffix("/transfer")))

    def _check_step(self, step: Step, owner: Step | None) -> None:
        id_ = owner.destination_id if owner else None
        copy = self.copies.get(str(id_))
        there = copy is not None and copy.status == "active"
        if step.state == "done" and not there and self.world.ledger.head.phase in ("done", "cancelled"):
            raise Violation(f"{step.key} is done, but the image is {copy and copy.status}")
        if step.state == "failed" and not step.reason:
            raise Violation(f"{step.key} failed, and nobody says why")
        if step.state == "failed" and (step.key, id_) in self.told and there:
            raise Violation(f"{step.key} failed ({step.reason}), but {id_} was reported to be there")
        if "gave up" in str(step.reason) and len(self.asked[step.key]) < TRIES:
            raise Violation(f"{step.key} {step.reason}, but only {len(self.asked[step.key])} were asked for")


def _about(command: Command) -> dict[str, Any]:
    return {"migration": command.data["migration"], "step": command.key, "attempt": command.attempt}
