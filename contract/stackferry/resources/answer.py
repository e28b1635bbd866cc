"""The answers of an API that openstacksdk has no call for, or not the right one."""

from __future__ import annotations

import re
from typing import Any


class Refused(Exception):
    """An API's answer to what it doesn't do."""

    def __init__(self, answer: Any) -> None:
        words = re.sub(r"<title>.*?</title>|<h1>.*?</h1>|<[^>]+>", " ", answer.text, flags=re.DOTALL)  # Glance's page
        super().__init__(f"{answer.status_code}: {' '.join(words.split())[:300]}")
        self.status_code = answer.status_code


def checked(answer: Any) -> Any:
    """Return a response that says yes; raise Refused with the words of any other."""
    if answer.status_code >= 300:
        raise Refused(answer)
    return answer
