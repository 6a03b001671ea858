import gc
import random
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.session_index import SessionIndex
from reco_stream.engine.light_records import LightRecord
from reco_stream.engine.published import Stamp, seal
from tests.domain.random_sessions import START_MS, Session, index_of, random_sessions


def content(index: SessionIndex) -> dict[str, list[str]]:
    return {item: index.sessions_of(item) for item in index.number_of}


def block_size(length: int) -> int:
    return max(2, 1 << (length - 1).bit_length())


def events(*items: str, start: int = START_MS) -> Session:
    return [(item, "view", start + place) for place, item in enumerate(items)]


def test_an_open_session_is_visible_and_grows() -> None:
    index = SessionIndex()
    index.put("s", events("a"), START_MS)
    assert index.sessions_of("a") == ["s"]
    change = index.put("s", events("a", "b"), START_MS + 1)
    assert [index.names[number] for number, _ in change.added] == ["b"]
    assert change.removed == []
    assert index.items_of("s") == ["a", "b"]
    assert len(index) == 1


def test_putting_a_value_twice_changes_nothing() -> None:
    index = SessionIndex()
    index.put("s", events("a", "b"), START_MS + 1)
    before = content(index)
    assert index.put("s", events("a", "b"), START_MS + 1) == ([], [])
    assert content(index) == before


def test_a_changed_past_replaces_what_was_there() -> None:
    index = SessionIndex()
    index.put("s", events("a", "b"), START_MS + 1)
    change = index.put("s", [("c", "view", START_MS), ("b", "view", START_MS + 1)], START_MS + 1)
    assert [index.names[number] for number, _ in change.added] == ["c"]
    assert len(change.removed) == 1
    assert index.sessions_of("a") == []
    assert index.sessions_of("c") == ["s"]


def test_an_empty_session_is_a_removal() -> None:
    index = SessionIndex()
    index.put("s", events("a"), START_MS)
    index.put("s", [], START_MS)
    assert len(index) == 0
    assert "s" not in index


def test_a_row_is_put_as_its_decoded_session() -> None:
    index, decoded = SessionIndex(), SessionIndex()
    for items in (["b", "a"], ["b", "a", "\u00e9t\u00e9"], ["a", "b"], []):
        visits = {item: (START_MS + place, 1.0, "view") for place, item in enumerate(items)}
        row = msgspec.msgpack.encode([None, START_MS, START_MS, START_MS + 9, 3, visits, True])
        assert index.take([LightRecord(0, "s\0\u00e9".encode(), seal(Stamp(3, 0, 0), row))], 0, b"$") == 3
        decoded.put("s\0\u00e9", events(*items), START_MS + 9)
        assert content(index) == content(decoded)
    with pytest.raises(ValueError, match="not what"):
        index.take([LightRecord(0, b"s", seal(Stamp(3, 0, 0), b"\x97\xc0"))], 0, b"$")
    with pytest.raises(ValueError, match="shorter than its stamp"):
        index.take([LightRecord(0, b"s", b"short")], 0, b"$")


def test_published_sessions_of_a_lower_version_and_hidden_ones_change_nothing() -> None:
    def record(key: bytes, version: int, item: str | None) -> LightRecord:
        session = [None, START_MS, START_MS, START_MS, 1, {item: (START_MS, 1.0, "view")}, True]
        return LightRecord(
            0, key, None if item is None else seal(Stamp(version, 0, 0), msgspec.msgpack.encode(session))
        )

    index = SessionIndex()
    records = [record(b"s", 2, "a"), record(b"t", 5, "b"), record(b"s", 4, "c"), record(b"$u", 9, "d")]
    assert index.take(records, 1, b"$") == 5
    assert (index.items_of("s"), index.items_of("t"), len(index)) == (["a"], ["b"], 2)
    assert index.take([record(b"s", 5, "c"), record(b"t", 1, None), record(b"v", 4, "e")], 5, b"$") == 5
    assert (index.items_of("s"), len(index)) == (["c"], 1)
    with pytest.raises(AttributeError, match="key"):
        index.take([b"no record"], 0, b"$")


def test_only_the_newest_events_of_a_session_are_kept() -> None:
    index = SessionIndex(events_per_session=3)
    index.put("s", events("a", "b", "c", "d"), START_MS + 3)
    assert index.items_of("s") == ["b", "c", "d"]
    assert index.sessions_of("a") == []


def test_a_query_sees_the_newest_m_sessions_of_an_item() -> None:
    index = SessionIndex(sessions_per_item=3)
    for number in range(20):
        index.put(f"s{number}", events("hot", start=START_MS + number), START_MS + number)
    assert index.sessions_of("hot") == ["s19", "s18", "s17"]
    assert index.support(index.number_of["hot"]) == 3


def test_a_session_pushed_out_comes_back_when_it_grows() -> None:
    index = SessionIndex(sessions_per_item=2)
    index.put("old", events("hot"), START_MS)
    for number in range(10):
        index.put(f"s{number}", events("hot", start=START_MS + 1 + number), START_MS + 1 + number)
    assert "old" not in index.sessions_of("hot")
    index.put("old", [*events("hot"), ("b", "view", START_MS + 99)], START_MS + 99)
    assert index.sessions_of("hot") == ["old", "s9"]


def test_memory_stays_bounded_under_a_hot_item() -> None:
    index = SessionIndex(sessions_per_item=10, orphan_age_ms=50)
    for number in range(5_000):
        index.put(f"s{number}", events("hot", start=START_MS + number), START_MS + number)
    assert len(index) <= 2 * 10 + 50 + 2
    assert index.nbytes < 100_000


@pytest.mark.parametrize(("sessions", "items", "longest"), [(4_000, 1_000, 5), (4_000, 5, 5), (1_500, 10_000, 30)])
def test_memory_is_what_the_formula_says(sessions: int, items: int, longest: int) -> None:
    chance = random.Random(1)
    gc.collect()
    tracemalloc.start()
    index = SessionIndex()
    for number in range(sessions):
        visits = [f"item-{int(items * chance.random() ** 2)}" for _ in range(chance.randint(1, longest))]
        start = START_MS + number * 1_000
        index.put(f"user-{number}\0{start}\0", events(*visits, start=start), start)
    del visits
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept, known = len(index), len(index.number_of)
    entries = sum(block_size(len(index.items_of(key))) for key in index.session_keys())
    posted = [int(index.item_figures()[0][index.number_of[item]]) for item in index.number_of]
    assert max(posted) <= 2 * index.sessions_per_item
    arrays = 12 * entries + 8 * sum(map(block_size, posted)) + 40 * kept + 32 * known
    names = sum(27 + len(name) for name in (*index.session_keys(), *index.number_of))
    grown = 8 * sum(block_size(count) for count in posted)  # the smaller blocks that postings grew out of
    assert 0.9 < index.nbytes / (arrays + names) < 1.0 + grown / (arrays + names)
    assert used < 2 * (arrays + grown) + 150_000  # as allocated: half of an array may never have been touched


def test_removal_forgets_items_that_nobody_else_has() -> None:
    index = index_of([("s1", events("a", "b")), ("s2", events("b"))])
    index.remove("s1")
    assert sorted(index.number_of) == ["b"]
    assert index.sessions_of("b") == ["s2"]
    assert index.remove("s1") == ([], [])


def test_expire_removes_old_sessions() -> None:
    index = index_of(random_sessions(20, 5))
    assert index.expire(before_ms=START_MS + 10 * 60_000) >= 9
    assert all(index.slots.last_ms[index._keys[key]] >= START_MS + 10 * 60_000 for key in index.session_keys())


def test_nonsense_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="sessions_per_item is 0"):
        SessionIndex(sessions_per_item=0)


@pytest.mark.parametrize("sessions_per_item", [2, 5, 500])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_growing_sessions_equals_a_rebuild_from_last_values(seed: int, sessions_per_item: int) -> None:
    sessions = random_sessions(120, 12, seed)
    chance = random.Random(seed)
    puts = [(key, events[:length]) for key, events in sessions for length in range(1, len(events) + 1)]
    # Sessions interleave at random, each growing in its own order.
    order = sorted(range(len(puts)), key=lambda _: chance.random())
    by_key: dict[str, list[Session]] = {}
    for key, value in puts:
        by_key.setdefault(key, []).append(value)
    index = SessionIndex(sessions_per_item)
    for place in order:
        key = puts[place][0]
        value = by_key[key].pop(0)
        index.put(key, value, value[-1][2])
    assert content(index) == content(index_of(sessions, sessions_per_item))


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.lists(st.sampled_from("abcd"), max_size=5), st.integers(0, 9)),
        max_size=40,
    )
)
def test_puts_and_removals_in_any_order_equal_a_rebuild(steps: list[tuple[str, list[str], int]]) -> None:
    index = SessionIndex()
    last: dict[str, tuple[Session, int]] = {}
    totals: dict[tuple[str, int], int] = {}
    names: dict[int, str] = {}  # a number is free, and without a name, when its last event has gone
    for key, items, time in steps:
        value = events(*items, start=START_MS + time)
        names.update({index.number_of[item]: item for item in index.number_of})
        change = index.put(key, value, START_MS + time + len(items))
        for sign, changed in ((1, change.added), (-1, change.removed)):
            for number, time_ms in changed:
                entry = (index.names[number] or names[number], time_ms)
                totals[entry] = totals.get(entry, 0) + sign
        if items:
            last[key] = (value, START_MS + time + len(items))
        else:
            last.pop(key, None)
    rebuilt = SessionIndex()
    for key, (value, last_ms) in last.items():
        rebuilt.put(key, value, last_ms)
    assert content(index) == content(rebuilt)
    for item in index.number_of:
        number = index.number_of[item]
        assert index.item_figures()[2][number] == rebuilt.item_figures()[2][rebuilt.number_of[item]]
        assert index.support(number) == rebuilt.support(rebuilt.number_of[item])
    expected: dict[tuple[str, int], int] = {}
    for value, _ in last.values():
        for item, _, time_ms in value:
            expected[item, time_ms] = expected.get((item, time_ms), 0) + 1
    assert {entry: count for entry, count in totals.items() if count} == expected


def test_support_of_many_equals_support_of_each() -> None:
    index = index_of(random_sessions(50, 8), sessions_per_item=5)
    numbers = np.array(sorted(index.number_of[item] for item in index.number_of))
    assert index.support_of(numbers).tolist() == [index.support(number) for number in numbers.tolist()]
