"""Two exporters, two importers, two coordinators on PostgreSQL: all of them work, and the result is the same."""

import pytest
from stackferry.client import Client
from stackferry_cli.local.stack import Stack
from stackferry_sandbox.seed import seed_stacks

from ..conftest import scratch
from .inventory import inventory

pytestmark = [pytest.mark.clouds, pytest.mark.postgresql]
COUNTS = {"coordinator": 2, "exporter": 2, "importer": 2}


@pytest.fixture
def several(clouds_file, postgresql_url):
    environ = {
        "OS_CLIENT_CONFIG_FILE": str(clouds_file.path),
        "STACKFERRY_DATABASE_URL": postgresql_url,
        "STACKFERRY_LOG_LEVEL": "DEBUG",
    }
    with scratch("several") as folder:
        stack = Stack(folder)
        try:
            stack.up(COUNTS, environ)
            yield stack
        finally:
            stack.down()


def test_all_of_them_work(several, source, new_tenant):
    seed_stacks(source.connect(), 4, "s")
    destinations = [new_tenant("dst") for _ in range(3)]
    with Client(several.uri(), timeout=90) as ferry:
        migrations = [ferry.migrate(source.entry, d.entry) for d in destinations]
        for migration in migrations:
            state = ferry.wait_for(migration, "done", timeout=240)
            assert [s for s in state["steps"] if s["state"] != "done"] == []
    want = inventory(source.connect())
    for destination in destinations:
        assert inventory(destination.connect()) == want
    worked = {"coordinator": "took", "exporter": "exported", "importer": "created"}
    for name in several.names(COUNTS):
        log = several.process(name).log.read_text()
        assert worked[name.partition("-")[0]] in log, f"{name} had nothing to do"
