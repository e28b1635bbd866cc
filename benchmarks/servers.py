"""Many servers and what is around them: API calls for each object that is made, and how long planning takes.

    python benchmarks/servers.py [--servers 60] [--stacks 25]

N servers that start from an image, each with a port and a security group's rule of its own, and stacks of nine objects
cross from one sandbox cloud to the other, on the machine that runs both clouds; so only the calls mean something
elsewhere. Calls are counted by the clouds' own access logs.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from control_plane import Bench
from stackferry.client import Client
from stackferry_sandbox.seed import seed_stacks

UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def seed(connection: Any, servers: int, stacks: int) -> None:
    """A tenant: stacks, an image, and servers on the networks of the stacks."""
    seed_stacks(connection, stacks, "stack")
    compute, network, image = connection.compute, connection.network, connection.image
    disk = image.create_image(name="bench", disk_format="raw", container_format="bare", data=b"\0" * 1024)
    flavor = compute.find_flavor("m1.tiny", ignore_missing=False)
    networks = list(network.networks(project_id=connection.current_project_id))
    made = []
    for number in range(servers):
        port = network.create_port(name=f"port-{number}", network_id=networks[number % len(networks)].id)
        made.append(
            compute.create_server(
                name=f"server-{number}", flavor_id=flavor.id, image_id=disk.id, networks=[{"port": port.id}]
            )
        )
    for one in made:
        compute.wait_for_server(one, interval=0.3)


def calls(bench: Bench, since: float) -> Counter[tuple[str, str, str, str]]:
    """(cloud, agent, method, path without ids) → how many, of Stackferry's own requests."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for cloud in ("src", "dst"):
        for one in bench.box.access_log(cloud, since=since):
            if "stackferry" in one.agent:
                found[cloud, one.agent.split()[0], one.method, UUID.sub("*", one.path).partition("?")[0]] += 1
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=60)
    parser.add_argument("--stacks", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            source, connection = bench.tenant("src")
            seed(connection, options.servers, options.stacks)
            destination, _ = bench.tenant("dst")
            bench.stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(bench.clouds)})
            with Client(bench.stack.uri(), timeout=120) as ferry:
                began = time.time()
                ferry.wait(ferry.migrate(source, destination, mode="plan"), timeout=600)
                print(f"planned in {time.time() - began:.1f} s, {sum(calls(bench, began).values())} calls")
                since = time.time()
                state = ferry.wait(ferry.migrate(source, destination), timeout=900)
                took = time.time() - since
            made = sum(s["outcome"] == "created" for s in state["steps"])
            bad = [s for s in state["steps"] if s["state"] != "done"]
            found = calls(bench, since)
            print(
                f"{made} objects made in {took:.1f} s; {len(bad)} failed; {sum(found.values()) / made:.2f} calls each"
            )
            for what, count in found.most_common(40):
                print(f"{count:5} ", *what)
        finally:
            bench.stack.down()


if __name__ == "__main__":
    main()
