"""Differences are named by table and key, and shown by the fields that differ."""

from __future__ import annotations

from reco_stream.verify.compare import ABSENT, clip, compare_rows
from tables.popularity import POPULARITY, PopularityRow

ROW = POPULARITY.encode(PopularityRow(weighted=1.0, last_ms=7))


def test_equal_rows_differ_in_nothing() -> None:
    assert list(compare_rows("here", {b"pa": ROW}, {b"pa": ROW})) == []


def test_only_fields_that_differ_are_shown() -> None:
    other = POPULARITY.encode(PopularityRow(weighted=2.0, last_ms=7))
    (difference,) = compare_rows("here", {b"pa": ROW}, {b"pa": other})
    assert str(difference) == "here: popularity 'a': found {'weighted': 1.0}; wanted {'weighted': 2.0}"


def test_missing_and_extra_rows_are_differences() -> None:
    missing, extra = compare_rows("here", {b"pb": ROW}, {b"pa": ROW})
    assert (missing.key, missing.found) == ("a", ABSENT)
    assert (extra.key, extra.wanted) == ("b", ABSENT)


def test_bytes_that_no_table_knows_are_shown_as_they_are() -> None:
    (unknown,) = compare_rows("here", {b"?k": b"\xff"}, {})
    assert unknown.table == "unknown prefix b'?'"
    (broken,) = compare_rows("here", {b"pa": b"\xc1"}, {b"pa": ROW})
    assert "xc1" in broken.found


def test_long_rows_are_clipped() -> None:
    assert clip("a" * 300) == "a" * 300
    assert clip("a" * 301) == "a" * 297 + "..."
    assert clip({"a": 1}) == "{'a': 1}"
