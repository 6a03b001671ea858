"""Counts in every window equal a recount of the events, late ones included, for one partition and for many."""

from collections import Counter, defaultdict
from itertools import accumulate
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS, HOUR_MS
from reco_stream.domain.decay import growth, landmark_of
from tables.popularity import POPULARITY, WINDOWS_MS, PopularityRow, Window, count, merge, score, window

START_MS = 1_700_000_000_000
HALF_LIFE_MS = DAY_MS


class Counted(NamedTuple):
    type: str
    weight: float
    time_ms: int


def counted(row: PopularityRow, event: Counted, now_ms: int) -> PopularityRow:
    landmark = landmark_of(now_ms, HALF_LIFE_MS)
    factor = growth(event.time_ms, landmark, HALF_LIFE_MS)
    return count(row, event.type, event.weight, event.time_ms, now_ms, landmark, factor)


def row_of(log: list[Counted]) -> PopularityRow:
    """The row of a log in order of arrival."""
    row = PopularityRow()
    for event, now_ms in zip(log, accumulate((event.time_ms for event in log), max), strict=True):
        row = counted(row, event, now_ms)
    return row


def recount(log: list[Counted], name: str, now_ms: int) -> Window:
    """The window summed event by event."""
    by_type: defaultdict[str, float] = defaultdict(float)
    weighted = 0.0
    for event in log:
        part = 1.0
        if name != "all":
            bucket_ms = HOUR_MS if name in ("1h", "24h") else DAY_MS
            begin_ms = event.time_ms - event.time_ms % bucket_ms
            outside_ms = min(max(now_ms - WINDOWS_MS[name] - begin_ms, 0), bucket_ms)
            part = 1 - outside_ms / bucket_ms
        by_type[event.type] += part
        weighted += part * event.weight
    return Window(sum(by_type.values()), weighted, {kind: n for kind, n in by_type.items() if n})


STEPS_MS = st.one_of(
    st.integers(-2 * HOUR_MS, 2 * HOUR_MS),
    st.integers(-DAY_MS, DAY_MS),
    st.sampled_from([-40 * DAY_MS, -3 * DAY_MS, 3 * DAY_MS, 29 * DAY_MS, 100 * DAY_MS]),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Counted]:
    steps = draw(st.lists(STEPS_MS, max_size=30))
    times = accumulate(steps, lambda time_ms, step_ms: max(time_ms + step_ms, 0), initial=START_MS)
    kinds = st.sampled_from(["view", "cart", "like"])
    weights = st.integers(0, 40).map(lambda n: n / 4)
    return [Counted(draw(kinds), draw(weights), time_ms) for time_ms in times]


@pytest.mark.parametrize("name", [*WINDOWS_MS, "all"])
@given(log=logs(), later_ms=st.one_of(st.just(0), st.integers(0, 40 * DAY_MS)))
def test_windows_equal_a_recount(name: str, log: list[Counted], later_ms: int) -> None:
    now_ms = max(event.time_ms for event in log) + later_ms
    found, wanted = window(row_of(log), name, now_ms), recount(log, name, now_ms)
    assert found.by_type == pytest.approx(wanted.by_type)
    assert found[:2] == pytest.approx(wanted[:2])


@given(logs())
def test_totals_equal_a_recount_exactly(log: list[Counted]) -> None:
    row = row_of(log)
    assert {kind: tally.count for kind, tally in row.by_type.items()} == Counter(event.type for event in log)
    assert row.weighted == sum(event.weight for event in log)
    assert row.last_ms == max(event.time_ms for event in log)


@given(logs())
def test_score_is_the_sum_of_halved_weights(log: list[Counted]) -> None:
    now_ms = max(event.time_ms for event in log)
    wanted = sum(event.weight * 2 ** (-(now_ms - event.time_ms) / HALF_LIFE_MS) for event in log)
    assert score(row_of(log), now_ms, HALF_LIFE_MS) == pytest.approx(wanted, rel=1e-3, abs=1e-9)


@given(logs(), st.lists(st.integers(0, 4), min_size=40, max_size=40))
def test_merged_partitions_count_what_one_would(log: list[Counted], homes: list[int]) -> None:
    split: dict[int, list[Counted]] = {}
    for event, home in zip(log, homes, strict=False):
        split.setdefault(home, []).append(event)
    rows = [(home, row_of(part)) for home, part in split.items()]
    merged = merge(dict(rows))
    now_ms = max(event.time_ms for event in log)
    for name in (*WINDOWS_MS, "all"):
        wanted = recount(log, name, now_ms)
        assert window(merged, name, now_ms).by_type == pytest.approx(wanted.by_type)
        assert window(merged, name, now_ms).weighted == pytest.approx(wanted.weighted)
    assert score(merged, now_ms, HALF_LIFE_MS) == pytest.approx(score(row_of(log), now_ms, HALF_LIFE_MS), rel=1e-9)
    assert POPULARITY.encode(merge(dict(reversed(rows)))) == POPULARITY.encode(merged)


def test_merging_adds_sessions() -> None:
    assert merge({0: PopularityRow(sessions=2), 3: PopularityRow(sessions=5)}).sessions == 7
    assert merge({}) == PopularityRow()


def test_oldest_bucket_counts_by_its_share() -> None:
    noon_ms = 1_700_049_600_000
    row = row_of([Counted("view", 2.0, noon_ms), Counted("view", 2.0, noon_ms + HOUR_MS)])
    assert window(row, "1h", noon_ms + HOUR_MS + HOUR_MS // 4) == Window(1.75, 3.5, {"view": 1.75})


def test_a_month_begins_within_its_oldest_day() -> None:
    midnight_ms = START_MS - START_MS % DAY_MS
    row = row_of([Counted("view", 2.0, midnight_ms), Counted("view", 2.0, midnight_ms + 30 * DAY_MS + 6 * HOUR_MS)])
    assert window(row, "30d", row.last_ms) == Window(1.75, 3.5, {"view": 1.75})


def test_an_event_a_little_ahead_counts() -> None:
    row = row_of([Counted("view", 2.0, START_MS)])
    assert window(row, "1h", START_MS - 60_000).events == 1.0


def test_unknown_window() -> None:
    with pytest.raises(KeyError):
        window(PopularityRow(), "2h", START_MS)


def test_hot_item_stays_small() -> None:
    kinds = ["view", "click", "cart"]
    log = [Counted(kinds[n % 3], 1.0, START_MS + n * 600_000) for n in range(144 * 60)]  # 60 days, each 10 minutes
    row = row_of(log)
    cells = 3 * (48 + 31)
    assert len(row.hours) + len(row.days) <= cells * 18
    assert len(POPULARITY.encode(row)) < cells * 18 + 200


def test_too_many_types_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.popularity.MAX_TYPES", 2)
    row = row_of([Counted("a", 1.0, START_MS), Counted("b", 1.0, START_MS)])
    with pytest.raises(ValueError, match="'c' is type 3 of an item; wanted: at most 2"):
        counted(row, Counted("c", 1.0, START_MS), START_MS)
