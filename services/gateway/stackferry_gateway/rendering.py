"""HTML from templates: nothing that a name holds is obeyed by a browser."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from stackferry.printable import printable, printable_json
from stackferry.wording import words


def rendered(template: str, data: dict[str, Any]) -> str:
    """The template with its data."""
    return _templates().get_template(template).render(data)


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("stackferry_gateway"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=lambda value: printable(value) if type(value) is str else value,
    )  # fmt: skip
    found.filters |= {
        "size": words.size,
        "rate": words.rate,
        "duration": words.duration,
        "amount": words.amount,
        "place": _place,
        "when": _when,
        "kind": _kind,
        "json": _json,
        "lines": _lines,
    }
    return found


def _place(value: dict[str, Any] | None) -> str:
    if not value:
        return "—"
    return str(value["cloud"]) + (f"/{value['project']}" if value.get("project") else "")


def _when(text: str | None) -> Markup:
    """A time of RFC 3339, with the machine's form of it for browsers that tell it in their own zone."""
    if not text:
        return Markup("")
    return Markup('<time datetime="{}">{} UTC</time>').format(text, text[:19].replace("T", " "))


def _kind(text: str) -> str:
    return text.replace("_", " ")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(text: str) -> Markup:
    """A text whose line ends are meant."""
    return escape(printable_json(text))
