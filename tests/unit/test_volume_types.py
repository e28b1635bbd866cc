"""What a volume type promises otherwise at the destination is said, as far as both clouds show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stackferry.resources import volume_types


class View:
    """A cloud with one volume type."""

    def __init__(self, specs: dict[str, str]) -> None:
        self.specs = {"fast": specs}

    def once(self, question: str, ask: Callable[[], Any]) -> Any:
        return self.specs


def said(here: dict[str, str], there: dict[str, str] | None, name: str | None = "fast") -> list[str]:
    document = {"params": {"volume_type": name}, "_info": {"volume_type_specs": there}}
    return volume_types.otherwise(View(here), document)  # type: ignore[arg-type]


def test_what_differs_is_said_with_both_values() -> None:
    assert said({"multiattach": "<is> False", "qos:iops": "10"}, {"multiattach": "<is> True", "qos:iops": "20"}) == [
        "volume type 'fast' here has multiattach = '<is> False' instead of '<is> True'",
        "volume type 'fast' here has qos:iops = '10' instead of '20'",
    ]


@pytest.mark.parametrize(
    ("here", "there", "name"),
    [
        ({"volume_backend_name": "a"}, {"volume_backend_name": "b"}, "fast"),  # of each cloud its own
        ({}, {"qos:iops": "20"}, "fast"),  # an administrator exported it: perhaps members aren't shown it here
        ({"qos:iops": "20"}, {}, "fast"),
        ({"multiattach": "<is> True"}, None, "fast"),  # an older file, or OS Migrate's
        ({"multiattach": "<is> True"}, {}, "unknown"),  # that it's missing is said elsewhere
        ({"multiattach": "<is> True"}, {}, None),
    ],
)
def test_what_cannot_be_compared_is_not(here: Any, there: Any, name: Any) -> None:
    assert said(here, there, name) == []


def test_what_every_user_is_shown_is_compared_though_one_cloud_has_none() -> None:
    assert said({}, {"multiattach": "<is> True"}) == [
        "volume type 'fast' here has multiattach = None instead of '<is> True'"
    ]
