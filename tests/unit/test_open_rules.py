"""A rule that OS Migrate has written never arrives open to everybody because its address group wasn't in the file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from stackferry.documents import dump
from stackferry.errors import Error, InvalidDocument
from stackferry_cli import rules
from stackferry_cli.commands import data

from .test_documents import EXAMPLES

OURS = {"domain_name": "%auth%", "project_name": "%auth%"}
SOURCE = {"cloud": "src"}
GROUP = {"type": "openstack.network.AddressGroup", "_info": {"id": "group-1"}, "_migration_params": {},
         "params": {"name": "offices", "addresses": ["192.0.2.0/24"]}}  # fmt: skip


def rule(id_: str = "rule-1", **params: Any) -> dict[str, Any]:
    """As OS Migrate writes it: whatever it was for, there's no word of an address group."""
    found = copy.deepcopy(EXAMPLES["security_group_rules"])
    found["_info"]["id"] = id_
    found["params"] |= {"remote_group_ref": None, **params}
    return found


def at_source(**params: Any) -> dict[str, Any]:
    """The same rule, as an export of ours has it."""
    found = rule(remote_address_group_ref={"name": "offices", **OURS}, **params)
    found["_info"]["source_ids"] = {"remote_address_group_ref": "group-1"}
    return found


class Ferry:
    """A client that exports these documents."""

    def __init__(self, *documents: Any, phase: str = "done") -> None:
        self.documents, self.phase, self.asked = documents, phase, []

    def migrate(self, *sides: Any, **asked: Any) -> str:
        self.asked.append((sides, asked))
        return "m1"

    def wait(self, _: str) -> dict[str, Any]:
        return {"phase": self.phase, "reason": "nobody home"}

    def show(self, *_: Any, **__: Any) -> Any:
        return {"steps": [{"action": "export"}] + [{"action": "keep", "document": d} for d in self.documents]}


def closed(ferry: Any, *found: Any, source: Any = SOURCE, chosen: Any = None) -> list[Any]:
    return rules.closed(ferry, list(found), source, chosen or {})


def test_the_source_says_for_whom_a_rule_is_and_its_group_comes_along() -> None:
    ferry = Ferry(at_source(), GROUP)
    group, restored = closed(ferry, rule())
    assert group == GROUP
    assert restored["params"]["remote_address_group_ref"] == {"name": "offices", **OURS}
    assert restored["_info"]["source_ids"] == {"remote_address_group_ref": "group-1"}
    ((sides, asked),) = ferry.asked
    assert sides == (SOURCE, None)
    assert asked == {"mode": "export", "selection": {"kinds": ["security_group_rule", "address_group"]}}


def test_a_group_that_is_in_the_files_or_not_asked_for_is_not_added() -> None:
    found = closed(Ferry(at_source(), GROUP), GROUP, rule())
    assert [d["type"] for d in found].count(GROUP["type"]) == 1
    (restored,) = closed(Ferry(at_source(), GROUP), rule(), chosen={"kinds": ["security_group_rule"]})
    assert restored["params"]["remote_address_group_ref"]["name"] == "offices"


def test_a_rule_that_is_for_everybody_at_the_source_stays_so() -> None:
    (found,) = closed(Ferry(rule(remote_address_group_ref=None)), rule())
    assert found["params"]["remote_address_group_ref"] is None


@pytest.mark.parametrize(("ferry", "source"), [(Ferry(), None), (Ferry(), SOURCE), (Ferry(GROUP), SOURCE)])
def test_a_rule_of_which_nobody_knows_is_refused_with_what_to_write(ferry: Any, source: Any) -> None:
    with pytest.raises(InvalidDocument, match="security_group_rule 'default: ingress") as caught:
        closed(ferry, rule(), source=source)
    assert "remote_ip_prefix (0.0.0.0/0" in str(caught.value)
    assert ("--source" in str(caught.value)) is (source is None)


@pytest.mark.parametrize(
    "params",
    [{"remote_ip_prefix": "0.0.0.0/0"}, {"remote_group_ref": {"name": "web", **OURS}}, {"direction": "egress"},
     {"remote_address_group_ref": None}],
)  # fmt: skip
def test_a_rule_that_says_for_whom_it_is_or_lets_nobody_in_passes(params: dict[str, Any]) -> None:
    ferry = Ferry()
    assert closed(ferry, rule(**params), source=None) == [rule(**params)]
    assert ferry.asked == []


def test_a_source_that_cannot_be_asked_is_told() -> None:
    with pytest.raises(Error, match="can't be asked: nobody home"):
        closed(Ferry(phase="stuck"), rule())


def test_of_many_the_first_are_named() -> None:
    with pytest.raises(InvalidDocument) as caught:
        closed(Ferry(), *(rule(str(number)) for number in range(25)), source=None)
    assert len(caught.value.problems) == 21
    assert "5 more rules" in caught.value.problems[-1]


def test_validate_says_what_an_import_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "security_group_rules.yml").write_text(dump([rule()]))
    data.validate(tmp_path)
    shown = capsys.readouterr()
    assert "warning: security_group_rule 'default: ingress IPv4 tcp 10-100': it doesn't say for whom" in shown.err
    assert "`plan` and `import` refuse it without its source" in shown.err
    assert "1 resources, all valid" in shown.out
