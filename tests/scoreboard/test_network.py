"""R4: connections that are cut, half open, slow, sliced; between services and broker, and between agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..transfer.rig import Rig
from .board import SEED, Row, scaled, scored
from .proxy import HARMS, Proxy
from .world import Crossing, World

pytestmark = [pytest.mark.scoreboard, pytest.mark.clouds, pytest.mark.timeout(14_400)]


class Lead:
    """Lets services reach their broker through a proxy from now on."""

    def __init__(self, world: World) -> None:
        self.file = Path(world.stack.folder, "rabbitmq", "node.json")
        self.known = json.loads(self.file.read_text())
        self.proxy = Proxy(self.known["port"])
        self.file.write_text(json.dumps({**self.known, "port": self.proxy.port}))

    def back(self) -> None:
        self.file.write_text(json.dumps(self.known))
        self.proxy.close()


def test_r4_between_services_and_broker(world: World) -> None:
    with scored("R4", "connections to the broker: cut, half open, slow, sliced") as row:
        lead = Lead(world)
        try:
            for name in world.stack.names():
                world.kill_9(name)

            def strike(_: Crossing) -> None:
                lead.proxy.strike(world.random.choice(HARMS), world.random.uniform(1, 4))

            world.storm(row, scaled(40), strike)
        finally:
            lead.back()


def test_r4_between_agents(tmp_path: Path) -> None:
    """A volume crosses over a connection that is harmed again and again; each pull goes on where the last one ended."""
    import random
    import threading

    from stackferry_transfer.errors import PumpError

    chance = random.Random(SEED)
    with scored("R4b", "connections between agents: cut, half open, slow, sliced") as row:
        for number in range(scaled(20)):
            folder = tmp_path / str(number)
            folder.mkdir()
            rig = Rig.make(folder, 64 << 20, 65536, seed=number)
            with rig.serving() as _:
                proxy = Proxy(rig.address[1])
                rig.address = ("127.0.0.1", proxy.port)
                harm = chance.choice(HARMS)
                striking = threading.Timer(chance.uniform(0, 0.3), proxy.strike, (harm, chance.uniform(0.5, 3)))
                striking.start()
                row.attempted += 1
                for _attempt in range(5):
                    try:
                        rig.pull()
                        break
                    except (PumpError, OSError):
                        rig.known()  # whatever came of it, its journal is true
                striking.join()
                proxy.close()
            _judge(row, rig, number, harm)


def _judge(row: Row, rig: Rig, number: int, harm: str) -> None:
    row.acknowledged += 1
    if rig.equal():
        row.completed += 1
        row.recovered += 1
    else:
        row.lost += 1
        row.notes.append(f"volume {number} after {harm} isn't its source")


def test_a_proxy_that_does_no_harm_is_transparent(tmp_path: Path) -> None:
    rig: Any = Rig.make(tmp_path, 1 << 20)
    with rig.serving():
        proxy = Proxy(rig.address[1])
        rig.address = ("127.0.0.1", proxy.port)
        rig.pull()
        proxy.close()
    assert rig.equal()
