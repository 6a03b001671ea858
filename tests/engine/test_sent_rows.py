"""Of rows that come again and again, what is published is what readers do not have yet."""

import random
from typing import Any

import pytest

from reco_stream.engine.published import Measure, Value
from reco_stream.engine.sent_rows import SentRows, note

STAMP = b"stamp:"


def measure(key: bytes, row: bytes) -> Measure | None:
    make_up, _, size = row.partition(b"=")
    return (len(make_up), float(size)) if size else None


def expand(key: bytes, row: bytes | None) -> list[Value]:
    if row is None or b"=" in row:
        return [("t", key, row)]
    return [("t", key + b":" + word[:1], word) for word in row.split()]


class Topics:
    """A `SentRows` and what it puts into two topics."""

    def __init__(self) -> None:
        self.sent = SentRows(measure, expand)

    def take(self, *rows: tuple[bytes, bytes | None], everything: bool = False) -> tuple[list[bytes], list[bytes]]:
        """Keys of small moves, and of what was put."""
        batches: dict[str, list[tuple[bytes, bytes | None]]] = {"t": [], "other": []}
        small, size = self.sent.take(rows, STAMP, everything, batches)
        assert batches["other"] == []
        assert size == sum(len(key) + len(value or STAMP) - len(STAMP) for key, value in batches["t"])
        assert all(value is None or value.startswith(STAMP) for _, value in batches["t"])
        return small, [key for key, _ in batches["t"]]


def test_values_are_stamped_and_kept_in_order() -> None:
    batches: dict[str, list[tuple[bytes, bytes | None]]] = {"t": []}
    rows = [(b"b", b"x=1"), (b"a", None), (b"s", b"u1 v1")]
    assert SentRows(measure, expand).take(rows, STAMP, False, batches) == ([], 1 + 3 + 1 + 3 + 2 + 3 + 2)
    assert batches["t"] == [(b"b", STAMP + b"x=1"), (b"a", None), (b"s:u", STAMP + b"u1"), (b"s:v", STAMP + b"v1")]


@pytest.mark.parametrize(
    ("row", "is_small"),
    [(b"x=104", True), (b"x=96", True), (b"x=105", False), (b"x=95", False), (b"xy=100", False), (None, False)],
)
def test_a_move_of_less_than_a_twentieth_is_small(row: bytes | None, is_small: bool) -> None:
    topics = Topics()
    assert topics.take((b"a", b"x=100")) == ([], [b"a"])
    assert topics.take((b"a", row)) == (([b"a"], []) if is_small else ([], [b"a"]))
    assert topics.take((b"a", row), everything=True) == ([], [b"a"])


def test_moves_are_measured_from_what_was_published() -> None:
    topics = Topics()
    topics.take((b"a", b"x=100"))
    assert topics.take((b"a", b"x=104")) == ([b"a"], [])
    assert topics.take((b"a", b"x=106")) == ([], [b"a"])
    assert topics.take((b"a", b"x=102")) == ([b"a"], [])
    topics.take((b"a", None))
    assert topics.take((b"a", b"x=106")) == ([], [b"a"])


def test_a_row_below_twenty_is_not_remembered() -> None:
    topics = Topics()
    for size in (b"x=19.9", b"x=19.9", b"x=20"):
        assert topics.take((b"a", size)) == ([], [b"a"])
    assert topics.take((b"a", b"x=20.5")) == ([b"a"], [])


def test_a_single_value_is_new_always_and_of_several_those_that_changed() -> None:
    topics = Topics()
    for _ in range(2):
        assert topics.take((b"s", b"u1")) == ([], [b"s:u"])
    assert topics.sent.others(b"s", expand(b"s", b"u1")) is None
    assert topics.take((b"s", b"u1 v1")) == ([], [b"s:u", b"s:v"])
    assert topics.take((b"s", b"u1 v2")) == ([], [b"s:v"])
    assert topics.sent.others(b"s", expand(b"s", b"u1 v1 v2")) == [("t", b"s:v", b"v1")]
    assert topics.sent.new_values(b"s", expand(b"s", b"v2 w1")) == [("t", b"s:w", b"w1")]


def test_the_newest_five_thousand_are_remembered() -> None:
    """Against a model of two lists, the newest last."""
    topics = Topics()
    known: dict[bytes, int] = {}
    chance = random.Random(5)
    for _ in range(30_000):
        key = b"%d" % int(chance.expovariate(1 / 3_000))
        published = known.get(key)
        size = chance.randint(100, 104)
        is_small = published is not None and abs(size - published) < 0.05 * published
        assert topics.take((key, b"x=%d" % size)) == (([key], []) if is_small else ([], [key]))
        if not is_small:
            known.pop(key, None)
            known[key] = size
            if len(known) > 5_000:
                del known[next(iter(known))]
    assert len(known) == 5_000


def test_keys_of_some_tables_are_noted_where_they_changed_first() -> None:
    pending = {b"pa": 1}
    note(pending, b"ps", [b"sb", b"xa", b"pa", b"", b"sb"], 5)
    note(pending, b"ps", [b"pc", b"sb"], 6)
    assert list(pending.items()) == [(b"pa", 1), (b"sb", 5), (b"pc", 6)]
    with pytest.raises(TypeError):
        note(pending, b"ps", ["pa"], 7)  # type: ignore[list-item]


@pytest.mark.parametrize("rows", [[("a", b"x=1")], [(b"a",)], [b"a"], 5])
def test_what_is_no_row_is_refused(rows: Any) -> None:
    with pytest.raises(TypeError):
        SentRows(measure, expand).take(rows, STAMP, False, {"t": []})


@pytest.mark.parametrize("measured", [(1,), 5, ("1", 2.0)])
def test_what_is_no_measure_is_refused(measured: Any) -> None:
    with pytest.raises(TypeError):
        SentRows(lambda key, row: measured, expand).take([(b"a", b"x=1")], STAMP, False, {"t": []})


def test_what_measure_and_expand_raise_is_passed_on() -> None:
    def refuse(*given: Any) -> Any:
        raise OSError("the test says so")

    for sent in (SentRows(refuse, expand), SentRows(measure, refuse)):
        with pytest.raises(OSError, match="the test says so"):
            sent.take([(b"a", b"x=1")], STAMP, False, {"t": []})


@pytest.mark.parametrize("values", [[("t", b"a")], [b"a"], [("t", "a", b"b"), ("t", b"a", b"b")], [("t", 1, b"")] * 2])
def test_what_is_no_value_is_refused(values: Any) -> None:
    with pytest.raises(TypeError):
        SentRows(measure, lambda key, row: values).take([(b"a", b"1")], STAMP, False, {"t": []})


def test_a_topic_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="'t'"):
        SentRows(measure, expand).take([(b"a", b"x=1")], STAMP, False, {})
