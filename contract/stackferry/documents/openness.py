"""Rules of OS Migrate's files that may let everybody in: it leaves out that a rule is for an address group.

What remains of such a rule looks like one for all addresses. Our own files always say ``remote_address_group_ref``, be
it null; so a rule without that key and without another end may have had one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..resources import BY_TYPE
from .document import Document

RULE, GROUP = "security_group_rule", "address_group"
LINK = "remote_address_group_ref"


def is_unsaid(document: Document) -> bool:
    """Whether a document is a rule that doesn't say for whom it is."""
    params = document["params"]
    return (
        _is_a(document, RULE)
        and LINK not in params
        and not any(params.get(name) for name in ("remote_ip_prefix", "remote_group_ref"))
    )


def lets_in(document: Document) -> bool:
    """Whether a rule is about connections from outside."""
    return bool(document["params"].get("direction") == "ingress")


def restored(documents: list[Document], source: Iterable[Document]) -> tuple[list[Document], list[Document]]:
    """Return the documents with each unsaid rule as its source has it, and the address groups that they then lack.

    *source*: the rules and address groups of the source, as exported. A rule that isn't there any more stays unsaid.
    """
    source = list(source)
    known = {one["_info"]["id"]: one for one in source if _is_a(one, RULE)}
    groups = {one["_info"]["id"]: one for one in source if _is_a(one, GROUP)}
    here = {one.get("_info", {}).get("id") for one in documents if _is_a(one, GROUP)}
    found, lacking = [], {}
    for document in documents:
        info = document.get("_info", {})
        if is_unsaid(document) and (rule := known.get(info.get("id"))):
            group = (rule["_info"].get("source_ids") or {}).get(LINK)
            ids = {**(info.get("source_ids") or {}), **({LINK: group} if group else {})}
            params = {**document["params"], LINK: rule["params"].get(LINK)}
            document = {**document, "params": params, "_info": {**info, **({"source_ids": ids} if ids else {})}}
            if group in groups and group not in here:
                lacking[group] = groups[group]
        found.append(document)
    return found, list(lacking.values())


def _is_a(document: Document, kind: str) -> bool:
    known = BY_TYPE.get(document["type"])
    return known is not None and known.kind == kind
