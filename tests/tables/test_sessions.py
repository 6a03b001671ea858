"""Which session an event belongs to, and what a session remembers of it."""

import gc

import pytest

from reco_stream.events import Event
from tables.rules import TableRules
from tables.sessions import SESSIONS, Ended, Session, SessionsRow, Visit, join, share, visit

RULES = TableRules(session_gap_ms=100, sessions_kept=3, session_items=3)


def at(time_ms: int, item: str = "a", session: str | None = None, weight: float = 1.0, kind: str = "view") -> Event:
    return Event("u", item, kind, time_ms, weight, session=session)


def row_of(*events: Event) -> SessionsRow:
    row = SessionsRow()
    for event in events:
        session = join(row, event, RULES, [])
        if session is not None:
            visit(session, event, RULES)
    return row


def spans(row: SessionsRow) -> list[tuple[str | None, int, int]]:
    return [(session.id, session.start_ms, session.last_ms) for session in row.sessions]


def test_events_within_the_gap_share_a_session() -> None:
    assert spans(row_of(at(1000), at(1100), at(1200))) == [(None, 1000, 1200)]


def test_a_longer_pause_opens_the_next_session() -> None:
    assert spans(row_of(at(1000), at(1101))) == [(None, 1000, 1000), (None, 1101, 1101)]


def test_sessions_of_different_ids_run_side_by_side() -> None:
    row = row_of(at(1000, session="s"), at(1010, session="t"), at(1020, session="s"), at(1030))
    assert spans(row) == [("s", 1000, 1020), ("t", 1010, 1010), (None, 1030, 1030)]


def test_a_long_pause_splits_a_named_session_too() -> None:
    row = row_of(at(1000, session="s"), at(1500, session="s"))
    assert spans(row) == [("s", 1000, 1000), ("s", 1500, 1500)]


def test_late_event_joins_the_session_of_its_time() -> None:
    row = row_of(at(1000), at(2000), at(950, "late"))
    assert spans(row) == [(None, 950, 1000), (None, 2000, 2000)]
    assert [list(session.items) for session in row.sessions] == [["late", "a"], ["a"]]


def test_opening_time_is_a_name_and_never_changes() -> None:
    row = row_of(at(1000), at(950))
    assert row.sessions[0].opened_ms == 1000
    assert row.sessions[0].start_ms == 950


def test_late_event_between_two_sessions_joins_the_later_one() -> None:
    row = row_of(at(1000), at(1150), at(1075))
    assert spans(row) == [(None, 1000, 1000), (None, 1075, 1150)]


@pytest.mark.parametrize("late_ms", [500, 1500], ids=["before all", "in a pause"])
def test_late_event_of_no_kept_session_joins_none(late_ms: int) -> None:
    row = row_of(at(1000), at(2000))
    assert join(row, at(late_ms), RULES, []) is None
    assert len(row.sessions) == 2


def test_the_session_of_oldest_end_goes_first() -> None:
    row = row_of(at(1000, session="s"), at(1010, session="t"), at(1050, session="s"), at(1060, session="v"))
    assert spans(row_of(at(1000), at(2000), at(3000), at(4000))) == [(None, n, n) for n in (2000, 3000, 4000)]
    ended: list[Ended] = []
    join(row, at(1070, session="w"), RULES, ended)
    assert [session.id for session in row.sessions] == ["s", "v", "w"]
    assert [(user, session.id) for user, session in ended] == [("u", "t")]


def test_an_item_keeps_its_newest_time_and_its_heaviest_event() -> None:
    row = row_of(at(1000, weight=1.0), at(1010, weight=5.0, kind="cart"), at(1020, weight=1.0))
    assert row.sessions[0].items == {"a": Visit(1020, 5.0, "cart")}
    assert row.sessions[0].events == 3


def test_visits_are_ordered_by_their_newest_time() -> None:
    row = row_of(at(1000, "a"), at(1010, "b"), at(1020, "a"), at(1005, "c"), at(1001, "a"))
    assert row.sessions[0].items == {
        "c": Visit(1005, 1.0, "view"),
        "b": Visit(1010, 1.0, "view"),
        "a": Visit(1020, 1.0, "view"),
    }


def test_visit_says_whether_the_item_is_new() -> None:
    session = Session(None, 1000, 1000, 1000)
    assert [visit(session, at(1000, item), RULES) for item in "aab"] == [True, False, True]


def test_beyond_the_limit_the_item_not_visited_for_longest_goes() -> None:
    row = row_of(at(1000, "a"), at(1010, "b"), at(1020, "c"), at(1030, "a"), at(1040, "d"))
    assert list(row.sessions[0].items) == ["c", "a", "d"]
    assert row.sessions[0].events == 5


def test_the_garbage_collector_need_not_look_into_a_session() -> None:
    session = row_of(at(1000, "a"), at(1010, "b"), at(1001, "c")).sessions[0]
    assert not gc.is_tracked(session)
    assert not gc.is_tracked(session.items)


def test_hot_user_stays_small() -> None:
    rules = TableRules()
    row = SessionsRow()
    for n in range(20_000):
        event = at(1_700_000_000_000 + n * 60_000, f"item-{n}", session=f"session-{n // 200}")
        session = join(row, event, rules, [])
        assert session is not None
        visit(session, event, rules)
    assert len(row.sessions) == 3
    assert all(len(session.items) == 50 for session in row.sessions)
    assert len(SESSIONS.encode(row)) < 6_000


def test_every_session_of_an_item_is_shared_up_to_the_limit_and_of_more_a_sample() -> None:
    rules = TableRules(sessions_shared=100)
    shared = []
    for events in range(1, 2001):
        session = Session("s", events, events, events)
        share(session, "u", events, rules)
        shared.append(session.shared)
    assert all(shared[:100])
    assert 200 < sum(shared[100:]) < 400  # the sum of 100/n from 101 to 2,000 is 300


def test_a_session_is_shared_as_soon_as_one_item_asks_for_it_and_stays_so() -> None:
    rules = TableRules(sessions_shared=1)
    session = Session("s", 7, 7, 7)
    share(session, "u", 1_000_000, rules)
    assert not session.shared
    share(session, "u", 1, rules)
    share(session, "u", 1_000_000, rules)
    assert session.shared
