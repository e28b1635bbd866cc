"""The control plane against a bare openstacksdk loop: objects a second, CPU and API calls an object, memory.

    python benchmarks/control_plane.py [--stacks 25 50 100 200] [--repeat 1]

N stacks (network, subnet, router with gateway and interface, security group with four rules) cross from one
sandbox cloud to the other: by Stackferry end to end, and by a loop of 8 threads that makes the same objects
with openstacksdk and knows in advance what to make. Both run on this machine, one after the other, beside the
clouds; so only the ratios mean something elsewhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from stackferry.client import Client
from stackferry_cli.local.stack import Stack
from stackferry_sandbox import Sandbox
from stackferry_sandbox.connections import connect
from stackferry_sandbox.seed import seed_stacks

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HERTZ = os.sysconf("SC_CLK_TCK")
PER_STACK = 9  # network, subnet, router, interface, security group, four rules


class Bench:
    """Two clouds, the services, and the figures of each run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.box = Sandbox()
        self.box.up("src", "dst")
        self.entries: dict[str, Any] = {}
        self.clouds = folder / "clouds.yaml"
        self.clouds.write_text("clouds: {}")
        self.stack = Stack(folder / "home")

    def tenant(self, cloud: str) -> tuple[str, Any]:
        """Return (name, connection) of a new project."""
        name = f"bench-{os.urandom(3).hex()}"
        self.entries[f"{cloud}-{name}"] = self.box.create_tenant(cloud, name)
        self.clouds.write_text(yaml.safe_dump({"clouds": self.entries}))
        return f"{cloud}-{name}", connect(self.entries[f"{cloud}-{name}"])

    def drop(self, entry: str) -> None:
        """Delete a project."""
        cloud, _, name = entry.partition("-")
        self.box.delete_tenant(cloud, name)

    def processes(self) -> dict[str, int]:
        """Process name → pid, of the services and the broker."""
        return {name: pid for name in [*self.stack.names(), "rabbitmq"] if (pid := self.stack.process(name).pid())}

    def cpu(self) -> float:
        """CPU seconds of the services and the broker so far."""
        total = 0
        for pid in self.processes().values():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / HERTZ

    def memory(self) -> dict[str, int]:
        """Highest resident memory of each process so far, MB."""
        found = {}
        for name, pid in self.processes().items():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    found[name] = int(line.split()[1]) // 1024
        return found

    def calls(self, project: str, since: float) -> tuple[int, int]:
        """(reads, writes) that Stackferry made in a project of the destination."""
        mine = [
            r
            for r in self.box.access_log("dst", since=since)
            if r.project_id == project and "stackferry" in r.agent and "/auth/tokens" not in r.path
        ]
        writes = sum(r.method in WRITES for r in mine)
        return len(mine) - writes, writes


def stackferry(bench: Bench, source: str, count: int) -> dict[str, Any]:
    """One migration of *count* stacks, and a second one."""
    destination, connection = bench.tenant("dst")
    bench.stack.down()
    bench.stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(bench.clouds)})
    with Client(bench.stack.uri(), timeout=120) as ferry:
        cpu, since = bench.cpu(), time.time()
        state = ferry.wait(ferry.migrate(source, destination), timeout=600)
        seconds = time.time() - since
        cpu = bench.cpu() - cpu
        made = sum(s["outcome"] == "created" for s in state["steps"])
        bad = [s for s in state["steps"] if s["state"] != "done"]
        if made < count * PER_STACK or bad:
            raise SystemExit(f"{made} of {count * PER_STACK} were made; {bad[:3]}")
        reads, writes = bench.calls(connection.current_project_id, since)
        memory = bench.memory()
        since = time.time()
        ferry.wait(ferry.migrate(source, destination), timeout=600)
        again = bench.calls(connection.current_project_id, since)[1]
    bench.drop(destination)
    return {
        "rate": made / seconds, "cpu_ms": 1000 * cpu / made, "reads": reads / made, "writes": writes / made,
        "writes_again": again, "memory": memory, "made": made,
    }  # fmt: skip


def bare(bench: Bench, count: int) -> float:
    """Objects a second of a loop that only makes them."""
    entry, connection = bench.tenant("dst")
    network = connection.network
    (public,) = network.networks(name="public")

    def one(number: int) -> None:
        net = network.create_network(name=f"bare-{number}")
        subnet = network.create_subnet(name=f"bare-{number}", network_id=net.id, ip_version=4, cidr="10.0.0.0/24")
        router = network.create_router(name=f"bare-{number}", external_gateway_info={"network_id": public.id})
        network.add_interface_to_router(router, subnet=subnet.id)
        group = network.create_security_group(name=f"bare-{number}")
        for port in (22, 80, 443, 8080):
            network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ether_type="IPv4", protocol="tcp",
                port_range_min=port, port_range_max=port,
            )  # fmt: skip

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))
    seconds = time.monotonic() - began
    bench.drop(entry)
    return count * PER_STACK / seconds


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", type=int, nargs="+", default=[25, 100, 200])
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackferry-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            print(
                "stacks  stackferry/s  bare/s  ratio  cpu ms/object  reads/object  writes/object  writes again  memory MB"
            )
            for count in arguments.stacks:
                source, connection = bench.tenant("src")
                seed_stacks(connection, count, "stack")
                runs = [(stackferry(bench, source, count), bare(bench, count)) for _ in range(arguments.repeat)]
                bench.drop(source)
                print_row(count, runs)
        finally:
            bench.stack.down()


def print_row(count: int, runs: list[tuple[dict[str, Any], float]]) -> None:
    """Medians of the runs."""
    median = {
        key: statistics.median(run[key] for run, _ in runs)
        for key in ("rate", "cpu_ms", "reads", "writes", "writes_again")
    }
    other = statistics.median(rate for _, rate in runs)
    ratio = statistics.median(run["rate"] / rate for run, rate in runs)
    memory = " ".join(f"{name} {mb}" for name, mb in runs[-1][0]["memory"].items())
    print(
        f"{count:6}  {median['rate']:12.1f}  {other:6.1f}  {ratio:5.2f}  {median['cpu_ms']:13.1f}  {median['reads']:12.2f}"
        f"  {median['writes']:13.2f}  {median['writes_again']:12.0f}  {memory}",
        flush=True,
    )


if __name__ == "__main__":
    main()
