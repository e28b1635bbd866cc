"""Rows in pages: all of them, in order, none too large."""

from __future__ import annotations

import json

from stackferry.pages import pages

ROWS = [{"id": number, "text": "x" * 300} for number in range(100)]


def test_all_rows_come_in_pages_of_so_many_bytes_and_rows() -> None:
    for most_bytes, most_rows in ((1000, None), (10_000, 7), (1 << 20, None)):
        found = list(pages(ROWS, most_bytes, most_rows))
        assert [row for page in found for row in page] == ROWS
        assert all(len(page) <= (most_rows or len(ROWS)) for page in found)
        assert all(sum(len(json.dumps(row)) for row in page) <= most_bytes for page in found)
        assert (len(found) == 1) is (most_bytes == 1 << 20)


def test_nothing_makes_no_page_and_a_large_row_one_of_its_own() -> None:
    assert list(pages([], 10)) == []
    assert list(pages(ROWS[:2], 10)) == [[ROWS[0]], [ROWS[1]]]
