"""R2: a crash between any two side effects: after an API call and before its report, after a commit and before a publish ..."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from stackferry_cli.local.stack import KEEPER, ServiceUnavailable

from .board import scaled, scored
from .world import World

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(14_400)]
HERE = Path(__file__).parent / "crash"
#: where it crashes, and between which two side effects that is
POINTS = {
    "stackferry_coordinator.transactions.consequences:Consequences.of:before": "a message came, nothing is written",
    "stackferry_coordinator.transactions.consequences:Consequences.of:after": "all is written, not committed",
    "stackferry_coordinator.storage.store:Store.flush:after": "steps are written, commands not yet",
    "stackferry_coordinator.transactions.shell:Shell.take:after": "committed, not acknowledged",
    "stackferry_coordinator.transactions.shell:Shell.claim:after": "a claim is committed, not answered",
    "stackferry_coordinator.storage.outbox:_publish:before": "committed, not published",
    "stackferry_coordinator.storage.outbox:_publish:after": "published, not deleted from the outbox",
    "stackferry_coordinator.storage.outbox:_settle:after": "deleted from the outbox, not committed",
    "stackferry_coordinator.transactions.shell:Shell.tick:after": "time has passed",
    "stackferry_runtime.services.claims:Claims.granted:before": "a command came, nobody asked for it",
    "stackferry_runtime.services.claims:Claims.granted:after": "claimed, the API not called",
    "stackferry_importer.service:attempt:after": "the API was called, nothing is reported",
    "stackferry_runtime.services.bus:send:before": "done, not reported",
    "stackferry_runtime.services.bus:send:after": "reported, not acknowledged",
    "stackferry_runtime.services.bus:QueueReader._settle:before": "all is said, not acknowledged",
    "stackferry_runtime.services.bus:QueueReader._settle:after": "acknowledged",
    "stackferry_runtime.services.jobs:Jobs.begin:after": "the job of a payload was begun",
}
TURNS = (2, 7, 17)  # which time it's reached
ONCE = "stackferry_runtime.services.jobs:Jobs.begin:after"  # there's one payload


@pytest.mark.parametrize("point", POINTS)
def test_r2_a_crash_between_two_side_effects(world: World, tmp_path: Path, point: str) -> None:
    name = point.removeprefix("stackferry_").replace(":", " ")
    with scored(f"R2 {name}", f"crash of {point.split('.')[0].removeprefix('stackferry_')}: {POINTS[point]}") as row:
        for turn in TURNS[: max(1, scaled(3))]:
            crashed = tmp_path / f"crashed-{turn}"
            world.environ |= {"PYTHONPATH": str(HERE), "CRASH_AT": point, "CRASH_NTH": "1" if point == ONCE else str(turn),
                              "CRASH_FILE": str(crashed)}  # fmt: skip
            world.stack.process(KEEPER).stop()
            for service in world.stack.names():
                world.stack.process(service).stop()
            with suppress(ServiceUnavailable):  # it has crashed at once
                world.up()
            world.stack.keep(world.environ)  # what crashes is started again, as `stackferry up` does
            crossing = world.crossing(row, size=5, payload=2)
            row.attempted += 1
            crossing.judge(row)
            row.recovered += crashed.exists()
            if not crashed.exists():
                row.unexpected += 1
                row.notes.append(f"{point} wasn't reached {turn} times")
