"""``python -m tests.tenants SEED [SEED ...]``: try seeds by hand; what was made is left to be looked at.

``python -m tests.tenants --show SEED`` only prints the description. The projects are named after the seed
(`seed-7`); an earlier trial's are removed first. The services stay only as long as this program.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stackferry.client import Client
from stackferry_cli.local.stack import Stack
from stackferry_sandbox import Sandbox

from ..clouds.hosts import conversion_host
from ..conftest import CloudsFile, Tenant
from .generator import generate
from .judge import Judge


def main(words: list[str]) -> int:
    """Try the seeds; the exit code says whether there were findings."""
    if words[:1] == ["--show"]:
        for word in words[1:]:
            print(generate(int(word)))
        return 0
    box = Sandbox(tell=print)
    box.up("src", "dst")
    folder = Path(tempfile.mkdtemp(prefix="stackferry-tenants-"))
    file = CloudsFile(folder / "clouds.yaml")
    file.add(
        "nobody", {"auth": {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "project_name": "p"}}
    )
    stack, bad = Stack(folder / "home"), 0
    print(f"services and their logs: {stack.folder}", flush=True)
    try:
        stack.up(environ={"OS_CLIENT_CONFIG_FILE": str(file.path)})
        with Client(stack.uri()) as ferry:
            for seed in map(int, words):
                bad += _try(box, file, stack, ferry, seed)
    finally:
        stack.down()
    return min(bad, 1)


def _try(box: Any, file: CloudsFile, stack: Stack, ferry: Client, seed: int) -> int:
    """One seed; print what was found."""
    tenants = []
    for cloud in ("src", "dst"):
        name = f"seed-{seed}"
        box.delete_tenant(cloud, name)
        auth = box.create_tenant(cloud, name)
        tenants.append(Tenant(f"{cloud}-{name}", cloud, name, auth, box))
        file.add(tenants[-1].entry, auth)
    with ExitStack() as hosts:
        for tenant in tenants:
            hosts.enter_context(conversion_host(tenant, stack))
        judge = Judge(generate(seed), *tenants, ferry)
        try:
            print(judge.trial(), flush=True)
        except Exception:
            judge.verdict.find("the trial itself", traceback.format_exc(limit=-4))
            print(judge.verdict, flush=True)
    return len(judge.verdict.findings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
