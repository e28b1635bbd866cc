"""What `hosts deploy` makes, known by its marks: it serves migrations, so it isn't moved by one."""

from __future__ import annotations

from .kind import Kind
from .view import Record, View

#: description of everything in Neutron that it makes: it can be said at creation, unlike tags
MARK = "made by stackferry hosts deploy"
#: metadata of the servers that it makes
METADATA = {"stackferry": "conversion-host"}


def serves(kind: type[Kind], record: Record, view: View) -> bool:
    """Whether a resource belongs to conversion hosts: by its own mark, or by that of what it's a part of."""
    if record.get("description") == MARK or (record.get("metadata") or {}).items() >= METADATA.items():
        return True
    part_of = kind.scope or kind.filtered_by
    if part_of is None:
        return False
    owner_id = record.get(kind.attribute(part_of))
    owners = [ref.kind for ref in kind.declared()[part_of].refs()]
    found = [view.own(owner, str(owner_id)) for owner in owners] if owner_id else []
    return any(owner is not None and owner.get("description") == MARK for owner in found)
