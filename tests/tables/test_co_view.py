"""Pairs of a session, their decayed weights, and the bounds of a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS
from reco_stream.domain.decay import growth, landmark_of, moved
from tables.co_view import CO_VIEW, CoViewRow, Neighbour, add_pair, age, merge, neighbours, new_row, numbers_of, pairs
from tables.sessions import Visit

NOW_MS = 1_700_000_000_000
HALF_LIFE_MS = 7 * DAY_MS
WINDOW_MS = 30 * DAY_MS
LANDMARK = landmark_of(NOW_MS, HALF_LIFE_MS)


def visits(**weights: float) -> dict[str, Visit]:
    """A session's items, oldest first."""
    return {item: Visit(n, weight, "view") for n, (item, weight) in enumerate(weights.items())}


def row_of(*added: tuple[str, float, int], limit: int = 100) -> CoViewRow:
    row = new_row(LANDMARK, NOW_MS // DAY_MS)
    for other, weight, time_ms in added:
        add_pair(row, other, weight * growth(time_ms, LANDMARK, HALF_LIFE_MS), True, time_ms, limit)
    return row


def read(row: CoViewRow, now_ms: int = NOW_MS, limit: int = 100) -> list[Neighbour]:
    return neighbours(row, now_ms, limit, HALF_LIFE_MS, WINDOW_MS)


def test_a_new_item_pairs_with_the_last_ones_by_the_smaller_weight() -> None:
    found = pairs(visits(a=1.0, b=5.0, c=2.0), "x", 3.0, last=2)
    assert found == [("c", 2.0, True), ("b", 3.0, True)]


def test_an_item_visited_again_adds_what_its_weight_rose_by() -> None:
    found = pairs(visits(x=2.0, a=1.0, b=5.0, c=3.0), "x", 4.0, last=10)
    assert found == [("c", 1.0, False), ("b", 2.0, False)]  # a gave its 1.0 before


def test_an_item_visited_again_without_more_weight_adds_nothing() -> None:
    assert pairs(visits(x=2.0, a=1.0), "x", 2.0, last=10) == []


def test_the_item_itself_takes_no_place_among_the_last() -> None:
    assert [other for other, _, _ in pairs(visits(a=1.0, b=1.0, x=0.5), "x", 1.0, last=2)] == ["b", "a"]


def test_weightless_events_make_no_pair_until_they_weigh_something() -> None:
    assert pairs(visits(a=1.0), "x", 0.0, last=10) == []
    assert pairs(visits(a=0.0), "x", 1.0, last=10) == []
    assert pairs(visits(x=0.0, a=1.0), "x", 2.0, last=10) == [("a", 1.0, True)]


def test_pairs_add_up_decayed() -> None:
    row = row_of(("a", 4.0, NOW_MS - HALF_LIFE_MS), ("b", 3.0, NOW_MS), ("a", 2.0, NOW_MS))
    assert [(n.item, n.count, n.last_ms) for n in read(row)] == [("a", 2, NOW_MS), ("b", 1, NOW_MS)]
    assert [n.weight for n in read(row)] == pytest.approx([4.0, 3.0], rel=1e-3)
    assert [n.weight for n in read(row, NOW_MS + HALF_LIFE_MS)] == pytest.approx([2.0, 1.5], rel=1e-3)


def test_a_session_counts_once_and_a_late_event_does_not_turn_back_the_pair() -> None:
    row = row_of(("a", 1.0, NOW_MS))
    add_pair(row, "a", 1.0, False, NOW_MS - 5, 100)
    assert [(n.count, n.last_ms) for n in read(row)] == [(1, NOW_MS)]


def test_equal_weights_are_ordered_by_item() -> None:
    row = row_of(*((other, 1.0, NOW_MS) for other in "cab"))
    assert [n.item for n in read(row, limit=2)] == ["a", "b"]


def test_pairs_outside_the_window_are_not_read() -> None:
    row = row_of(("old", 9.0, NOW_MS - WINDOW_MS - 1), ("new", 1.0, NOW_MS - WINDOW_MS))
    assert [n.item for n in read(row)] == ["new"]


def test_ageing_drops_pairs_outside_the_window_and_keeps_the_others_as_they_were() -> None:
    midnight_ms = NOW_MS - NOW_MS % DAY_MS
    from_ms = midnight_ms - WINDOW_MS
    row = row_of(("old", 9.0, from_ms - 1), ("edge", 1.0, from_ms), ("b", 2.0, NOW_MS))
    wanted = read(row, midnight_ms)
    age(row, LANDMARK, NOW_MS // DAY_MS, WINDOW_MS)
    assert row.others() == ["edge", "b"]
    assert read(row, midnight_ms) == wanted


def test_ageing_moves_weights_to_the_new_landmark() -> None:
    row = row_of(("a", 1.0, NOW_MS), ("b", 2.0, NOW_MS))
    before = numbers_of(row.pairs)
    age(row, LANDMARK + 1, NOW_MS // DAY_MS, WINDOW_MS)
    after = numbers_of(row.pairs)
    assert after[1::3] == before[1::3]
    assert tuple(moved(weight, LANDMARK + 1, LANDMARK) for weight in after[0::3]) == before[0::3]


def test_a_row_too_long_keeps_the_heaviest_and_the_newest() -> None:
    heavy = [(f"heavy{n}", 50.0 + n, NOW_MS - 1000) for n in range(9)]
    light = [(f"light{n}", 1.0, NOW_MS - 900 + n) for n in range(4)]
    row = row_of(*heavy, *light, limit=10)  # the 13th pair is one more than a quarter over
    assert sorted(row.others()) == sorted([f"heavy{n}" for n in range(1, 9)] + ["light2", "light3"])


def test_a_pair_that_begins_survives_to_become_heavy() -> None:
    row = row_of(*((f"old{n}", 100.0, NOW_MS) for n in range(12)), limit=10)
    for n in range(1, 301):
        add_pair(row, "riser", growth(NOW_MS + n, LANDMARK, HALF_LIFE_MS), True, NOW_MS + n, 10)
        add_pair(row, f"once{n}", growth(NOW_MS + n, LANDMARK, HALF_LIFE_MS), True, NOW_MS + n, 10)
    assert read(row, NOW_MS + 301)[0].item == "riser"
    assert read(row, NOW_MS + 301)[0].weight == pytest.approx(300, rel=1e-3)


def test_hot_item_stays_small() -> None:
    row = new_row(LANDMARK, 0)
    for n in range(20_000):
        add_pair(row, f"item-{n % 7_000}", float(n % 11 + 1), True, NOW_MS + n, 100)
        assert len(row) <= 125
    assert len(row.others()) == len(row)
    assert len(CO_VIEW.encode(row)) < 5_000


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(1, 40).map(lambda n: n / 4), st.integers(0, 5 * DAY_MS)),
    max_size=12,
).map(lambda added: row_of(*((other, weight, NOW_MS - ago_ms) for other, weight, ago_ms in added)))


@given(st.dictionaries(st.integers(0, 11), ROWS, max_size=4), st.integers(0, 2))
def test_merging_adds_weights_and_counts(rows: dict[int, CoViewRow], ahead: int) -> None:
    sums: dict[str, list[float]] = {}
    for row in rows.values():
        for n in read(row):
            known = sums.setdefault(n.item, [0.0, 0, 0])
            sums[n.item] = [known[0] + n.weight, known[1] + n.count, max(known[2], n.last_ms)]
    for row in list(rows.values())[:1]:  # one partition may be a landmark ahead
        age(row, LANDMARK + ahead, NOW_MS // DAY_MS, WINDOW_MS)
    merged = merge(rows)
    assert {n.item: [n.weight, n.count, n.last_ms] for n in read(merged)} == {
        item: [pytest.approx(weight), count, last_ms] for item, (weight, count, last_ms) in sums.items()
    }
    assert CO_VIEW.encode(merge(dict(reversed(rows.items())))) == CO_VIEW.encode(merged)


@given(ROWS)
def test_merging_one_row_gives_its_neighbours(row: CoViewRow) -> None:
    assert read(merge({5: row})) == read(row)


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "11", "111", "21", "é", "日1"]), st.integers(1, 9), st.booleans()), max_size=30
    )
)
def test_pairs_are_found_by_the_whole_name(added: list[tuple[str, int, bool]]) -> None:
    row, wanted = new_row(LANDMARK, 0), dict[str, list[float]]()
    for n, (other, weight, first) in enumerate(added):
        known = wanted.setdefault(other, [0.0, 0.0, 0.0])
        wanted[other] = [known[0] + weight, known[1] + (first or not known[1]), NOW_MS + n]
        add_pair(row, other, weight, first, NOW_MS + n, 100)
    row = CO_VIEW.decode(CO_VIEW.encode(row))
    assert row.others() == list(wanted)
    assert numbers_of(row.pairs) == tuple(number for numbers in wanted.values() for number in numbers)


def test_bytes_are_little_endian_on_every_machine() -> None:
    row = row_of()
    add_pair(row, "a", 1.0, True, 2, 100)
    assert CO_VIEW.encode(row).endswith(b"\0\0\0\0\0\0\xf0\x3f" * 2 + b"\0\0\0\0\0\0\0\x40")


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'a\\x00b' holds a NUL"):
        row_of(("a\0b", 1.0, NOW_MS))
