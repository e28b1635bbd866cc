"""Since when we have listened: who is silent while we don't isn't lost."""

from __future__ import annotations

from dataclasses import dataclass

from ..hosts.presence import AGENT_SILENT

AWAY = 15.0  # seconds between two ticks after which we weren't there: down, or busy, or without a database
DEAF = 45.0  # seconds without any message; exporters and importers say every 30 that they're there


@dataclass
class Listening:
    """Unix times, in seconds. ``spoken``: when anybody said anything last."""

    spoken: float = float("-inf")
    heard: float = float("-inf")  # an agent, the last time
    hears_since: float = float("inf")  # agents, all along
    ticked: float = float("-inf")
    listens_since: float = float("-inf")

    def is_deaf(self, now: float) -> bool:
        """Whether nobody at all is heard: it's the broker that is away."""
        return now - self.spoken > DEAF

    def agent(self, now: float) -> None:
        """An agent was heard."""
        if now - self.heard > AGENT_SILENT:
            self.hears_since = now
        self.heard = self.spoken = now

    def set_back(self, now: float) -> float:
        """By how many seconds the clock was set back since the last tick."""
        return max(0.0, self.ticked - now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.heard, self.spoken = min(self.heard, now), min(self.spoken, now)
        if not 0 <= now - self.ticked <= AWAY:  # or the clock has jumped
            self.listens_since = self.hears_since = now
        self.ticked = now
