"""The compiled rules are the Python rules: the same bytes, in the same order, the same sessions that end, the same
errors, after every micro-batch, wherever the log was cut and whatever was forgotten in between."""

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from reco_stream.domain.buckets import DAY_MS, HOUR_MS
from reco_stream.engine.errors import StoreFailed
from reco_stream.engine.store import Record
from reco_stream.engine.table import Table
from reco_stream.events import Event
from tables import ALL_TABLES
from tables.co_view import CO_VIEW
from tables.compiled_fold import CompiledRows
from tables.expiry import EXPIRY
from tables.fold import fold_event
from tables.popularity import POPULARITY, PopularityRow, Tally
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS, Ended, left_rows
from tests.engine.python_rows import DictStore, PythonRows

START_MS = 1_700_000_000_000
HUGE_BYTES = 1 << 30
PREFIXES = [table.prefix for table in ALL_TABLES]
USERS = ["u", "v", "~w", "пользователь", "ユーザー", "\U0001f600", "x" * 200]
ITEMS = ["a", "b", "é", "товар", "商品", "\U0001f34e", "i" * 15, "i" * 16, "i" * 250, *(f"i{n}" for n in range(80))]
WEIGHTS: dict[str, float] = {"view": 1.0, "click": 1.0, "cart": 5, "rating": 2.5, "free": 0.0, "less": -0.0, "オ": 1e-9}
IDS = [None, None, None, "1", "2", "3", "идентификатор"]
SMALL = TableRules(
    recent_limit=3, excluded_limit=2, session_items=4, sessions_kept=2, sessions_shared=1, co_view_last=3,
    co_view_limit=6, dedupe_limit=3,
)  # fmt: skip
RULES = {
    "defaults": TableRules(),
    "small limits": SMALL,
    "short half-lives": replace(SMALL, popularity_half_life_ms=10_007, co_view_half_life_ms=60_013),
    "few forgotten": TableRules(recent_ttl_ms=2 * DAY_MS, anonymous_ttl_ms=DAY_MS, co_view_window_ms=DAY_MS),
    "no gap": TableRules(session_gap_ms=0, sessions_shared=0, co_view_last=0, co_view_limit=1, recent_limit=1),
}
FAR_MS = [-60 * DAY_MS, -3 * DAY_MS, -DAY_MS, DAY_MS, 2 * DAY_MS, 8 * DAY_MS, 40 * DAY_MS, 500 * DAY_MS]


def random_log(seed: int, length: int) -> Iterator[Event]:
    """Mostly a step on, sometimes back, sometimes far; in some logs by whole minutes or hours, so that times are equal
    or a window apart to the millisecond. Few users and items, so that every limit is reached."""
    draw = random.Random(seed)
    users, items = USERS[: draw.choice([1, 3, 7])], ITEMS[: draw.choice([4, 12, len(ITEMS)])]
    time_ms, grain_ms = draw.choice([0, START_MS]), draw.choice([1, 60_000, HOUR_MS])
    far = draw.choice([0.02, 0.2])
    for _ in range(length):
        step_ms = draw.choice([0, 1, 1_000, 5 * 60_000, HOUR_MS, -HOUR_MS, -2 * HOUR_MS // 3])
        time_ms = max(time_ms + (draw.choice(FAR_MS) if draw.random() < far else draw.randrange(abs(step_ms) + 1)), 0)
        late_ms = -step_ms if step_ms < 0 else 0
        negative = draw.random() < 0.1
        kind = "hide" if negative else draw.choice(list(WEIGHTS))
        at_ms = max(time_ms - late_ms, 0) // grain_ms * grain_ms
        yield Event(
            draw.choice(users), draw.choice(items), kind, at_ms, WEIGHTS.get(kind, 0.0), negative,
            draw.choice([None, None, "s", "сессия"]), draw.choice(IDS),
        )  # fmt: skip


class Twins:
    """The same partition twice: rows in Python over one store, compiled ones over another."""

    def __init__(self, rules: TableRules, budget_bytes: int = HUGE_BYTES) -> None:
        self.rules = rules
        self.stores = DictStore(), DictStore()
        self.python = PythonRows(self.stores[0])
        self.compiled = CompiledRows(self.stores[1], rules, budget_bytes)
        self.ended: list[Ended] = []
        self.stream_time_ms = 0

    def begin(self) -> None:
        self.python.begin(self.stream_time_ms)
        self.compiled.begin(self.stream_time_ms)
        self.ended = []

    def fold(self, event: Event) -> type[BaseException] | None:
        """Folds one event into both; returns what both raised, after which both begin anew."""
        wanted = found = None
        try:
            self.ended += fold_event(self.python, event, self.rules)
        except Exception as error:
            wanted = type(error)
        try:
            self.compiled.fold(event)
        except Exception as error:
            found = type(error)
        assert found is wanted, event
        if wanted is not None:
            self.discard()
        return wanted

    def discard(self) -> None:
        self.python.discard()
        self.compiled.discard()
        assert self.compiled.stream_time_ms == self.stream_time_ms
        self.begin()

    def checkpoint(self) -> list[Record]:
        """Writes what changed, which must be the same, and begins the next micro-batch."""
        wanted = sorted(self.python.encode_dirty(), key=lambda record: PREFIXES.index(record[0][:1]))  # stable
        found = self.compiled.encode_dirty()
        assert found == wanted
        assert self.compiled.leaving() == left_rows(self.ended)
        assert self.compiled.stream_time_ms == self.python.stream_time_ms
        for store in self.stores:
            store.put(found)
        self.stream_time_ms = self.python.stream_time_ms
        self.begin()
        return found

    def folded(self, log: Sequence[Event]) -> "Twins":
        for event in log:
            assert self.fold(event) is None
        self.checkpoint()
        return self


@pytest.mark.parametrize("budget_bytes", [0, 20_000, HUGE_BYTES], ids=["no memory", "little memory", "all in memory"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_random_logs_make_the_same_bytes(rules: TableRules, budget_bytes: int) -> None:
    """In micro-batches of any size; some are thrown away and folded again, some found the cache emptied."""
    for seed in range(20):
        twins, draw = Twins(rules, budget_bytes), random.Random(seed)
        log, at = list(random_log(seed, 300)), 0
        while at < len(log):
            batch = log[at : at + draw.choice([1, 2, 20, 100])]
            again = draw.random()
            if again < 0.2:
                for event in batch[: draw.randrange(len(batch)) + 1]:
                    twins.fold(event)
                twins.discard()
            elif again < 0.3:
                twins.compiled.clear()
            twins.folded(batch)
            at += len(batch)
        assert twins.stores[0].rows == twins.stores[1].rows


def test_a_row_is_the_same_whatever_length_its_numbers_have() -> None:
    """MessagePack has nine lengths of integers; a million events or years lie between them."""
    for first in (0, 31, 127, 255, 65_535, 1 << 31, 1 << 32):
        twins = Twins(TableRules())
        for step in range(40):
            twins.fold(Event("u", f"i{step % 20}", "view", first + step, 1.0))
        twins.checkpoint()


def test_sessions_of_one_item_are_shared_by_the_same_draw() -> None:
    twins = Twins(replace(TableRules(), sessions_shared=20))
    twins.folded([Event(f"ü{n}", "hot", "view", START_MS + n, 1.0, session=None if n % 2 else "s") for n in range(300)])
    rows = [SESSIONS.decode(row).sessions[0] for key, row in twins.stores[1].rows.items() if key[:1] == SESSIONS.prefix]
    assert 20 < sum(session.shared for session in rows) < 150


def test_a_full_row_keeps_the_heaviest_pairs_and_the_newest_of_the_rest() -> None:
    """Pairs of one item by falling weight, the lighter the newer or older, up to and over the limits of 5 and 100."""
    for limit, order in ((5, 1), (5, -1), (100, 1), (100, -1)):
        twins = Twins(TableRules(co_view_limit=limit))
        count = limit + limit // 4 + 1
        numbers = range(count) if order > 0 else range(count - 1, -1, -1)
        pairs = [(Event(f"u{n}", f"i{n}", "view", START_MS + n % 7, 1.0 + n // 2), n) for n in numbers]
        for event, n in pairs:
            twins.fold(event)
            twins.fold(msgspec.structs.replace(event, item="hot", time_ms=START_MS + n % 3, weight=1e6))
        twins.checkpoint()
        assert len(CO_VIEW.decode(twins.stores[1].rows[b"chot"])) == limit


@pytest.mark.parametrize("off_ms", [-1, 0, 1])
def test_what_is_as_old_as_its_window_to_the_millisecond(off_ms: int) -> None:
    """Pairs of the window's first moment, ids sent a day ago, a user who is due and comes before the sweep."""
    start_ms = START_MS // DAY_MS * DAY_MS
    rules = TableRules(co_view_window_ms=2 * DAY_MS, dedupe_window_ms=DAY_MS, recent_ttl_ms=2 * DAY_MS)
    for days in range(1, 5):
        twins = Twins(rules)
        later_ms = start_ms + days * DAY_MS
        log = [Event("u", item, "view", start_ms + off_ms, 1.0, event_id=item) for item in "ab"]
        log += [Event(user, item, "view", later_ms, 1.0, event_id=item) for user in "uv" for item in "abc"]
        for event in log:
            twins.folded([event])
        twins.folded([msgspec.structs.replace(event, time_ms=event.time_ms + DAY_MS + off_ms) for event in log])


def test_clear_forgets_what_recovery_may_have_changed() -> None:
    """In both generations."""
    for budget_bytes in (0, HUGE_BYTES):
        twins = Twins(TableRules(), budget_bytes)
        twins.folded([Event("u", "a", "view", START_MS, 1.0)])
        twins.stores[1].put([(b"ru", None)])
        assert twins.compiled.get(RECENT, "u") is not None
        twins.begin()
        twins.compiled.clear()
        assert twins.compiled.get(RECENT, "u") is None


def test_an_hour_of_more_events_than_a_cell_holds_raises_what_python_raises() -> None:
    """And an item with more types than it can tell apart; both leave the rows as they were."""
    twins = Twins(TableRules())
    full = PopularityRow(by_type={"view": Tally(1 << 32, 1.0)}, hour=1, open={"view": Tally(1 << 32, 1.0)})
    many = PopularityRow(by_type={f"t{n}": Tally() for n in range(1 << 16)}, hour=1)
    for store in twins.stores:
        store.put([(b"pa", POPULARITY.encode(full)), (b"pb", POPULARITY.encode(many))])
    twins.begin()
    twins.fold(Event("u", "c", "view", START_MS, 1.0))
    raised = {twins.fold(Event("u", item, "view", START_MS, 1.0)) for item in "ab"}
    assert None not in raised
    assert len(raised) == 2
    assert twins.checkpoint() == []


@pytest.mark.parametrize(
    "event",
    [
        Event("u", "a\0b", "view", START_MS + 1, 1.0),
        Event("u", "\ud800", "view", START_MS + 1, 1.0),
        Event("\ud800", "b", "view", START_MS + 1, 1.0),
    ],
)
def test_ids_that_no_row_can_hold_raise_what_python_raises(event: Event) -> None:
    twins = Twins(TableRules())
    twins.fold(Event("u", "a", "view", START_MS, 1.0))
    found = twins.fold(event)
    assert found is not None
    assert issubclass(found, ValueError)


def test_a_weight_that_outgrows_a_float_raises_what_python_raises() -> None:
    rules = replace(TableRules(), popularity_half_life_ms=1)
    twins = Twins(rules)
    huge = PopularityRow(score=1.0, landmark=1_000)
    for store in twins.stores:
        store.put([(b"pa", POPULARITY.encode(huge))])
    assert twins.fold(Event("u", "a", "view", 0, 1.0)) is OverflowError


def test_times_outside_the_contract_are_refused() -> None:
    rows = CompiledRows(DictStore(), TableRules(), HUGE_BYTES)
    rows.begin(0)
    for time_ms in (-1, 1 << 50, 1 << 70):
        with pytest.raises(OverflowError):
            rows.fold(Event("u", "a", "view", time_ms, 1.0))


@pytest.mark.parametrize("row", [b"\xc1", b"", b"\x94", RECENT.encode(RECENT.decode(b"\x90")) + b"\x00"])
def test_a_stored_row_that_cannot_be_decoded_is_the_stores_fault(row: bytes) -> None:
    """Not the event's: a rule that raised would send the event to the dead letters."""
    store = DictStore()
    store.put([(b"ru", row)])
    rows = CompiledRows(store, TableRules(), HUGE_BYTES)
    with pytest.raises(StoreFailed, match="recent 'u'"):
        rows.get(RECENT, "u")


def test_what_the_store_raises_is_passed_on() -> None:
    class Broken(DictStore):
        def get(self, key: bytes) -> bytes | None:
            raise StoreFailed("no disk")

    rows = CompiledRows(Broken(), TableRules(), HUGE_BYTES)
    with pytest.raises(StoreFailed, match="no disk"):
        rows.fold(Event("u", "a", "view", START_MS, 1.0))


def test_rules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="popularity_half_life_ms"):
        CompiledRows(DictStore(), TableRules(popularity_half_life_ms=0), HUGE_BYTES)


def test_a_row_read_is_a_copy_of_what_the_fold_has_made_of_it_so_far() -> None:
    twins = Twins(TableRules())
    assert twins.compiled.get(RECENT, "u") is None
    twins.fold(Event("u", "a", "view", START_MS, 1.0))
    twins.fold(Event("u", "b", "view", START_MS + 1, 1.0))
    keys: list[tuple[Table[Any], str]] = [(RECENT, "u"), (SESSIONS, "u"), (POPULARITY, "a"), (CO_VIEW, "b")]
    for table, key in [*keys, (EXPIRY, "swept")]:
        assert twins.compiled.get(table, key) == twins.python.get(table, key)
    with pytest.raises(ValueError, match="prefix"):
        twins.compiled.get(replace(RECENT, prefix=b"?"), "u")


def test_sessions_that_leave_a_row_are_known_until_the_next_micro_batch() -> None:
    twins = Twins(replace(TableRules(), sessions_kept=2))
    rows = twins.compiled

    def left() -> list[tuple[bytes, list[int]]]:
        return [
            (key, [old.opened_ms - START_MS for old in SESSIONS.decode(row or b"").sessions])
            for key, row in rows.leaving()
        ]

    for hour in range(4):
        assert left() == ([] if hour < 3 else [(b"su", [0])])
        for second in range(2):
            rows.fold(Event("u", "a", "view", START_MS + hour * HOUR_MS + second * 1_000, 1.0))
    assert left() == [(b"su", [0, HOUR_MS])]
    rows.begin(START_MS)
    assert left() == []
    rows.fold(Event("u", "a", "view", START_MS + 9 * HOUR_MS, 1.0))
    assert len(left()) == 1
    rows.discard()
    assert left() == []


def test_a_row_is_read_once_and_written_once_however_often_it_changes() -> None:
    store = DictStore()
    rows = CompiledRows(store, TableRules(), HUGE_BYTES)
    rows.begin(0)
    for n in range(5):
        rows.fold(Event("u", "a", "view", START_MS + n, 1.0))
    assert store.gets == 3  # recent, popularity, and how far the sweep is; a new user has no session
    assert store.scans == 1
    assert len(rows.encode_dirty()) == 5
    rows.begin(START_MS)
    assert rows.encode_dirty() == []


def test_memory_stays_within_the_budget_and_hot_rows_survive() -> None:
    """A row takes some 300 bytes here: a budget for all of them reads each once, one for a tenth most of them again."""
    reads = []
    for budget_bytes in (HUGE_BYTES, 2_000 * 300 // 10):
        store = DictStore()
        store.put([(b"r%d" % user, RECENT.encode(RECENT.decode(b"\x90"))) for user in range(2_000)])
        rows = CompiledRows(store, TableRules(), budget_bytes)
        for _ in range(2):
            for user in range(2_000):
                rows.begin(0)
                rows.get(RECENT, "0")
                rows.get(RECENT, str(user))
        reads.append(store.gets)
    assert reads == [2_000, 3_999]


def test_memory_is_given_back() -> None:
    """Nothing that is made for Python, or taken from it, stays behind: not on the good way, not on an error."""
    twins = Twins(SMALL)
    log = [*random_log(1, 200), Event("u", "\ud800", "view", START_MS, 1.0)]
    strings = [msgspec.structs.replace(event) for event in log]
    before = blocks_after(twins, strings)
    assert abs(blocks_after(twins, strings) - before) < 200


def blocks_after(twins: Twins, log: Sequence[Event]) -> int:
    rows = twins.compiled
    for _ in range(20):
        rows.clear()
        rows.begin(0)
        for event in log:
            try:
                rows.fold(event)
            except UnicodeEncodeError:
                rows.discard()
        for event in log[:50]:
            rows.fold(event)
        rows.encode_dirty(), rows.leaving(), rows.get(RECENT, "u")
    return sys.getallocatedblocks()
