"""What was found about a seed: what was told, and what wasn't."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Verdict:
    """The outcome of one seed. *findings*: what nobody had announced; each one a fault, of the product or of a test."""

    seed: int
    things: int = 0
    announced: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)  # of one of each
    findings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def find(self, check: str, what: Any) -> None:
        """Note a fault."""
        self.findings.append(f"{check}: {what}")

    def __str__(self) -> str:
        times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        lines = [f"seed {self.seed}: {self.things} objects, {sum(self.announced.values())} announced differences, "
                 f"{len(self.findings)} findings ({times})"]  # fmt: skip
        lines += [
            f"  announced {many} times {what}: {self.texts.get(what, '')[:150]!r}"
            for what, many in sorted(self.announced.items())
        ]
        lines += [f"  FINDING {finding}" for finding in self.findings]
        if self.findings:
            lines.append(f"  again: python -m tests.tenants {self.seed}")
        return "\n".join(lines)
