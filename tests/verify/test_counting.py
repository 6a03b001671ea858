"""The plain counts agree with the rule that they check on any events, and disagree when the rule is wrong."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from reco_stream.verify.counting import Counts
from tables.fold import fold_event
from tables.popularity import POPULARITY, PopularityRow, Tally
from tables.rules import TableRules

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 20_000 * DAY_MS

events = st.builds(
    Event,
    user=st.sampled_from(["u1", "u2", "~v"]),
    item=st.sampled_from(["a", "b"]),
    type=st.sampled_from(["view", "cart"]),
    time_ms=st.integers(0, 45 * DAY_MS).map(lambda ms: START_MS + ms),
    weight=st.sampled_from([1.0, 0.3, 5.0]),
    negative=st.just(False),
    event_id=st.one_of(st.none(), st.sampled_from([f"e{n}" for n in range(5)])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=60))
def test_counts_what_the_rules_count(log: list[Event]) -> None:
    rows, counts = MemoryRows(), Counts()
    for event in log:
        fold_event(rows, event, TableRules())
        counts.count(event)
    assert {item for item, _ in rows.items(POPULARITY)} == set(counts.items)
    for item, row in rows.items(POPULARITY):
        assert list(counts.problems(item, row)) == []


def event(minute: int = 0, **fields: object) -> Event:
    made: dict[str, object] = {"user": "u", "item": "a", "type": "view", "weight": 1.0, **fields}
    return Event(time_ms=START_MS + minute * 60_000, **made)  # type: ignore[arg-type]


def test_an_id_counts_once_in_a_day_of_stream_time() -> None:
    counts = Counts()
    for minute in (0, 24 * 60 - 1, 24 * 60):
        counts.count(event(minute, event_id="e"))
    assert (counts.duplicates, counts.items["a"].total["view"]) == (1, 2)


def test_only_the_last_thousand_ids_of_a_user_are_known() -> None:
    counts = Counts()
    for number in range(1_001):
        counts.count(event(event_id=f"e{number}"))
    counts.count(event(event_id="e1"))
    counts.count(event(event_id="e0"))
    assert counts.duplicates == 1


def test_ids_of_different_users_are_different_ids() -> None:
    counts = Counts()
    counts.count(event(event_id="e"))
    counts.count(event(event_id="e", user="other"))
    assert counts.duplicates == 0


def test_negative_events_count_for_nothing() -> None:
    counts = Counts()
    counts.count(event(type="hide", weight=0.0, negative=True))
    assert not counts.items


def test_each_figure_of_a_row_is_checked() -> None:
    counts = Counts()
    for minute in (0, 90):
        counts.count(event(minute))
    good = PopularityRow(
        weighted=2.0, by_type={"view": Tally(2, 2.0)}, hour=START_MS // HOUR_MS + 1, open={"view": Tally(1, 1.0)}
    )
    found = [text for text, _ in counts.problems("a", good)]
    assert found == [f"view on day {START_MS // DAY_MS}: 1"], "the first hour is missing"
    good.by_type["view"].count = 3
    good.weighted = 2.5
    assert any(text.startswith("total") for text, _ in counts.problems("a", good))
    assert any(text.startswith("weight 2.5") for text, _ in counts.problems("a", good))
