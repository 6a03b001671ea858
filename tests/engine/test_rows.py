"""The row cache is the store plus what the running micro-batch changed: compared with rows in plain dictionaries."""

import copy
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_stream.engine.errors import StoreFailed
from reco_stream.engine.rows import RowCache
from reco_stream.engine.store import Record
from reco_stream.engine.table import MemoryRows, Rows, Table

Row = list[int]
FIRST: Table[Row] = Table("first", b"f", msgspec.msgpack.encode, msgspec.msgpack.Decoder(Row).decode)
OTHER: Table[Row] = Table("other", b"o", msgspec.msgpack.encode, msgspec.msgpack.Decoder(Row).decode)
HUGE_BYTES = 1 << 30


class DictStore:
    """What the cache asks of a partition store, and how often it was read."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.gets = 0
        self.scans = 0

    def get(self, key: bytes) -> bytes | None:
        self.gets += 1
        return self.rows.get(key)

    def scan(self, prefix: bytes, below: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        self.scans += 1
        for key in sorted(self.rows):
            if key.startswith(prefix) and (below is None or key < below):
                yield key, self.rows[key]

    def write(self, records: list[Record]) -> None:
        for key, value in records:
            self.rows.pop(key, None)
            if value is not None:
                self.rows[key] = value


def cache_over(store: DictStore, budget_bytes: int = HUGE_BYTES) -> RowCache:
    cache = RowCache(store, budget_bytes)  # type: ignore[arg-type]
    cache.begin(0)
    return cache


def checkpoint(cache: RowCache, store: DictStore, stream_time_ms: int = 0) -> list[Record]:
    records = cache.encode_dirty()
    store.write(records)
    cache.begin(stream_time_ms)
    return records


def test_row_is_decoded_once_and_encoded_once_however_often_it_changes() -> None:
    store = DictStore()
    store.write([(b"fa", msgspec.msgpack.encode([0]))])
    cache = cache_over(store)
    for value in range(1, 5):
        row = cache.get(FIRST, "a")
        assert row is not None
        row.append(value)
        cache.put(FIRST, "a", row)
    assert store.gets == 1
    assert cache.encode_dirty() == [(b"fa", msgspec.msgpack.encode([0, 1, 2, 3, 4]))]


def test_missing_row_is_looked_up_once() -> None:
    store = DictStore()
    cache = cache_over(store)
    assert [cache.get(FIRST, "a") for _ in range(3)] == [None] * 3
    assert store.gets == 1


def test_clean_rows_are_not_written_and_deleted_ones_are_tombstones() -> None:
    store = DictStore()
    store.write([(b"fa", msgspec.msgpack.encode([1])), (b"fb", msgspec.msgpack.encode([2]))])
    cache = cache_over(store)
    cache.get(FIRST, "a")
    cache.delete(FIRST, "b")
    assert checkpoint(cache, store) == [(b"fb", None)]
    assert checkpoint(cache, store) == []


def test_discarded_change_in_place_is_read_anew_even_without_a_put() -> None:
    store = DictStore()
    store.write([(b"fa", msgspec.msgpack.encode([1]))])
    cache = cache_over(store)
    row = cache.get(FIRST, "a")
    assert row is not None
    row.append(99)  # a rule changes the row, then raises before it puts it back
    cache.discard()
    assert cache.get(FIRST, "a") == [1]


def test_discard_does_not_bring_back_the_value_before_the_last_checkpoint() -> None:
    """A row put or deleted without being read leaves no older copy behind in the old generation."""
    store = DictStore()
    store.write([(b"fa", msgspec.msgpack.encode([1])), (b"fb", msgspec.msgpack.encode([2]))])
    cache = cache_over(store, budget_bytes=1_040)  # two rows of 264 bytes exceed half of it, two changes do not
    assert (cache.get(FIRST, "a"), cache.get(FIRST, "b")) == ([1], [2])
    cache.begin(0)  # a turn: both rows are old now
    cache.delete(FIRST, "a")
    cache.put(FIRST, "b", [3])
    store.write(cache.encode_dirty())
    cache.begin(0)
    cache.discard()
    assert (cache.get(FIRST, "a"), cache.get(FIRST, "b")) == (None, [3])


def test_stream_time_is_restored_by_discard() -> None:
    cache = cache_over(DictStore())
    cache.begin(100)
    cache.stream_time_ms = 200
    cache.discard()
    assert cache.stream_time_ms == 100


def test_clear_forgets_what_recovery_may_have_changed() -> None:
    store = DictStore()
    cache = cache_over(store)
    cache.put(FIRST, "b", [1])
    checkpoint(cache, store)
    assert cache.first_keys(FIRST, "b", 1) == []
    store.write([(b"fa", msgspec.msgpack.encode([7])), (b"fb", msgspec.msgpack.encode([8]))])
    cache.clear()
    assert cache.get(FIRST, "b") == [8]
    assert cache.first_keys(FIRST, "b", 9) == ["a"]
    assert cache.encode_dirty() == []


def test_asking_again_for_keys_below_costs_no_scan() -> None:
    store = DictStore()
    cache = cache_over(store)
    for _ in range(5):
        assert cache.first_keys(FIRST, "m", 4) == []
    assert store.scans == 1
    cache.put(FIRST, "b", [1])
    assert cache.first_keys(FIRST, "m", 4) == ["b"]


def cached_rows(cache: RowCache) -> int:
    return sum(len(space.young) + len(space.old) for space in cache._spaces.values())


def test_memory_stays_within_the_budget_when_most_rows_are_found_in_the_old_generation() -> None:
    row = list(range(100))
    size = 7 * len(msgspec.msgpack.encode(row)) + 250
    store = DictStore()
    store.write([(b"f%d" % i, msgspec.msgpack.encode(row)) for i in range(500)])
    budget_rows = 200
    cache = cache_over(store, budget_bytes=budget_rows * size)
    largest = 0
    for working_set in range(500):
        for i in range(working_set):
            cache.get(FIRST, str(i))
            if i % 10 == 0:
                cache.begin(0)
                largest = max(largest, cached_rows(cache))
    assert budget_rows // 2 < largest <= budget_rows + 20


def test_hot_rows_survive_a_turn() -> None:
    store = DictStore()
    store.write([(b"f%d" % i, msgspec.msgpack.encode([i])) for i in range(1_000)])
    cache = cache_over(store, budget_bytes=100 * 300)
    for i in range(1_000):
        cache.get(FIRST, "0")
        cache.get(FIRST, str(i))
        cache.begin(0)
    assert store.gets == 1_000


KEYS = st.sampled_from(["", "a", "ab", "b", "é", "\U0001f600"])
STEP = st.one_of(
    st.tuples(st.sampled_from(["get", "append", "delete", "spoil"]), st.sampled_from([FIRST, OTHER]), KEYS),
    st.tuples(st.just("put"), st.sampled_from([FIRST, OTHER]), KEYS),
    st.tuples(st.just("first"), st.sampled_from([FIRST, OTHER]), KEYS),
    st.tuples(st.sampled_from(["checkpoint", "discard"]), st.none(), st.none()),
)


def apply(rows: Rows, step: str, table: Table[Row], key: str, number: int) -> object:
    """One change by a rule; returns what the rule saw."""
    if step == "put":
        rows.put(table, key, [number])
    elif step == "delete":
        rows.delete(table, key)
    elif step == "first":
        return [rows.first_keys(table, key, limit) for limit in (1, 2, 9)]
    else:
        row = rows.get(table, key)
        seen = copy.copy(row)
        if step == "append":
            row = [] if row is None else row
            row.append(number)
            rows.put(table, key, row)
        return seen
    return None


def saved_rows(rows: MemoryRows) -> list[tuple[Table[Row], str, Row]]:
    return [(table, key, list(row)) for table in (FIRST, OTHER) for key, row in rows.items(table)]


def restored(saved: list[tuple[Table[Row], str, Row]]) -> MemoryRows:
    rows = MemoryRows()
    for table, key, row in saved:
        rows.put(table, key, list(row))
    return rows


@settings(max_examples=400, deadline=None)
@given(st.lists(STEP, max_size=60), st.sampled_from([0, 1_040, 1_500, HUGE_BYTES]))
def test_behaves_like_rows_in_memory(steps: list[tuple[str, Table[Row] | None, str | None]], budget_bytes: int) -> None:
    store = DictStore()
    cache = cache_over(store, budget_bytes)
    model = MemoryRows()
    saved: list[tuple[Table[Row], str, Row]] = []
    for number, (step, table, key) in enumerate(steps):
        if step == "checkpoint":
            checkpoint(cache, store)
            saved = saved_rows(model)
            assert dict(sorted(store.rows.items())) == model.snapshot()
        elif step == "discard":
            cache.discard()
            model = restored(saved)
        elif step == "spoil":
            assert table is not None
            assert key is not None
            row = cache.get(table, key)
            if row is not None:
                row.append(-1)  # the rule raises before it puts the row back
            cache.discard()
            model = restored(saved)
        else:
            assert table is not None
            assert key is not None
            assert apply(cache, step, table, key, number) == apply(model, step, table, key, number)
    checkpoint(cache, store)
    assert dict(sorted(store.rows.items())) == model.snapshot()


def test_a_stored_row_that_cannot_be_decoded_is_the_stores_fault() -> None:
    """Not the event's: a rule that raised would send the event to the dead letters."""
    store = DictStore()
    store.write([(b"fa", b"\xc1")])
    with pytest.raises(StoreFailed, match="first 'a'"):
        cache_over(store).get(FIRST, "a")
