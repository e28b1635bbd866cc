"""`stackferry hosts scale`: hosts come while volumes wait, and go when they're empty."""

from __future__ import annotations

from typing import Any

import pytest
from stackferry_cli.local.processes import until

from .test_hosts import hosts, image  # noqa: F401 - fixtures
from .test_workloads import bad, server  # noqa: F401 - a fixture

pytestmark = pytest.mark.clouds


def names(tenant: Any) -> list[str]:
    return sorted(one.name for one in tenant.connect().compute.servers() if one.name.startswith("os_migrate_conv"))


def test_hosts_come_with_the_work_and_go_without(
    hosts: Any, image: Any, server: Any, source: Any, destination: Any, ferry: Any  # noqa: F811
) -> None:  # fmt: skip
    def look(*more: Any, **how: Any) -> str:
        made = ("--flavor", "m1.tiny", "--image", "cirros", "--slots", 1, "--timeout", 60)
        return str(hosts("scale", *hosts.both, "--max", 2, "--once", "--idle", 0, *more, *made, **how))

    assert "hosts in each cloud" in look()
    assert names(source) == names(destination) == ["os_migrate_conv"]
    migration = ferry.migrate(source.entry, destination.entry, selection={"kinds": ["network", "subnet", "server"]},
                              bandwidth=600_000)  # fmt: skip
    assert until(lambda: ferry.show(migration)["totals"].get("wanting"), 60), "no volume waits"
    assert "2 hosts in each cloud" in look()
    assert names(source) == names(destination) == ["os_migrate_conv", "os_migrate_conv-2"]
    assert until(lambda: ferry.show(migration)["totals"].get("holding") == 2, 60), "the new hosts get no work"
    look("--min", 0)
    assert len(names(source)) == 2, "one that is needed was taken away"
    state = ferry.wait(migration, timeout=120)
    assert (state["phase"], bad(state)) == ("done", [])
    assert "os_migrate_conv-2 takes nothing new" in look()
    assert until(lambda: "os_migrate_conv-2 is deleted" in look(), 60)
    assert names(source) == names(destination) == ["os_migrate_conv"]
    assert look("--min", 3, code=2).count("--min 3 is more than --max 2") == 1
