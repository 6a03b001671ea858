"""Recent items are the newest ones whatever the order of events; what a user dislikes stays away."""

import gc

from hypothesis import given
from hypothesis import strategies as st

from reco_stream.events import Event
from tables.recent import RECENT, RecentItem, RecentRow, exclude, newest_first, prune, see
from tables.rules import TableRules

RULES = TableRules(recent_limit=3, excluded_limit=2)


def seen(item: str, time_ms: int, kind: str = "view") -> Event:
    return Event("u", item, kind, time_ms, 1.0)


def hidden(item: str, time_ms: int) -> Event:
    return Event("u", item, "hide", time_ms, 0.0, negative=True)


def row_of(*events: Event) -> RecentRow:
    row = RecentRow()
    for event in events:
        row = exclude(row, event, RULES) if event.negative else see(row, event, RULES)
    return row


def test_newest_comes_first_with_its_last_type() -> None:
    row = row_of(seen("a", 1), seen("b", 2), seen("a", 3, "cart"))
    assert list(newest_first(row)) == [RecentItem("a", 3, "cart"), RecentItem("b", 2, "view")]


def test_late_event_takes_its_place_in_time() -> None:
    row = row_of(seen("a", 1), seen("b", 5), seen("c", 3))
    assert [entry.item for entry in newest_first(row)] == ["b", "c", "a"]


def test_late_event_does_not_overwrite_a_newer_one() -> None:
    row = row_of(seen("a", 5, "cart"), seen("a", 3, "view"))
    assert list(newest_first(row)) == [RecentItem("a", 5, "cart")]


def test_event_too_old_for_a_full_row_is_forgotten() -> None:
    row = row_of(seen("a", 5), seen("b", 6), seen("c", 7), seen("d", 4))
    assert [entry.item for entry in newest_first(row)] == ["c", "b", "a"]


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 20)), max_size=30))
def test_what_remains_is_the_newest_of_all(log: list[tuple[str, int]]) -> None:
    row = row_of(*(seen(item, time_ms, str(n)) for n, (item, time_ms) in enumerate(log)))
    newest: dict[str, tuple[int, int]] = {}
    for n, (item, time_ms) in enumerate(log):
        newest[item] = max(newest.get(item, (-1, -1)), (time_ms, n))
    wanted = sorted(((time_ms, n, item) for item, (time_ms, n) in newest.items()), reverse=True)[: RULES.recent_limit]
    assert list(newest_first(row)) == [RecentItem(item, time_ms, str(n)) for time_ms, n, item in wanted]


def test_excluded_items_stay_listed_as_history() -> None:
    row = row_of(seen("a", 1), hidden("a", 2))
    assert row.excluded == {"a": 2}
    assert [entry.item for entry in newest_first(row)] == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 20)), max_size=30))
def test_exclusions_are_the_ones_of_newest_time(log: list[tuple[str, int]]) -> None:
    row = row_of(*(hidden(item, time_ms) for item, time_ms in log))
    newest: dict[str, int] = {}
    for item, time_ms in log:
        newest[item] = max(newest.get(item, -1), time_ms)
    assert list(row.excluded.values()) == sorted(newest.values())[-RULES.excluded_limit :]
    assert all(newest[item] == time_ms for item, time_ms in row.excluded.items())


def test_pruning_drops_old_entries_and_keeps_exclusions() -> None:
    row = prune(row_of(seen("a", 1), hidden("z", 1), seen("b", 2)), before_ms=2)
    assert [entry.item for entry in newest_first(row)] == ["b"]
    assert row.excluded == {"z": 1}


def test_the_garbage_collector_need_not_look_into_a_row() -> None:
    """Tens of thousands of rows are kept decoded; walking through them took a seventh of the CPU, and 90 ms at once."""
    row = row_of(seen("a", 1), seen("b", 2), hidden("z", 1))
    assert not gc.is_tracked(row)
    assert not gc.is_tracked(row.items)
    assert not gc.is_tracked(RECENT.decode(RECENT.encode(row)).items)


def test_hot_user_stays_small() -> None:
    rules = TableRules()
    row = RecentRow()
    for n in range(5_000):
        row = see(row, seen(f"item-{n}", 1_700_000_000_000 + n), rules)
        row = exclude(row, hidden(f"item-{n}", 1_700_000_000_000 + n), rules)
    assert len(row.items) == 50
    assert len(row.excluded) == 1_000
    assert len(RECENT.encode(row)) < 25_000
