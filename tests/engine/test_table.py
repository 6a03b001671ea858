"""The dictionary-backed rows behave as the protocol says, so that folds tested on them hold on the store too."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.engine import table as table_module
from reco_stream.engine.table import MemoryRows, Rows, Table

TEXT: Table[str] = Table("text", b"t", str.encode, bytes.decode)
OTHER: Table[str] = Table("other", b"o", str.encode, bytes.decode)


def test_doctests() -> None:
    result = doctest.testmod(table_module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("prefix", [b"", b"ab"])
def test_a_prefix_is_one_byte(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="one byte"):
        Table("text", prefix, str.encode, bytes.decode)


def test_tables_share_no_keys() -> None:
    rows: Rows = MemoryRows()
    rows.put(TEXT, "k", "text")
    rows.put(OTHER, "k", "other")
    rows.delete(TEXT, "k")
    assert rows.get(TEXT, "k") is None
    assert rows.get(OTHER, "k") == "other"


def test_deleting_what_is_not_there_is_no_error() -> None:
    rows = MemoryRows()
    rows.delete(TEXT, "k")
    assert rows.snapshot() == {}


OPERATIONS = st.lists(st.tuples(st.sampled_from(["put", "delete", "first"]), st.text("abc", max_size=2)), max_size=60)


@given(OPERATIONS, st.integers(1, 4))
def test_first_keys_are_the_sorted_keys_below(operations: list[tuple[str, str]], limit: int) -> None:
    rows = MemoryRows()
    model: set[str] = set()
    for kind, key in operations:
        if kind == "put":
            rows.put(TEXT, key, "row")
            model.add(key)
        elif kind == "delete":
            rows.delete(TEXT, key)
            model.discard(key)
        else:
            assert rows.first_keys(TEXT, key, limit) == sorted(k for k in model if k < key)[:limit]
    assert rows.first_keys(TEXT, "d", 100) == sorted(model)
    assert {key for key, _ in rows.items(TEXT)} == model
