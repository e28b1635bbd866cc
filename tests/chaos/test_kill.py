"""Services and broker are killed while a migration runs: it completes, nothing is there twice, nothing is missing."""

from __future__ import annotations

import hashlib
import os
import random

import pytest
from stackferry.client import Client
from stackferry.messages import StepEnded
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_sandbox.seed import seed_stacks

from ..clouds.inventory import inventory
from ..clouds.test_images import EMPTY_QCOW2, MIB, images, put
from ..conftest import scratch

pytestmark = [pytest.mark.chaos, pytest.mark.clouds, pytest.mark.timeout(1500)]
SEED, SIZE = int(os.environ.get("SEED") or 1), int(os.environ.get("SIZE") or 40)
LEASE = 300  # seconds after which a worker that says nothing is given up
#: name, disk format, MiB
IMAGES = (("small", "raw", 8), ("middle", "qcow2", 16), ("large", "raw", 32), ("largest", "qcow2", 96))


def payload(name, disk_format, mib):
    noise = random.Random(f"{SEED} {name}").randbytes(mib * MIB)
    return EMPTY_QCOW2.ljust(65536, b"\0") + noise[65536:] if disk_format == "qcow2" else noise


@pytest.fixture
def stacks(source):
    """A project with stacks of network objects, and images."""
    seed_stacks(source.connect(), SIZE, "s")
    for name, disk_format, mib in IMAGES:
        put(source, name, payload(name, disk_format, mib), disk_format=disk_format)
    return source


@pytest.fixture
def own(clouds_file):
    """Services of this test's own, to be killed."""
    environ = {"OS_CLIENT_CONFIG_FILE": str(clouds_file.path)}
    with scratch("chaos") as folder:
        stack = Stack(folder)
        try:
            stack.up(environ=environ)
            yield stack, environ
        finally:
            stack.down()


def after_some_steps(uri, migration, count):
    """Return once so many more steps have ended."""
    with Client(uri) as listener:
        state = listener.show(migration)
        if state["phase"] not in ("new", "running"):
            return False
        facts = (f for f in listener.follow(migration, timeout=LEASE + 60) if f.type == StepEnded.type)
        for _ in range(count):
            if next(facts, None) is None:
                return False
    return True


def finish(uri, migration):
    with Client(uri) as ferry:
        return ferry.wait_for(migration, "done", timeout=900)


def same(source, destination):
    want, have = inventory(source.connect()), inventory(destination.connect())
    assert have - want == {}, "there too often, or not at the source"
    assert want - have == {}, "missing"
    there = {name: (image.status, image.hash_value) for name, image in images(destination).items()}
    assert there == {i[0]: ("active", hashlib.sha512(payload(*i)).hexdigest()) for i in IMAGES}


def kill_9(stack, environ, victim):
    os.kill(stack.process(victim).pid(), 9)
    assert until(lambda: stack.process(victim).pid() is None, 10)
    stack.up(environ=environ)


def status(destination, name):
    found = images(destination).get(name)
    return found and found.status


@pytest.mark.parametrize("victim", ["exporter", "importer", "coordinator"])
def test_kill_9_of_a_service(victim, stacks, destination, own):
    stack, environ = own
    with Client(stack.uri()) as ferry:
        migration = ferry.migrate(stacks.entry, destination.entry)
    if victim != "exporter":  # it's busy only at the beginning
        assert after_some_steps(stack.uri(), migration, random.Random(SEED).randint(20, SIZE * 5))
    kill_9(stack, environ, victim)
    state = finish(stack.uri(), migration)
    assert [s for s in state["steps"] if s["state"] != "done"] == []
    same(stacks, destination)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_restart_of_the_broker(how, stacks, destination, own):
    stack, _ = own
    with Client(stack.uri()) as ferry:
        migration = ferry.migrate(stacks.entry, destination.entry)
    assert after_some_steps(stack.uri(), migration, random.Random(SEED).randint(20, SIZE * 5))
    pids = {name: stack.process(name).pid() for name in stack.names()}
    getattr(stack.node, how)()
    stack.node.start()
    state = finish(stack.uri(), migration)
    assert {name: stack.process(name).pid() for name in stack.names()} == pids, "a service died with the broker"
    assert [s for s in state["steps"] if s["state"] not in ("done", "removed")] == []
    same(stacks, destination)


def test_kills_at_random(stacks, destination, own):
    stack, environ = own
    rnd = random.Random(SEED)
    with Client(stack.uri()) as ferry:
        migration = ferry.migrate(stacks.entry, destination.entry)
    kills = 0
    most = min(25, max(6, SIZE))  # or a small migration would be over too soon
    while kills < 12 and after_some_steps(stack.uri(), migration, rnd.randint(3, most)):
        victim = rnd.choice(["importer", "importer", "coordinator", "exporter"])
        kill_9(stack, environ, victim)
        kills += 1
    state = finish(stack.uri(), migration)
    print(f"{kills} kills, seed {SEED}")
    assert kills > 3
    assert [s for s in state["steps"] if s["state"] not in ("done", "removed")] == []
    same(stacks, destination)


def test_kills_amid_payloads(stacks, destination, own):
    stack, environ = own
    name, cut_off = IMAGES[-1][0], 0
    with Client(stack.uri()) as ferry:
        migration = ferry.migrate(stacks.entry, destination.entry)
    others = random.Random(SEED).sample(["importer", "importer", "coordinator"], 3)
    for victim in ("exporter", *others):  # last, it could take away what has lost its importer: then only a lease helps
        assert until(lambda: status(destination, name) in ("saving", "active"), LEASE + 60), "no payload moves"
        kill_9(stack, environ, victim)
        cut_off += status(destination, name) != "active"
    state = finish(stack.uri(), migration)
    print(f"{cut_off} payloads cut off, seed {SEED}")
    assert cut_off, "every kill came too late"
    assert [s for s in state["steps"] if s["state"] not in ("done", "removed")] == []
    same(stacks, destination)
