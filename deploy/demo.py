"""``make demo``: two real clouds on this machine, a seeded tenant, and its way from one to the other, twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from rich.console import Console
from stackferry import summary
from stackferry.client import Client
from stackferry_cli import live, output, report
from stackferry_cli.local.stack import Stack
from stackferry_cli.output import Format
from stackferry_sandbox import Sandbox
from stackferry_sandbox.connections import connect
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
    """Seed the tenant, make conversion hosts, migrate twice, compare the disks, and say what happened."""
    clouds = folder / "clouds.yaml"
    clouds.touch(mode=0o600)
    clouds.write_text(yaml.safe_dump({"clouds": accounts}))
    seed_tenant(connect(accounts["src"]), box.connect("src-admin"), disks=box.disks("src"))
    console.print("  networks, routers, security groups, key pairs, images, and servers with their disks: made")
    for account in accounts.values():  # what a host boots from; here only its user data counts
        image = {"name": "os_migrate_conv", "disk_format": "raw", "container_format": "bare", "data": b"x" * 512}
        connect(account).image.create_image(**image)

    say("3. The services: a private RabbitMQ node, coordinator, exporter, importer, gateway")
    stack = Stack(folder / "home")
    environ = {"OS_CLIENT_CONFIG_FILE": str(clouds), "STACKFERRY_HOME": str(stack.folder)}
    try:
        stack.up({"gateway": 1}, environ)
        page = stack.gateway.url()
        console.print(
            f"  The page, as long as this runs: {page}; its token: cat {stack.gateway.token_file}", markup=False
        )
        say("4. A conversion host in each cloud, through which the disks cross")
        command(environ, "hosts", "deploy", "-s", "src", "-d", "dst", "--flavor", "m1.tiny")
        with Client(stack.uri()) as ferry:
            say("5. The migration")
            first = run(ferry)
            say("6. The disks: sha256 of each volume as it is in either cloud")
            equal = compare(box, first["steps"])
            say("7. The same migration once more")
            since = time.time()
            second = run(ferry)
            writes = [
                r
                for r in box.access_log("dst", since=since)
                if r.method in WRITES and "stackferry" in r.agent and "/auth/tokens" not in r.path
            ]
        say("8. The conversion hosts have done their work")
        command(environ, "hosts", "delete", "-s", "src", "-d", "dst", "--yes")
    finally:
        stack.down()
    return conclude(first, second, equal, len(writes), time.monotonic() - began, page)


def command(environ: dict[str, str], *words: str) -> None:
    """Run a command as a person would, and show it."""
    console.print(f"  $ stackferry {' '.join(words)}", markup=False)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "stackferry_cli.app", *words], env={**os.environ, **environ}, check=True
    )


def run(ferry: Client) -> dict:
    """Migrate once and print the table."""
    migration = ferry.migrate("src", "dst")
    live.follow(ferry, migration, quiet=not sys.stdout.isatty())
    state = ferry.show(migration)
    report.print_report(state, Format.table)
    return state


def compare(box: Sandbox, steps: list[dict]) -> list[bool]:
    """Read every volume in both clouds, print the digests, and return which of them are equal."""
    moved = [s for s in steps if (s["kind"], s["action"]) == ("volume", "ensure") and s["destination_id"]]
    rows = []
    for step in moved:
        here, there = digest(box, "src", step["source_id"]), digest(box, "dst", step["destination_id"])
        rows.append({"volume": step["name"], "source": here, "destination": there, "equal": here == there})
    shown = [{**row, "source": row["source"][:16], "destination": row["destination"][:16]} for row in rows]
    output.show(shown, Format.table, ("volume", "source", "destination", "equal"))
    return [row["equal"] for row in rows]


def digest(box: Sandbox, cloud: str, volume: str) -> str:
    """The sha256 of a whole volume."""
    with box.volume_file(cloud, volume).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def conclude(first: dict, second: dict, equal: list[bool], writes: int, seconds: float, page: str) -> int:
    """Say in words what was shown; return the exit code."""
    one, two = summary.by_kind(first["steps"])[-1], summary.by_kind(second["steps"])[-1]
    say("What you saw")
    console.print(f"  The first run created {one['created']} resources; {one['failed'] + one['skipped']} failed.")
    console.print(f"  {sum(equal)} of {len(equal)} disks are the same in both clouds, byte for byte.")
    console.print(
        f"  The second run found all {two['unchanged']} of them as they should be, and made {writes} writing calls."
    )
    console.print(f"  All in all {seconds:.0f} s, the clouds' start included.")
    console.print(
        f"  The page that showed it was {page}; `stackferry up` starts one for clouds of yours, and names it."
    )
    wrong = one["failed"] + one["skipped"] + two["created"] + two["updated"] + two["failed"] + writes
    return 0 if equal and all(equal) and not wrong else 1


if __name__ == "__main__":
    os.environ.pop("AMQP_URI", None)
    sys.exit(main())
