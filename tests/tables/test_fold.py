"""One event after another: what counts, what does not, and that the sums equal an independent recount of the log."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS, HOUR_MS
from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from tables import co_view
from tables.co_view import CO_VIEW
from tables.expiry import EXPIRY
from tables.fold import fold_event
from tables.popularity import POPULARITY, PopularityRow, window
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS

START_MS = 1_700_000_000_000
RULES = TableRules()
MINUTE_MS = 60_000
Logs = st.SearchStrategy[list[Event]]


def event(item: str, minutes: float = 0, user: str = "u", event_id: str | None = None) -> Event:
    return Event(user, item, "view", START_MS + int(minutes * MINUTE_MS), 1.0, event_id=event_id)


def negative(item: str, minutes: float = 0) -> Event:
    return Event("u", item, "hide", START_MS + int(minutes * MINUTE_MS), 0.0, negative=True)


def folded(log: list[Event], rules: TableRules = RULES) -> MemoryRows:
    rows = MemoryRows()
    for one in log:
        fold_event(rows, one, rules)
    return rows


def pair_weights(rows: MemoryRows) -> dict[tuple[str, str], float]:
    """Every pair at stream time."""
    return {
        (item, n.item): n.weight
        for item, row in rows.items(CO_VIEW)
        for n in co_view.neighbours(
            row, rows.stream_time_ms, 1_000, RULES.co_view_half_life_ms, RULES.co_view_window_ms
        )
    }


def popularity(rows: MemoryRows, item: str) -> PopularityRow:
    return rows.get(POPULARITY, item) or PopularityRow()


def test_an_event_reaches_every_table() -> None:
    rows = folded([event("a"), event("b", 1)])
    assert list(rows.get(RECENT, "u").items) == ["a", "b"]  # type: ignore[union-attr]
    assert len(rows.get(SESSIONS, "u").sessions) == 1  # type: ignore[union-attr]
    assert popularity(rows, "a").weighted == 1.0
    assert set(pair_weights(rows)) == {("a", "b"), ("b", "a")}
    assert rows.stream_time_ms == START_MS + MINUTE_MS


def test_stream_time_never_goes_back() -> None:
    assert folded([event("a", 10), event("b", 5)]).stream_time_ms == START_MS + 10 * MINUTE_MS


def test_a_negative_event_counts_for_nothing_but_the_exclusion() -> None:
    log = [event("a"), event("b", 1)]
    rows, without = folded([*log, negative("a", 2), negative("z", 3)]), folded(log)
    changed = {key for key, row in rows.snapshot().items() if without.snapshot().get(key) != row}
    assert changed == {b"ru"}
    assert rows.get(RECENT, "u").excluded == {"a": START_MS + 2 * MINUTE_MS, "z": START_MS + 3 * MINUTE_MS}  # type: ignore[union-attr]


def test_the_same_id_counts_once_for_each_user() -> None:
    rows = folded(
        [
            event("a", 0, event_id="1"),
            event("a", 1, event_id="1"),
            event("a", 2, user="v", event_id="1"),
            event("a", 3, event_id="2"),
        ]
    )
    assert popularity(rows, "a").by_type["view"].count == 3


def test_the_same_id_counts_again_a_day_later() -> None:
    rows = folded([event("a", 0, event_id="1"), event("a", 24 * 60, event_id="1")])
    assert popularity(rows, "a").by_type["view"].count == 2


def test_a_duplicate_changes_no_row() -> None:
    log = [event("a", 0, event_id="1"), event("b", 1, event_id="2")]
    assert folded([*log, event("c", 1, event_id="2")]).snapshot() == folded(log).snapshot()


def test_a_late_event_counts_in_its_own_hour() -> None:
    rows = folded([event("a", 600), event("a", 0)])
    now_ms = rows.stream_time_ms
    assert window(popularity(rows, "a"), "1h", now_ms).events == 1.0
    assert window(popularity(rows, "a"), "24h", now_ms).events == 2.0


def test_an_event_too_late_for_its_session_counts_for_popularity_alone() -> None:
    rows = folded([event("a", 600), event("b", 601), event("late", 0)])
    assert popularity(rows, "late").weighted == 1.0
    assert popularity(rows, "late").sessions == 0
    assert rows.get(CO_VIEW, "late") is None


def test_a_late_event_pairs_with_the_session_of_its_time() -> None:
    rows = folded([event("a", 0), event("b", 600), event("late", 10)])
    assert set(pair_weights(rows)) == {("a", "late"), ("late", "a")}


def test_sessions_of_other_users_make_no_pairs() -> None:
    assert pair_weights(folded([event("a"), event("b", 1, user="v")])) == {}


def test_popularity_counts_sessions_once() -> None:
    rows = folded([event("a", 0), event("b", 1), event("a", 2), event("a", 300), event("a", 301, user="v")])
    assert popularity(rows, "a").sessions == 3


def test_rows_age_with_stream_time() -> None:
    log = [event("a", 0), event("b", 1), event("a", 40 * 24 * 60), event("c", 40 * 24 * 60 + 1)]
    rows = folded(log)
    assert rows.get(CO_VIEW, "a").others() == ["c"]  # type: ignore[union-attr]
    assert rows.get(CO_VIEW, "b").others() == ["a"]  # type: ignore[union-attr]  # untouched since
    assert set(pair_weights(rows)) == {("a", "c"), ("c", "a")}


def test_weights_stay_right_over_many_landmarks() -> None:
    years = [event(item, 365 * 24 * 60 * year + n) for year in range(6) for n, item in enumerate("ab")]
    weights = pair_weights(folded(years))
    assert weights == {("a", "b"): pytest.approx(1.0), ("b", "a"): pytest.approx(1.0)}


def test_a_log_that_begins_in_1970_does_no_harm() -> None:
    log = [Event("u", "a", "view", 0, 1.0), Event("u", "b", "view", 1, 1.0), event("a"), event("b", 1)]
    assert pair_weights(folded(log))["a", "b"] == pytest.approx(1.0)
    assert popularity(folded(log), "a").by_type["view"].count == 2


def accepted(log: list[Event], rules: TableRules) -> list[Event]:
    """The events that count: not negative, not sent before."""
    now_ms = 0
    seen: dict[str, list[tuple[int, str]]] = defaultdict(list)
    kept = []
    for one in log:
        now_ms = max(now_ms, one.time_ms)
        if one.event_id is not None:
            known = seen[one.user]
            last = [event_id for at_ms, event_id in known if now_ms - at_ms < DAY_MS][-rules.dedupe_limit :]
            if one.event_id in last:
                continue
            known.append((now_ms, one.event_id))
        if not one.negative:
            kept.append(one)
    return kept


@given(data=st.data())
def test_popularity_equals_a_recount_of_the_log(data: st.DataObject, logs: Logs, small_rules: TableRules) -> None:
    log = data.draw(logs)
    rows = folded(log, small_rules)
    now_ms = rows.stream_time_ms
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    last_day: dict[str, float] = defaultdict(float)
    for one in accepted(log, small_rules):
        totals[one.item][one.type] += 1
        begin_ms = one.time_ms - one.time_ms % HOUR_MS
        outside_ms = min(max(now_ms - DAY_MS - begin_ms, 0), HOUR_MS)
        last_day[one.item] += one.weight * (1 - outside_ms / HOUR_MS)
    found = dict(rows.items(POPULARITY))
    assert {item: {t: n.count for t, n in row.by_type.items()} for item, row in found.items()} == totals
    for item, row in found.items():
        assert window(row, "24h", now_ms).weighted == pytest.approx(last_day[item])


@st.composite
def ordered_logs(draw: st.DrawFn) -> list[Event]:
    """Two users, time that never goes back, pauses within and beyond the session gap."""
    time_ms = START_MS
    log = []
    for _ in range(draw(st.integers(0, 30))):
        time_ms += draw(st.sampled_from([0, 1_000, 29 * MINUTE_MS, 31 * MINUTE_MS, 5 * HOUR_MS]))
        user, item = draw(st.sampled_from("uv")), draw(st.sampled_from("abcdef"))
        log.append(Event(user, item, "view", time_ms, draw(st.sampled_from([0.0, 1.0, 3.0, 5.0]))))
    return log


def recounted_pairs(log: list[Event], now_ms: int) -> dict[tuple[str, str], float]:
    """Decayed pair weights by the definition: in each session min of the heaviest events, each gain from its time."""
    sessions: list[list[Event]] = []
    for user in ("u", "v"):
        open_until_ms = -1
        for one in (one for one in log if one.user == user):
            if one.time_ms > open_until_ms:
                sessions.append([])
            sessions[-1].append(one)
            open_until_ms = one.time_ms + RULES.session_gap_ms
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for session in sessions:
        items = sorted({one.item for one in session})
        for a in items:
            for b in items:
                before = 0.0
                for n, one in enumerate(session) if a != b else ():
                    part = session[: n + 1]
                    heaviest = [max((e.weight for e in part if e.item == item), default=0.0) for item in (a, b)]
                    sums[a, b] += (min(heaviest) - before) * 2 ** ((one.time_ms - now_ms) / RULES.co_view_half_life_ms)
                    before = min(heaviest)
    return {pair: weight for pair, weight in sums.items() if weight > 0}


@given(ordered_logs())
def test_pairs_equal_a_recount_of_the_log(log: list[Event]) -> None:
    rows = folded(log)
    found = pair_weights(rows)
    assert found == pytest.approx(recounted_pairs(log, rows.stream_time_ms), rel=1e-3)
    assert found == pytest.approx({(b, a): weight for (a, b), weight in found.items()})


@given(data=st.data())
def test_every_row_stays_within_its_limits(data: st.DataObject, logs: Logs, small_rules: TableRules) -> None:
    rules = small_rules
    rows = folded(data.draw(logs), rules)
    for _, recent in rows.items(RECENT):
        assert len(recent.items) <= rules.recent_limit
        assert len(recent.excluded) <= rules.excluded_limit
    for _, kept in rows.items(SESSIONS):
        assert len(kept.sessions) <= rules.sessions_kept
        assert all(len(session.items) <= rules.session_items for session in kept.sessions)
    for _, pairs in rows.items(CO_VIEW):
        assert len(pairs) <= rules.co_view_limit + rules.co_view_limit // 4
    users = {user for user, _ in rows.items(RECENT)}
    assert {key[6:] for key, day in rows.items(EXPIRY) if day == 0} == users


@given(data=st.data())
def test_sessions_need_recent_items_and_pairs_need_popularity(
    data: st.DataObject, logs: Logs, small_rules: TableRules
) -> None:
    """The fold relies on it: it looks up no sessions of a new user and no pairs of a new item."""
    rows = folded(data.draw(logs), small_rules)
    assert {user for user, _ in rows.items(SESSIONS)} <= {
        user for user, row in rows.items(RECENT) if row.newest_ms >= 0
    }
    assert {item for item, _ in rows.items(CO_VIEW)} <= {item for item, _ in rows.items(POPULARITY)}


@given(data=st.data())
def test_a_session_is_in_its_row_or_was_returned_when_it_left(
    data: st.DataObject, logs: Logs, small_rules: TableRules
) -> None:
    rows, opened, ended = MemoryRows(), set[tuple[str, int, str | None]](), set[tuple[str, int, str | None]]()
    for one in data.draw(logs):
        ended |= {(user, gone.opened_ms, gone.id) for user, gone in fold_event(rows, one, small_rules)}
        opened |= kept_sessions(rows)
    assert opened == ended | kept_sessions(rows)


def kept_sessions(rows: MemoryRows) -> set[tuple[str, int, str | None]]:
    return {(user, kept.opened_ms, kept.id) for user, row in rows.items(SESSIONS) for kept in row.sessions}


def test_sessions_of_a_forgotten_user_are_returned() -> None:
    rows = folded([event("a")])
    later = event("b", minutes=100 * 24 * 60, user="v")
    assert [(user, gone.opened_ms) for user, gone in fold_event(rows, later, RULES)] == [("u", START_MS)]
    rows = folded([event("a")])
    rows.put(EXPIRY, "swept", 1 << 30)  # the sweep does not come to it
    assert len(fold_event(rows, event("b", minutes=100 * 24 * 60), RULES)) == 1
