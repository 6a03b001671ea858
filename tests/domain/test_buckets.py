"""Packed cells are a dictionary of sums, and window sums are the ones anybody would write."""

import doctest
from collections import defaultdict
from struct import error as StructError  # noqa: N812

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain import buckets
from reco_stream.domain.buckets import Cell, CellWeights, add, append, share, split, unpack

CELLS = st.builds(
    Cell, st.integers(0, 30), st.integers(0, 3), st.integers(0, 9), st.integers(0, 64).map(lambda n: n / 4)
)
LISTS = st.lists(CELLS, max_size=20)


def test_doctests() -> None:
    result = doctest.testmod(buckets)
    assert result.attempted > 0
    assert result.failed == 0


@given(LISTS, LISTS)
def test_adding_sums_cells_of_the_same_bucket_and_kind(first: list[Cell], second: list[Cell]) -> None:
    sums: dict[tuple[int, int], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for bucket, kind, events, weight in first + second:
        known = sums[bucket, kind]
        sums[bucket, kind] = (known[0] + events, known[1] + weight)
    wanted = [Cell(*key, *values) for key, values in sorted(sums.items())]
    assert list(unpack(add(add(b"", first), second))) == wanted


@given(LISTS, st.integers(0, 31))
def test_splitting_parts_old_cells_from_the_rest(cells: list[Cell], first_bucket: int) -> None:
    packed = add(b"", cells)
    old, rest = split(packed, first_bucket)
    assert old + rest == packed
    assert all(cell.bucket < first_bucket for cell in unpack(old))
    assert all(cell.bucket >= first_bucket for cell in unpack(rest))


@given(LISTS)
def test_appending_a_later_cell_is_adding_it(cells: list[Cell]) -> None:
    later = Cell(31, 2, 1, 0.5)
    assert append(add(b"", cells), later) == add(add(b"", cells), [later])


@given(st.lists(LISTS, min_size=1, max_size=5), st.integers(0, 3_500), st.sampled_from([1, 24]))
def test_sums_of_many_are_the_sums_of_each(many: list[list[Cell]], from_ms: int, each: int) -> None:
    wanted = [
        sum(share(cell.bucket // each, 100, from_ms) * cell.weight for cell in unpack(add(b"", cells)))
        for cells in many
    ]
    found = CellWeights([add(b"", cells) for cells in many]).since(from_ms, 100, each)
    assert found.tolist() == pytest.approx(wanted)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(StructError):
        add(b"", [Cell(1 << 32, 0, 1, 1.0)])
