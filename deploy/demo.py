"""``make demo``: two real clouds on this machine, a seeded tenant, and its way from one to the other, twice."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from stackferry.client import Client
from stackferry_cli import live, report
from stackferry_cli.local.stack import Stack
from stackferry_cli.output import Format
from stackferry_sandbox import Sandbox
from stackferry_sandbox.seed import seed_tenant

console = Console(highlight=False)
WRITES = ("POST", "PUT", "PATCH", "DELETE")
PROJECT = f"demo-{int(time.time())}"


def say(text: str) -> None:
    """Print a heading."""
    console.print(f"\n[bold]{text}[/bold]")


def main() -> int:
    """Run the demo; return the exit code."""
    began = time.monotonic()
    box = Sandbox(tell=lambda line: console.print(f"  {line}", markup=False))
    say("1. Two OpenStack clouds on 127.0.0.1 (keystone, glance, placement, neutron, nova, cinder each)")
    box.up("src", "dst")
    say(f"2. A tenant in the first cloud: project {PROJECT}")
    accounts = {cloud: box.create_tenant(cloud, PROJECT) for cloud in ("src", "dst")}
    with tempfile.TemporaryDirectory(prefix="stackferry-demo-") as folder:
        try:
            return migrate(box, accounts, Path(folder), began)
        finally:
            for cloud in accounts:
                box.delete_tenant(cloud, PROJECT)
            box.down("src", "dst")


def migrate(box: Sandbox, accounts: dict, folder: Path, began: float) -> int:
    """Seed the tenant, migrate it twice, and say what happened."""
    import yaml
    from stackferry_sandbox.connections import connect

    clouds = folder / "clouds.yaml"
    clouds.touch(mode=0o600)
    clouds.write_text(yaml.safe_dump({"clouds": accounts}))
    seed_tenant(connect(accounts["src"]), box.connect("src-admin"))
    console.print("  networks, subnets, routers, security groups, address groups, key pairs, images: made")

    say("3. The services: a private RabbitMQ node, coordinator, exporter, importer")
    stack = Stack(folder / "home")
    try:
        stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(clouds)})
        with Client(stack.uri()) as ferry:
            say("4. The migration")
            first = run(ferry)
            say("5. The same migration once more")
            since = time.time()
            second = run(ferry)
            writes = [
                r
                for r in box.access_log("dst", since=since)
                if r.method in WRITES and "stackferry" in r.agent and "/auth/tokens" not in r.path
            ]
    finally:
        stack.down()
    return conclude(first, second, len(writes), time.monotonic() - began)


def run(ferry: Client) -> dict:
    """Migrate once and print the table."""
    migration = ferry.migrate("src", "dst")
    live.follow(ferry, migration, quiet=not sys.stdout.isatty())
    state = ferry.show(migration)
    report.print_report(state, Format.table)
    return state


def conclude(first: dict, second: dict, writes: int, seconds: float) -> int:
    """Say in words what was shown; return the exit code."""
    one, two = report.by_kind(first["steps"])[-1], report.by_kind(second["steps"])[-1]
    say("What you saw")
    console.print(f"  The first run created {one['created']} resources; {one['failed'] + one['skipped']} failed.")
    console.print(
        f"  The second run found all {two['unchanged']} of them as they should be, and made {writes} writing calls."
    )
    console.print(f"  All in all {seconds:.0f} s, the clouds' start included.")
    good = not (one["failed"] + one["skipped"] + two["created"] + two["updated"] + two["failed"] + writes)
    return 0 if good else 1


if __name__ == "__main__":
    os.environ.pop("AMQP_URI", None)
    sys.exit(main())
