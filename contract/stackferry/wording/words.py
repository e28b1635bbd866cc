"""Bytes, rates and times for people."""

from __future__ import annotations

from stackferry.progress import Amount, Standing

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(many: float) -> str:
    """So many bytes: ``4.4 GiB``."""
    for unit in UNITS:
        if many < 1024 or unit == UNITS[-1]:
            break
        many /= 1024
    return f"{many:.0f} {unit}" if unit == "B" else f"{many:.1f} {unit}"


def amount(of: Amount) -> str:
    """So many of so many, in one unit: ``3.1 of 10.0 GiB``."""
    number, unit = size(of.total).split(" ")
    done = of.done / 1024 ** UNITS.index(unit)
    return f"{done:.{1 if '.' in number else 0}f} of {number} {unit}"


def duration(seconds: float | None) -> str:
    """A time span: ``1:02:10``, ``0:09``."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(per_second: float) -> str:
    """Bytes a second; nothing while it isn't known."""
    return f"{size(per_second)}/s" if per_second >= 1 else ""


def left(of: Standing) -> str:
    """How long it will take; nothing while nobody knows."""
    return f"{duration(of.left)} left" if of.left is not None else ""


def moving(of: Standing) -> str:
    """Its bytes, rate and time left."""
    told = [amount(of.amount) if of.amount.total else "", rate(of.rate), left(of)]
    return ", ".join(text for text in told if text)


def title(of: Standing) -> str:
    """What it's called."""
    return f"{of.kind} {of.name or '(no name)'}"
