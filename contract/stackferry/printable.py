"""Texts from elsewhere, such as names, as a terminal or a log may show them: on one line, and obeyed by nobody."""

from __future__ import annotations

import re

#: controls (escape sequences begin with one), line ends of Unicode, what turns the direction of writing, and halves of
#: surrogate pairs, which can't be written at all
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """Return a text with every character that a terminal would act upon written out: ``\\x1b``."""
    return _ACTING.sub(lambda found: _NAMED.get(found[0]) or _written(found[0], "\\x{:02x}"), text)


def printable_json(text: str) -> str:
    """The same for the text of a JSON document, which means the same afterwards. Its own line ends stay."""
    return _ACTING.sub(lambda found: found[0] if found[0] in "\n\t\r" else _written(found[0], "\\u{:04x}"), text)


def _written(character: str, short: str) -> str:
    code = ord(character)
    return short.format(code) if code < 0x100 else f"\\u{code:04x}"
