"""The parts of an answer, when the question was delivered twice while it was being answered."""

from stackferry.gathering import Gathering


def part(content: str, series: str | None, more: bool) -> dict[str, object]:
    return {"content": {"rows": content}, "more": more, **({"series": series} if series else {})}


def test_parts_of_one_series_make_an_answer() -> None:
    parts = Gathering()
    assert parts.take(part("a", "1", True)) is None
    assert parts.take(part("b", "1", False)) == [{"rows": "a"}, {"rows": "b"}]


def test_a_series_that_nobody_ended_is_no_part_of_the_next() -> None:
    parts = Gathering()
    for content, series in (("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2")):
        assert parts.take(part(content, series, True)) is None
    assert parts.take(part("c", "2", False)) == [{"rows": "a"}, {"rows": "b"}, {"rows": "c"}]


def test_an_older_coordinator_names_no_series() -> None:
    parts = Gathering()
    assert parts.take(part("a", None, True)) is None
    assert parts.take(part("b", None, False)) == [{"rows": "a"}, {"rows": "b"}]
