"""How a segment of a volume is fetched: what earlier passes and other hosts have left that still counts. Pure."""

from __future__ import annotations

from stackferry.step_key import of_task, read

from ..plan.itinerary import place_of
from ..plan.ledger import Ledger
from ..plan.step import Step


def fetch_mode(ledger: Ledger, step: Step) -> str:
    """How a segment is fetched: ``copy`` what isn't known to be there, ``rehash`` to find that out from the device, or
    ``delta`` with what the journal knows. All but the first read back what they write; so in the end each block of a
    volume that crossed warm, or by several hosts, was read from the device."""
    if step.action == "verify":
        return "verify"
    about, epoch = read(step.key), epoch_of(ledger, step)
    passes = ledger.step(of_task(about.subject, "warm-copy", about.number))
    if passes is not None and passes.copying.read_in == epoch:
        return "delta"
    first = passes is None or (step.key == passes.key and passes.passes.number == 1)
    return "copy" if first and not epoch else "rehash"


def epoch_of(ledger: Ledger, step: Step) -> int:
    """How often the volume's way has led to another host of the destination."""
    place = ledger.step(place_of(step.key))
    return place.copying.epoch if place else 0


def placed_before(ledger: Ledger, place: Step) -> Step:
    """The place that a volume had last: of this step, or of the passes before."""
    passes = ledger.step(of_task(read(place.key).subject, "warm-assign")) if place.planned.warm else None
    return passes if passes is not None and not place.results else place


def destination_before(ledger: Ledger, place: Step) -> str | None:
    """The host of the destination that a volume was attached to last."""
    host: str | None = placed_before(ledger, place).results.get("destination_host")
    return host
