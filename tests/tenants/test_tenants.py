"""Random tenants cross, and whatever differs was announced. A few small ones always; any number by `make tenants`."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from ..clouds.hosts import conversion_host
from ..conftest import tenants
from .generator import generate
from .judge import Judge
from .verdict import Verdict

pytestmark = pytest.mark.clouds
#: small ones that `make test` tries
SEEDS = (8, 10)
#: of so many seeds all that is ever drawn is counted
MANY = 2000


def tried(seed: int, stack: Any, sandbox: Any, clouds_file: Any, ferry: Any) -> Verdict:
    """What is found about a seed, with projects of its own."""
    with tenants(sandbox, clouds_file) as make, ExitStack() as hosts:
        pair = make("src"), make("dst")
        for tenant in pair:
            hosts.enter_context(conversion_host(tenant, stack))
        judge = Judge(generate(seed), *pair, ferry)
        try:
            return judge.trial()
        except Exception:
            judge.verdict.find("the trial itself", traceback.format_exc(limit=-4))
            return judge.verdict


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_small_tenant_crosses_and_every_difference_is_announced(seed, stack, sandbox, clouds_file, ferry):
    verdict = tried(seed, stack, sandbox, clouds_file, ferry)
    assert not verdict.findings, f"{verdict}\n{generate(seed)}"


@pytest.mark.tenants
@pytest.mark.timeout(0)
def test_tenants(stack, sandbox, clouds_file, ferry, capfd):
    """SEED and N say which: N seeds from SEED on."""
    first, many = int(os.environ.get("SEED") or 1), int(os.environ.get("N") or 50)
    announced: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    bad, kinds = [], Counter[str]()
    for seed in range(first, first + many):
        verdict = tried(seed, stack, sandbox, clouds_file, ferry)
        announced += verdict.announced
        reached.update(generate(seed).features)
        kinds.update(finding.partition(":")[0] for finding in verdict.findings)
        bad += [seed] if verdict.findings else []
        with capfd.disabled():
            print(f"\n{verdict}", flush=True)
    ever = {one for seed in range(1, MANY) for one in generate(seed).features if " name=" not in one}
    with capfd.disabled():
        print(f"\nreached {len(ever & set(reached))} of {len(ever)} choices; not: {sorted(ever - set(reached))}")
        print("announced differences: " + ", ".join(f"{many} times {what}" for what, many in sorted(announced.items())))
        print(f"findings: {dict(kinds)}; seeds with findings: {bad}")
    assert not bad


def test_a_seed_makes_the_same_tenant_each_time():
    assert [str(generate(seed)) for seed in SEEDS] == [str(generate(seed)) for seed in SEEDS]
