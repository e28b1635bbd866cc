"""Keys of events: one for each migration and event, whatever its clouds are called; and who may bind to which."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stackferry import events

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
places = st.none() | st.fixed_dictionaries({"cloud": names, "project": st.none() | names})
MIGRATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (None, "-"),
        ({"cloud": "old"}, "old"),
        ({"cloud": "old", "project": "web"}, "old/web"),
        ({"cloud": "-"}, "%2D"),
        ({"cloud": "eu.1", "project": "a/b*#%"}, "eu%2E1/a%2Fb%2A%23%25"),
        ({"cloud": "ü" * 41}, f"sha256:{hashlib.sha256(('ü' * 41).encode()).hexdigest()[:32]}"),
    ],
)
def test_a_place_is_one_word(place: dict[str, Any] | None, word: str) -> None:
    assert events.word(place) == word


@given(places, places)
def test_a_key_has_four_words_and_fits(source: Any, destination: Any) -> None:
    key = events.key(source, destination, MIGRATION, "migration-changed")
    assert len(key.split(".")) == 4
    assert not set("*#") & set(key)
    assert len(key.encode()) <= 255


@given(places, places)
def test_other_places_have_other_words(one: Any, other: Any) -> None:
    same = (one or {}).get("cloud") == (other or {}).get("cloud") and ((one or {}).get("project") or None) == (
        (other or {}).get("project") or None
    )
    assert (events.word(one) == events.word(other)) == same


def may(pattern: str, key: str) -> bool:
    """As RabbitMQ decides it: an anchored expression."""
    return re.search(f"^({pattern})$", key) is not None


@pytest.mark.parametrize(
    ("key", "by_cloud", "by_project"),
    [
        ("old.new.#", True, False),
        ("old/web.new/web.m.*", True, True),
        ("old/web.new/shop.m.*", True, False),
        ("old.-.m.export-ended", True, False),
        ("-.new/web.m.*", True, True),
        ("-.-.m.request-refused", False, False),
        ("#", False, False),
        ("*.*.*.*", False, False),
        ("old.*.#", False, False),
        ("old.#", False, False),
        ("old.new", False, False),
        ("older.new.#", False, False),
        ("third.new.m.*", False, False),
        ("old/*.new.m.*", False, False),
        ("old/web.#.#", False, False),
    ],
)
def test_who_is_kept_to_clouds_or_projects_binds_to_no_others(key: str, by_cloud: bool, by_project: bool) -> None:
    assert may(events.permitted({"old", "new"}, None), key) == by_cloud
    assert may(events.permitted({"old", "new"}, {"web"}), key) == by_project
    assert may(events.permitted(None, {"web"}), key) == by_project
    assert may(events.permitted(None, None), key)


@given(names, names)
def test_whatever_a_cloud_is_called_its_own_keys_are_allowed_and_no_pattern_is(mine: str, others: str) -> None:
    pattern = events.permitted({mine}, None)
    word = events.word({"cloud": mine})
    assert may(pattern, f"{word}.{word}.m.*") == (not word.startswith("sha256:"))
    if mine != others:
        assert not may(pattern, f"{events.word({'cloud': others})}.{word}.m.*")
