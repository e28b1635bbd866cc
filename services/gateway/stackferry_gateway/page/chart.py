"""A line of bytes a second, as points of a picture. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WIDE, HIGH = 600, 80  # units of the picture
LEAST = 2  # values that make a line


@dataclass(frozen=True, slots=True)
class Chart:
    """``points``: of a polyline; ``area``: of the same with the ground below; ``most``: bytes a second at the top."""

    points: str
    area: str
    most: float
    latest: float
    seconds: float


def drawn(values: list[float], every: float) -> Chart | None:
    """Draw values that lie so many seconds apart; None when there are too few, or nothing has moved."""
    if len(values) < LEAST or not any(values):
        return None
    most = max(values)
    step = WIDE / (len(values) - 1)
    points = [f"{number * step:.1f},{HIGH - value / most * (HIGH - 4):.1f}" for number, value in enumerate(values)]
    area = " ".join([f"0,{HIGH}", *points, f"{WIDE},{HIGH}"])
    return Chart(" ".join(points), area, most, values[-1], len(values) * every)
