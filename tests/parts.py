"""What is inside of a server's document, in the order in which an itinerary makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from stackferry_coordinator.plan.subjects import subjects, whole


def parts(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (path, kind, document) of the ports, trunks, volumes and floating IPs of a server."""
    seen: Counter[str] = Counter()
    for subject in subjects("server/it", whole(document)):
        if subject.each not in ("server", "segment"):
            yield f"{subject.each}s.{seen[subject.each]}", subject.each, subject.document
            seen[subject.each] += 1
