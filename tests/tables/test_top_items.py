"""Top lists by bounds find the true top, evaluate few items, and never run for long."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS, HOUR_MS
from tables import top_items
from tables.popularity import POPULARITY, PopularityRow, count, window
from tables.top_items import NAMES, TopItems

START_MS = 1_700_000_000_000


class Items:
    """Rows by number, and how often they were read."""

    def __init__(self, tolerance_ms: int = 0) -> None:
        self.rows: list[list[PopularityRow]] = []
        self.read = 0
        self.top = TopItems(self.encoded, tolerance_ms)

    def encoded(self, number: int) -> list[bytes]:
        self.read += 1
        return [POPULARITY.encode(row) for row in self.rows[number]]

    def add(self, partitions: int = 1) -> int:
        self.rows.append([PopularityRow() for _ in range(partitions)])
        self.top.fit(len(self.rows))
        return len(self.rows) - 1

    def count(self, number: int, weight: float, time_ms: int, now_ms: int | None = None, partition: int = 0) -> None:
        count(self.rows[number][partition], "view", weight, time_ms, now_ms or time_ms, 0, 0.0)
        self.change(number, weight, max(row.last_ms for row in self.rows[number]))

    def change(self, number: int, gain: float, last_ms: int) -> None:
        self.top.changed(np.array([number]), np.array([gain]), np.array([last_ms]))

    def truth(self, name: str, now_ms: int) -> dict[int, float]:
        sums = [sum(window(row, name, now_ms).weighted for row in rows) for rows in self.rows]
        return {number: weight for number, weight in enumerate(sums) if weight > 1e-6}


ACTIONS = st.one_of(
    st.tuples(st.just("count"), st.integers(0, 9), st.integers(0, 2 * HOUR_MS), st.integers(1, 9)),
    st.tuples(st.just("late"), st.integers(0, 9), st.integers(0, 3 * DAY_MS), st.integers(1, 9)),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([HOUR_MS, DAY_MS, 8 * DAY_MS, 31 * DAY_MS]), st.just(0)),
    st.tuples(st.just("ask"), st.integers(1, 12), st.just(0), st.integers(0, len(NAMES) - 1)),
)


@settings(max_examples=60)
@given(st.lists(ACTIONS, max_size=40))
def test_the_top_is_the_true_top(actions: list[tuple[str, int, int, int]]) -> None:
    items = Items()
    for _ in range(10):
        items.add(partitions=2)
    now_ms = START_MS
    for kind, number, span_ms, value in actions:
        if kind == "count":
            now_ms += span_ms
            items.count(number, value / 2, now_ms, now_ms, value % 2)
        elif kind == "late":
            items.count(number, value / 2, now_ms - span_ms, now_ms, value % 2)
        elif kind == "wait":
            now_ms += span_ms
        else:
            name = NAMES[value]
            found = items.top.top(name, now_ms, number)
            truth = items.truth(name, now_ms)
            assert [weight for _, weight in found] == pytest.approx(
                sorted(truth.values(), reverse=True)[:number], abs=2e-6
            )
            assert all(truth[n] == pytest.approx(weight, abs=2e-6) for n, weight in found)


def test_what_nobody_touched_is_not_evaluated() -> None:
    items = Items()
    for n in range(200):
        items.count(items.add(), 1.0 + n, START_MS)
    items.count(items.add(), 1.0, START_MS + 2 * DAY_MS)
    assert items.top.top("24h", START_MS + 2 * DAY_MS, 10) == [(200, 1.0)]
    assert items.read == 1


def test_an_event_before_the_window_counts_by_its_bucket() -> None:
    hour_ms = START_MS - START_MS % HOUR_MS
    items = Items()
    items.count(items.add(), 4.0, hour_ms)
    assert items.top.top("1h", hour_ms + HOUR_MS + HOUR_MS // 4, 9) == [(0, 3.0)]


def test_a_question_evaluates_the_best_only() -> None:
    items = Items()
    for n in range(500):
        items.count(items.add(), 1.0 + n, START_MS)
    items.top.top("24h", START_MS, 10)
    assert items.read == 10


def test_with_a_tolerance_only_what_is_older_is_evaluated_again() -> None:
    items = Items(tolerance_ms=60_000)
    for n in range(50):
        items.count(items.add(), 1.0 + n, START_MS)
    items.top.top("24h", START_MS, 50)
    items.read = 0
    items.count(7, 100.0, START_MS + 1000)
    ((number, weight),) = items.top.top("24h", START_MS + 1000, 1)
    assert (number, round(weight, 6)) == (7, 108.0)
    assert items.read == 0
    assert items.top.top("24h", START_MS + 62_000, 50)[0] == (7, 108.0)
    assert items.read == 50


def test_a_removed_row_is_evaluated_whatever_the_tolerance() -> None:
    items = Items(tolerance_ms=60_000)
    items.count(items.add(), 5.0, START_MS)
    items.top.top("24h", START_MS, 1)
    items.rows[0] = []
    items.change(0, -1.0, -1)
    assert items.top.top("24h", START_MS, 1) == []


def test_one_question_never_evaluates_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_items, "EVALUATED_AT_ONCE", 30)
    items = Items(tolerance_ms=60_000)
    for n in range(100):
        number = items.add()
        items.count(number, 1000.0 + n, START_MS)
        items.count(number, 1.0 + 99 - n, START_MS + 10 * DAY_MS)  # little of what the bounds say is in the window
    now_ms = START_MS + 10 * DAY_MS
    first = items.top.top("24h", now_ms, 20)
    assert items.read == 30
    assert len(first) == 20
    assert [weight for _, weight in first] == sorted((weight for _, weight in first), reverse=True)
    for _ in range(4):
        items.top.top("24h", now_ms, 20)
    assert items.read <= 150
    assert items.top.top("24h", now_ms, 20) == [(n, 100.0 - n) for n in range(20)]


def test_items_that_there_was_no_time_for_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_items, "EVALUATED_AT_ONCE", 2)
    items = Items(tolerance_ms=60_000)
    for n in range(5):
        items.count(items.add(), 5.0 - n, START_MS)
    found = items.top.top("24h", START_MS, 5)
    assert found[:2] == [(0, 5.0), (1, 4.0)]
    assert [number for number, _ in found[2:]] == [2, 3, 4]
    assert [weight for _, weight in found[2:]] == pytest.approx([3.0, 2.0, 1.0])


def test_a_clock_set_back_is_survived() -> None:
    items = Items()
    items.count(items.add(), 5.0, START_MS)
    items.count(items.add(), 3.0, START_MS)
    assert items.top.top("24h", START_MS + 300 * DAY_MS, 9) == []
    assert items.top.top("24h", START_MS, 9) == [(0, 5.0), (1, 3.0)]
