"""Chance with a memory: every choice of a seed is noted, so that it can be counted what was reached."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

#: few names, so that they're repeated within a kind and across kinds; some are hard to print, quote or cut
NAMES = (
    "web", "web", "web", "db", "db", "", "app-1", "Kühe & Äpfel", "日本語", "a/b/../c", "100% %s %(x)s", "{}", "[bold]x[/]",
    "it's \"quoted\"", "x" * 255, "None", "null", "-rf", "conversion-like", "0",
)  # fmt: skip
DESCRIPTIONS = ("", "", "plain", "mit Ümläuten", "two\nlines", "100%", "y" * 255, "a: b # c", "'")
TAGS = ("blue", "green", "prod/eu", "Ümläut", "a b", "t" * 60, "1")


class Draw:
    """A seed's choices. *features* counts what was chosen, by what it's called."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.features: Counter[str] = Counter()

    def chance(self, probability: float, feature: str) -> bool:
        """Whether something is so."""
        if self.random.random() >= probability:
            return False
        self.features[feature] += 1
        return True

    def pick(self, options: Sequence[Any], feature: str) -> Any:
        """One of some options, noted as ``feature=option``."""
        chosen = self.random.choice(options)
        self.features[f"{feature}={_short(chosen)}"] += 1
        return chosen

    def some(self, options: Sequence[Any], most: int, feature: str) -> list[Any]:
        """Several of some options, in random order; how many is noted."""
        chosen = self.random.sample(list(options), self.random.randint(0, min(most, len(options))))
        self.features[f"{feature}*{len(chosen)}"] += 1
        return chosen

    def number(self, least: int, most: int, feature: str) -> int:
        """How many, or how much."""
        chosen = self.random.randint(least, most)
        self.features[f"{feature}*{chosen}"] += 1
        return chosen

    def name(self, kind: str, usable: Sequence[str] = NAMES) -> str:
        """A name of a *kind*."""
        return str(self.pick(usable, f"{kind} name"))

    def description(self, kind: str) -> str:
        """A description of a *kind*."""
        return str(self.pick(DESCRIPTIONS, f"{kind} description"))

    def tags(self, kind: str) -> list[str]:
        """Tags of a *kind*; mostly none."""
        return self.some(TAGS, 3, f"{kind} tags") if self.random.random() < 0.4 else []


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
