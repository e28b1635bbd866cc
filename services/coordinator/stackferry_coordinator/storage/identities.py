"""What the source's resources have become at a destination, over all migrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, bindparam, select

from ..plan.ledger import Head, Ledger
from . import tables as t

_BECOME = select(t.identity.c.destination_id).where(
    *(t.identity.c[name] == bindparam(name) for name in ("destination", "project", "kind", "source_id"))
)


def learn(
    connection: Connection, upsert: Callable[..., Any], ledger: Ledger, message: str, data: dict[str, Any]
) -> None:
    """Remember what a source's resource has become, for later migrations."""
    if message != "step-ended" or not data.get("destination_id"):
        return
    step = ledger.step(data["step"])
    if step is None or step.state != "done" or not step.source_id or step.action not in ("ensure", "compare"):
        return
    key = {**_place(ledger.head), "kind": step.kind, "source_id": step.source_id}
    statement = upsert(t.identity).values(**key, destination_id=step.destination_id)
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_={"destination_id": step.destination_id})
    )


class Known:
    """``known(kind, source id)``: what it has become at a migration's destination; None when nobody knows."""

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection, self.place = connection, _place(head)

    def __call__(self, kind: str, source_id: str) -> str | None:
        about = {**self.place, "kind": kind, "source_id": source_id}
        found: str | None = self.connection.execute(_BECOME, about).scalar_one_or_none()
        return found


def _place(head: Head) -> dict[str, str]:
    place = head.request.get("destination") or {}
    return {"destination": place.get("cloud") or "", "project": place.get("project") or ""}
