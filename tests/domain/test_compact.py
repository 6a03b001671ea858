"""Numbers do what a dictionary and a list do; rows come back byte for byte, whatever their form."""

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_stream.domain.buckets import Cell, add
from reco_stream.domain.compact import CoViewRows, Numbers, PopularityRows
from tables.co_view import CO_VIEW, CoViewRow
from tables.popularity import POPULARITY, PopularityRow, Tally

TEXTS = st.one_of(st.sampled_from(["", "a", "b", "ä", "x" * 254, "y" * 255, "z" * 70_000]), st.text(max_size=12))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.booleans(), TEXTS), max_size=60))
def test_numbers_are_those_of_a_dictionary(steps: list[tuple[bool, str]]) -> None:
    numbers, known = Numbers(), dict[str, int]()
    free: list[int] = []
    for put, text in steps:
        if put:
            expected = known.get(text)
            if expected is None:
                expected = free.pop() if free else len(known)
            assert numbers.add(text) == expected
            known[text] = expected
        elif text in known:
            numbers.remove(known[text])
            free.append(known.pop(text))
    assert len(numbers) == len(known)
    assert len(numbers.names) == len(known) + len(free)
    assert list(numbers) == sorted(known, key=known.__getitem__)
    assert numbers.known([*known, "nobody knows this", *known]) == [*known.values(), *known.values()]
    assert numbers.add_all(list(known)) == list(known.values())
    for text, number in known.items():
        assert text in numbers
        assert numbers[text] == numbers.get(text) == number
        assert numbers.names[number] == text
    assert [numbers.names[number] for number in free] == [""] * len(free)


def test_many_numbers_come_and_go() -> None:
    numbers = Numbers()
    for number in range(20_000):
        assert numbers.add(f"item-{number}") == number
    before = numbers.nbytes
    for number in range(0, 20_000, 3):
        numbers.remove(number)
    for number in range(0, 20_000, 3):
        numbers.add(f"more-{number}")
    assert all(f"item-{number}" in numbers for number in range(20_000) if number % 3)
    assert not any(f"item-{number}" in numbers for number in range(0, 20_000, 3))
    assert {numbers[f"more-{number}"] for number in range(0, 20_000, 3)} == set(range(0, 20_000, 3))
    assert numbers.nbytes < before * 1.2
    assert before < 20_000 * 40


def test_numbers_refuse_what_is_not_there() -> None:
    numbers = Numbers()
    assert numbers.get("a") is None
    assert numbers.get("a", -1) == -1
    with pytest.raises(KeyError):
        numbers["a"]
    with pytest.raises(ValueError, match="not in use"):
        numbers.remove(0)
    with pytest.raises(IndexError):
        numbers.names[0]


WEIGHTS = st.one_of(st.integers(0, 9).map(float), st.floats(), st.just(-0.0))
TIMES = st.one_of(st.integers(-1, 2**41), st.integers(0, 500_000).map(lambda hour: hour * 3_600_000))
TALLIES = st.dictionaries(
    st.sampled_from(["view", "cart", "a" * 40]), st.builds(Tally, st.integers(0, 2**40), WEIGHTS), max_size=3
)
CELLS = st.lists(
    st.builds(Cell, st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 2**32 - 1), WEIGHTS),
    max_size=4,
    unique_by=lambda cell: cell[:2],  # two would be added up, past what fits
).map(lambda cells: add(b"", cells))
POPULAR = st.builds(
    PopularityRow, WEIGHTS, TIMES, WEIGHTS, TIMES, st.integers(0, 2**33), TALLIES, TIMES, TALLIES, CELLS, CELLS
)


@settings(max_examples=150)
@given(POPULAR)
def test_popularity_rows_come_back(row: PopularityRow) -> None:
    rows = PopularityRows()
    encoded = POPULARITY.encode(row)
    rows.put(3, 1, 1, 1, encoded)
    assert rows.get(3, 1) == encoded


def co_view_row(landmark: int, day: int, pairs: dict[str, tuple[float, float, float]]) -> CoViewRow:
    packed = b"".join(pack("<ddd", *pair) for pair in pairs.values())
    return CoViewRow(landmark, day, "\0".join(pairs), bytearray(packed))


PAIRS = st.dictionaries(
    st.sampled_from(["a", "b", "ö", "i1000000", ""]) | st.text("xyz", min_size=1, max_size=300),
    st.tuples(
        st.sampled_from([1.0, 2.5]) | st.floats(),
        st.sampled_from([1.0, 2.0, 0.5]) | st.integers(0, 2**53).map(float),
        st.sampled_from([1.7e12, 1.7e12 + 1]) | st.integers(0, 2**53).map(float) | st.just(-1.0),
    ),
    max_size=8,
)


@settings(max_examples=150)
@given(TIMES, st.integers(-1, 30_000), PAIRS)
def test_co_view_rows_come_back(landmark: int, day: int, pairs: dict[str, tuple[float, float, float]]) -> None:
    rows = CoViewRows(Numbers())
    encoded = CO_VIEW.encode(co_view_row(landmark, day, pairs))
    rows.put(0, 1, 1, 1, encoded)
    assert rows.get(0, 1) == encoded


@given(st.binary(min_size=1, max_size=40))
def test_whatever_else_is_kept_as_it_is(row: bytes) -> None:
    popularity, co_view = PopularityRows(), CoViewRows(Numbers())
    for rows in (popularity, co_view):
        rows.put(0, 0, 0, 0, row)
        assert rows.get(0, 0) == row


def test_an_ordinary_row_takes_a_third() -> None:
    hour_ms = 1_760_000_400_000
    row = PopularityRow(1.0, hour_ms + 5, 0.123, hour_ms, 1, {"view": Tally(1, 1.0)}, hour_ms // 3_600_000)
    row.open = {"view": Tally(1, 1.0)}
    popularity, numbers = PopularityRows(), Numbers()
    co_view = CoViewRows(numbers)
    pairs = {f"item-{number}": (0.123 * (number // 2), 1.0, float(hour_ms + number // 2)) for number in range(6)}
    for number in range(1_000):
        popularity.put(number, 0, 1, number, POPULARITY.encode(row))
        co_view.put(number, 0, 1, number, CO_VIEW.encode(co_view_row(hour_ms, 20_370, pairs)))
    assert popularity.nbytes < 0.5 * 1_000 * len(POPULARITY.encode(row))
    assert co_view.nbytes < 0.4 * 1_000 * len(CO_VIEW.encode(co_view_row(hour_ms, 20_370, pairs)))
    assert sorted(numbers) == sorted(pairs)


UPDATES = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 300), st.integers(0, 2) | st.just(2**64 - 1), st.integers(-1, 5), st.binary()
    ),
    max_size=40,
)


@settings(max_examples=100)
@given(UPDATES)
def test_the_highest_version_of_each_partition_stays(updates: list[tuple[int, int, int, int, bytes]]) -> None:
    rows = PopularityRows()
    known: dict[int, dict[int, tuple[int, int, bytes]]] = {}
    for number, partition, epoch, applied, row in updates:
        of_number = known.setdefault(number, {})
        newer = partition not in of_number or (epoch, applied) > of_number[partition][:2]
        assert rows.put(number, partition, epoch, applied, row) == newer
        if newer:
            of_number[partition] = (epoch, applied, row)
    for number, of_number in known.items():
        live = [(partition, row) for partition, (_, _, row) in sorted(of_number.items()) if row]
        assert rows.rows(number) == [row for _, row in live]
        assert all(rows.get(number, partition) == row for partition, row in live)
    assert len(rows) == sum(any(row for *_, row in of_number.values()) for of_number in known.values())
    assert rows.rows(77) == []
    assert rows.get(77, 0) == b""


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="wanted 5 arguments, found 1"):
        PopularityRows().put(1)  # type: ignore[call-arg]
    with pytest.raises(OverflowError):
        PopularityRows().put(-1, 0, 0, 0, b"")
    with pytest.raises(TypeError):
        CoViewRows({})  # type: ignore[arg-type]
