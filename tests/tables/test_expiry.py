"""Users are forgotten after their time-to-live of stream time, all of them, and nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS
from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from tables.dedupe import DEDUPE
from tables.expiry import EXPIRY, SWEEP, SWEPT_KEY, due_key, sweep, touched
from tables.fold import fold_event
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS

START_MS = 1_700_000_000_000
RULES = TableRules()


def view(user: str, days: float, item: str = "i") -> Event:
    return Event(user, item, "view", START_MS + int(days * DAY_MS), 1.0, event_id=f"{user} {days}")


def folded(*events: Event) -> MemoryRows:
    rows = MemoryRows()
    for event in events:
        fold_event(rows, event, RULES)
    return rows


def users(rows: MemoryRows) -> list[str]:
    return sorted(user for user, _ in rows.items(RECENT))


def test_a_user_is_forgotten_after_the_time_to_live() -> None:
    assert users(folded(view("u", 0), view("other", 90))) == ["other", "u"]
    rows = folded(view("u", 0), view("other", 91))
    assert users(rows) == ["other"]
    assert rows.get(SESSIONS, "u") is None
    assert rows.get(DEDUPE, "u") is None
    assert [key for key, _ in rows.items(EXPIRY) if key.endswith("u")] == []


def test_a_visitor_without_account_is_forgotten_sooner() -> None:
    assert users(folded(view("~w", 0), view("other", 30))) == ["other", "~w"]
    assert users(folded(view("~w", 0), view("other", 31))) == ["other"]


def test_an_active_user_stays() -> None:
    assert users(folded(*(view("u", day) for day in range(0, 400, 60)))) == ["u"]


def test_late_events_count_as_activity() -> None:
    assert users(folded(view("u", 0), view("other", 80), view("u", 1, "late"), view("other", 100))) == ["other", "u"]


def test_each_user_has_one_key() -> None:
    rows = folded(*(view(user, day) for day in range(0, 60, 3) for user in ("u", "v", "~w")))
    keys = [key for key, _ in rows.items(EXPIRY) if key != SWEPT_KEY]
    assert sorted(key[6:] for key in keys) == ["u", "v", "~w"]


def test_a_user_back_before_the_sweep_starts_anew() -> None:
    crowd = [view(f"u{n}", 0) for n in range(SWEEP * 3)]
    rows = folded(*crowd, view("u9", 0, "old"), view("u9", 200, "new"))
    row = rows.get(RECENT, "u9")
    assert row is not None
    assert list(row.items) == ["new"]
    sessions = rows.get(SESSIONS, "u9")
    assert sessions is not None
    assert [list(session.items) for session in sessions.sessions] == [["new"]]


def test_old_entries_of_an_active_user_go() -> None:
    rows = folded(view("u", 0, "old"), view("u", 60, "mid"), view("u", 100, "new"))
    row = rows.get(RECENT, "u")
    assert row is not None
    assert list(row.items) == ["mid", "new"]


def test_each_event_looks_at_few_users_and_none_is_left_over() -> None:
    rows = folded(*(view(f"u{n}", 0) for n in range(20)))
    left = []
    for n in range(7):
        fold_event(rows, view("last", 100 + n / 1000), RULES)
        left.append(len(users(rows)) - 1)
    assert left == [16, 12, 8, 4, 0, 0, 0]


def test_nothing_is_looked_up_once_a_day_is_swept() -> None:
    class Counting(MemoryRows):
        looked = 0

        def first_keys(self, table: object, below: str, limit: int) -> list[str]:
            self.looked += 1
            return super().first_keys(EXPIRY, below, limit)

    rows = Counting()
    for n in range(50):
        fold_event(rows, view("u", n / 1_000), RULES)
    assert rows.looked == 1


def test_keys_sort_by_day() -> None:
    assert due_key(9_999, "z") < due_key(10_000, "a") < due_key(19_700, "") < SWEPT_KEY


def test_touching_gives_a_row_to_put() -> None:
    rows = MemoryRows(START_MS)
    row = touched(rows, "u", RULES, [])
    assert row.due_day == (START_MS + 90 * DAY_MS) // DAY_MS + 1
    assert rows.get(EXPIRY, due_key(row.due_day, "u")) == 0
    sweep(rows, [])
    assert rows.get(EXPIRY, SWEPT_KEY) == START_MS // DAY_MS


@given(st.lists(st.tuples(st.sampled_from(["u", "v", "~w", "~x"]), st.floats(0, 40)), min_size=1, max_size=40))
def test_whoever_was_active_within_the_time_to_live_is_known(steps: list[tuple[str, float]]) -> None:
    """In an ordered log with more sweeps than users, exactly the users whose day has not come."""
    day = 0.0
    active: dict[str, int] = {}
    rows = MemoryRows()
    for user, step in steps:
        day += step
        event = view(user, day)
        fold_event(rows, event, RULES)
        active[user] = event.time_ms
    today = rows.stream_time_ms // DAY_MS
    wanted = [user for user, ms in active.items() if (ms + RULES.ttl_ms(user)) // DAY_MS + 1 > today]
    assert users(rows) == sorted(wanted)
