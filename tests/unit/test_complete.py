"""What is added in one place and forgotten in another: a kind, a message, an action of a workload's step."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from stackferry.messages import REGISTRY
from stackferry.messages.workloads import ACTIONS
from stackferry.progress.words import SILENT, WORDS
from stackferry.resources import KINDS
from stackferry.step_key import WARM
from stackferry_clouds import actions
from stackferry_coordinator.commands.workloads import DATA
from stackferry_coordinator.plan.itinerary import WORKLOAD
from stackferry_exporter.uncovered import TABLE
from stackferry_transfer.agent import TAKES

SERVICES = Path(__file__).parents[2] / "services"
HANDLED = sorted(
    {(queue.service, type_.__name__) for type_ in REGISTRY.values() for queue in type_.queues}
    - {("coordinator", "Answer")}  # it goes to whoever has asked
)


def test_every_action_may_be_commanded_and_has_somebody_who_does_it() -> None:
    assert set(ACTIONS) == set(actions.ACTIONS)
    assert set(DATA) <= set(ACTIONS)


def test_people_see_what_is_done_in_every_step_of_a_workload() -> None:
    named = {task.name.removeprefix(WARM) for task in WORKLOAD if task.name}
    assert named - WORDS.keys() <= set(SILENT)


def handled(service: str) -> set[str]:
    """The names in the decorators ``@handles(...)`` of a service; of agents what they say."""
    if service == "transfer":
        return {REGISTRY[type_].__name__ for type_ in TAKES}
    tree = ast.parse((SERVICES / service / f"stackferry_{service}" / "service.py").read_text())
    calls = [
        decorator
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "handles"
    ]
    return {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}


@pytest.mark.parametrize(("service", "message"), HANDLED)
def test_every_message_has_a_handler(service: str, message: str) -> None:
    assert message in handled(service), f"services/{service}/.../service.py has no @handles({message})"


def test_what_stackferry_moves_is_not_said_to_stay_behind() -> None:
    moved = {(kind.service.replace("_", "-"), kind.plural) for kind in KINDS.values()}
    assert {(one.service, one.plural) for one in TABLE} & moved == set()
