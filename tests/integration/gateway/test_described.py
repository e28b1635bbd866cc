"""What the API does is what its description says, whoever reads that: requests made of it, good and bad, by Schemathesis."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as described
from stackferry_cli.local.processes import until
from stackferry_cli.local.stack import Stack
from stackferry_gateway.openapi import document

from .asking import caller, imported, made, phase, token

pytestmark = pytest.mark.integration
MANY = int(os.environ.get("EXAMPLES", "25"))
FOREVER = "events"  # a stream doesn't end
CHECKS = [
    checks.not_a_server_error, described.status_code_conformance, described.content_type_conformance,
    described.response_headers_conformance, described.response_schema_conformance,
    described.negative_data_rejection,
]  # fmt: skip
OPERATIONS = {
    (method, path): about
    for path, item in document()["paths"].items() if not path.endswith(FOREVER) for method, about in item.items()
}  # fmt: skip
GOOD, BAD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
LAST = ("delete", "post")  # what is asked about is there until it's taken away
CASES = [(*one, GOOD) for one in OPERATIONS] + [
    (*one, BAD) for one, about in OPERATIONS.items()
    if "requestBody" in about or any(parameter["in"] == "query" for parameter in about["parameters"])
]  # fmt: skip


CASES.sort(key=lambda case: (case[0] in LAST, case[0] == "delete"))


@pytest.fixture(scope="module")
def schema(stack: Stack) -> Any:
    found = schemathesis.openapi.from_dict(document())
    found.config.update(base_url=stack.gateway.url(), headers={"Authorization": f"Bearer {token('root')}"})
    return found


@pytest.fixture(scope="module")
def known(stack: Stack) -> list[str]:
    """Migrations that are there: one whose steps failed, a plan, one that is stuck."""
    with caller(stack, "root") as http:
        found = [imported(http, 3), imported(http, 2, mode="plan"), made(http)]
        assert until(lambda: all(phase(http, one) in ("done", "planned", "stuck") for one in found), 60)
    return found


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_what_is_described_is_what_happens(schema: Any, known: list[str], method: str, path: str, mode: Any) -> None:
    turn = itertools.cycle([None, *known])

    @settings(max_examples=MANY, deadline=None, derandomize=MANY == 25, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=schema[path][method.upper()].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if "migration" in case.path_parameters and (id_ := next(turn)):
            case.path_parameters["migration"] = id_
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    statuses: set[int] = set()
    ask()
    if method == "get" and mode is GOOD and "{cloud}" not in path:
        assert 200 in statuses, "nothing that is there was looked at"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["none", "wrong"])
def test_nothing_is_done_without_a_good_token(stack: Stack, headers: dict[str, str]) -> None:
    with caller(stack, None) as nobody:
        answers = {
            (method, path): nobody.request(method, path, headers=headers).status_code for method, path in OPERATIONS
        }
    assert set(answers.values()) == {401}, answers
