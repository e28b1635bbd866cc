"""Rules of a data directory that don't say for whom they are: the source is asked, or nothing is sent.

OS Migrate leaves out that a rule is for an address group. Imported as it stands, such a rule lets everybody in.
"""

from __future__ import annotations

from typing import Any

from stackferry import documents
from stackferry.client import Client
from stackferry.errors import Error, InvalidDocument
from stackferry.selection import selects

from . import output

Document = dict[str, Any]
NAMED = 20  # of them in one message
KINDS = ["security_group_rule", "address_group"]
SAY = (
    "it doesn't say for whom it is, as OS Migrate writes a rule for an address group, too; write remote_ip_prefix "
    "(0.0.0.0/0 or ::/0 lets everybody in), or remote_address_group_ref (null lets everybody in)"
)


def closed(ferry: Client, found: list[Document], source: Any, chosen: dict[str, Any]) -> list[Document]:
    """The documents, each rule as its source has it; raise Error for one that may let everybody in."""
    if source is not None and any(map(documents.is_unsaid, found)):
        found, groups = documents.restored(found, _at_source(ferry, source))
        found = [*(group for group in groups if selects(chosen, group)), *found]
    if lines := _open(found):
        name = "the source doesn't have it any more" if source is not None else "or name its source cloud (--source)"
        raise InvalidDocument([f"{line}; {name}" for line in lines])
    return found


def warnings(found: list[Document]) -> list[str]:
    """A line for each rule that an import without its source would refuse."""
    return [f"{line}; `plan` and `import` refuse it without its source cloud (--source)" for line in _open(found)]


def _open(found: list[Document]) -> list[str]:
    unsaid = [one for one in found if documents.is_unsaid(one) and documents.lets_in(one)]
    lines = [f"{documents.label(one)}: {SAY}" for one in unsaid[:NAMED]]
    return [*lines, *([f"{len(unsaid) - NAMED} more rules like these"] if len(unsaid) > NAMED else [])]


def _at_source(ferry: Client, source: Any) -> list[Document]:
    """The rules and address groups of the source, by an export that writes no files."""
    output.errors.print("note: rules that don't say for whom they are: asking the source")
    migration = ferry.migrate(source, None, mode="export", selection={"kinds": KINDS})
    if (state := ferry.wait(migration))["phase"] == "stuck":
        raise Error(f"rules don't say for whom they are, and the source can't be asked: {state['reason']}")
    return [s["document"] for s in ferry.show(migration, documents=True)["steps"] if s["action"] == "keep"]
