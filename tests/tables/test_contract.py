"""What every table promises: rows are a function of the log, wherever it was cut and whatever was written out."""

from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco_stream.engine.table import MemoryRows, Rows, Table
from reco_stream.events import Event
from tables import ALL_TABLES
from tables.fold import fold_event
from tables.rules import TableRules

R = TypeVar("R")
Logs = st.SearchStrategy[list[Event]]

every_table = pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)


def folded(log: list[Event], rules: TableRules, rows: Rows | None = None) -> Rows:
    rows = rows or MemoryRows()
    for event in log:
        fold_event(rows, event, rules)
    return rows


def table_bytes(rows: Rows, table: Table[Any]) -> list[tuple[bytes, bytes]]:
    """The table's rows as stored, in order of key."""
    assert isinstance(rows, MemoryRows)
    return [(key, row) for key, row in rows.snapshot().items() if key[:1] == table.prefix]


def crashed(rows: Rows) -> MemoryRows:
    """What is left of `rows` after a crash: what was written, decoded again."""
    assert isinstance(rows, MemoryRows)
    restored = MemoryRows(rows.stream_time_ms)
    tables = {table.prefix: table for table in ALL_TABLES}
    for key, row in rows.snapshot().items():
        table = tables[key[:1]]
        restored.put(table, key[1:].decode(), table.decode(row))
    return restored


class WrittenRows(MemoryRows):
    """Rows that are encoded by each put and decoded by each get: what was not put is lost."""

    def get(self, table: Table[R], key: str) -> R | None:
        row: Any = super().get(table, key)
        return None if row is None else table.decode(row)

    def put(self, table: Table[R], key: str, row: R) -> None:
        data: Any = table.encode(row)
        super().put(table, key, data)

    def snapshot(self) -> dict[bytes, bytes]:
        encoded = {t.prefix + key.encode(): row for t in ALL_TABLES for key, row in self.items(t)}
        return dict(sorted(encoded.items()))


@every_table
@settings(max_examples=40)
@given(data=st.data())
def test_a_crash_anywhere_changes_nothing(
    table: Table[Any], data: st.DataObject, logs: Logs, small_rules: TableRules
) -> None:
    log = data.draw(logs)
    cut = data.draw(st.integers(0, len(log)))
    whole = folded(log, small_rules)
    again = folded(log[cut:], small_rules, crashed(folded(log[:cut], small_rules)))
    assert table_bytes(again, table) == table_bytes(whole, table)
    assert again.stream_time_ms == whole.stream_time_ms


@every_table
@settings(max_examples=40)
@given(data=st.data())
def test_writing_and_reading_each_row_of_each_event_gives_the_same_bytes(
    table: Table[Any], data: st.DataObject, logs: Logs, small_rules: TableRules
) -> None:
    log = data.draw(logs)
    written = folded(log, small_rules, WrittenRows())
    assert table_bytes(written, table) == table_bytes(folded(log, small_rules), table)


@every_table
@settings(max_examples=40)
@given(data=st.data())
def test_codecs_are_inverse(table: Table[Any], data: st.DataObject, logs: Logs, small_rules: TableRules) -> None:
    rows = folded(data.draw(logs), small_rules)
    assert isinstance(rows, MemoryRows)
    for _, row in rows.items(table):
        assert table.decode(table.encode(row)) == row


@every_table
@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\xc0", b"\x9f"], ids=["empty", "invalid", "other", "cut"])
def test_bytes_that_are_no_row_are_refused(table: Table[Any], data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        table.decode(data)


def test_tables_have_names_and_prefixes_of_their_own() -> None:
    assert len({table.name for table in ALL_TABLES}) == len(ALL_TABLES)
    assert len({table.prefix for table in ALL_TABLES}) == len(ALL_TABLES)


def test_every_table_has_rows_in_a_mixed_log(small_rules: TableRules) -> None:
    """Guards the tests above: a table without rows would pass them all."""
    log = [Event("u", item, "view", 1_700_000_000_000 + n, 1.0, event_id=item) for n, item in enumerate("abc", start=1)]
    rows = folded(log, small_rules)
    assert all(table_bytes(rows, table) for table in ALL_TABLES)
