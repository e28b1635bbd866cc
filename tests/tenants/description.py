"""What a tenant is to be, as plain data: a list of things in the order in which they can be made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

Body = dict[str, Any]


def ref(thing: Thing) -> Body:
    """In a body, the id that another thing gets."""
    return {"$": thing.key}


@dataclass(eq=False)
class Thing:
    """One object. *body*: what the API is told, in its words. *more*: what is done besides, in ``seeding``'s words."""

    key: str
    kind: str
    body: Body
    more: Body = field(default_factory=dict)


@dataclass
class Description:
    """The things of the source, what is at the destination before, and how the tenant is moved."""

    seed: int
    source: list[Thing] = field(default_factory=list)
    destination: list[Thing] = field(default_factory=list)
    params: Body = field(default_factory=dict)  # migration_params of the request
    features: list[str] = field(default_factory=list)

    def add(self, kind: str, body: Body, **more: Any) -> Thing:
        """Add an object to the source."""
        thing = Thing(f"{kind}.{len(self.of(kind))}", kind, body, {n: v for n, v in more.items() if v})
        self.source.append(thing)
        return thing

    def of(self, kind: str) -> list[Thing]:
        """The source's things of a kind."""
        return [thing for thing in self.source if thing.kind == kind]

    def __str__(self) -> str:
        sides = {side: {t.key: t.body | ({"+": t.more} if t.more else {}) for t in getattr(self, side)}
                 for side in ("source", "destination")}  # fmt: skip
        data = {"seed": self.seed, "params": self.params, **sides}
        return str(
            yaml.dump(data, sort_keys=False, allow_unicode=True, width=160, default_flow_style=None, Dumper=_Plain)
        )


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
