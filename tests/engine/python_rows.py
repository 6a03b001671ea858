"""Rows of a partition for tables that are written in Python: what tests of the engine and of the compiled fold use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.table import Table

R = TypeVar("R")

_MISSING: Any = object()


class FoldsInRuns:
    """The half of a Processor that folds many records, for those that fold one."""

    fold: Callable[[PythonRows, Any], Any]

    def fold_plain(self, rows: PythonRows, records: Sequence[Any], start: int, stop: int) -> int:
        """A record that is rejected ends the run, and is rejected again when it is folded by itself."""
        for at in range(start, stop):
            if self.fold(rows, records[at]) is not None:
                return at
        return stop


class DictStore(PartitionStore):
    """What rows ask of a partition store, in memory, and how often it was read."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.gets = self.scans = 0

    def get(self, key: bytes) -> bytes | None:
        self.gets += 1
        return self.rows.get(key)

    def scan(self, prefix: bytes, below: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        self.scans += 1
        for key in sorted(self.rows):
            if key.startswith(prefix) and (below is None or key < below):
                yield key, self.rows[key]

    def put(self, records: list[Record]) -> None:
        for key, value in records:
            self.rows.pop(key, None)
            if value is not None:
                self.rows[key] = value


class PythonRows:
    """Decoded rows over a store, kept without a bound: `Rows` for rules in Python, `PartitionRows` for the engine."""

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self._rows: dict[tuple[Table[Any], str], Any] = {}
        self._dirty: dict[tuple[Table[Any], str], None] = {}
        self.left: list[Record] = []  # what rules say has left its row
        self.stream_time_ms = self._saved_stream_time_ms = 0

    def resize(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes  # not kept to

    def begin(self, stream_time_ms: int) -> None:
        self.stream_time_ms = self._saved_stream_time_ms = stream_time_ms
        self._dirty, self.left = {}, []

    def get(self, table: Table[R], key: str) -> R | None:
        row = self._rows.get((table, key), _MISSING)
        if row is _MISSING:
            raw = self._store.get(table.prefix + key.encode())
            row = self._rows[table, key] = None if raw is None else table.decode(raw)
        return row  # type: ignore[no-any-return]

    def put(self, table: Table[R], key: str, row: R | None) -> None:
        self._rows[table, key] = row
        self._dirty[table, key] = None

    def delete(self, table: Table[Any], key: str) -> None:
        self.put(table, key, None)

    def first_keys(self, table: Table[Any], below: str, limit: int) -> list[str]:
        dirty = {key: self._rows[changed, key] for changed, key in self._dirty if changed is table}
        stored = [raw[1:].decode() for raw, _ in self._store.scan(table.prefix, table.prefix + below.encode())]
        found = [key for key in stored if key not in dirty]
        found += [key for key, row in dirty.items() if key < below and row is not None]
        return sorted(found)[:limit]

    def encode_dirty(self) -> list[Record]:
        rows = [(table, key, self._rows[table, key]) for table, key in self._dirty]
        return [(table.prefix + key.encode(), None if row is None else table.encode(row)) for table, key, row in rows]

    def leaving(self) -> list[Record]:
        return self.left

    def discard(self) -> None:
        self._forget()  # a rule that raised may have changed rows that it had only read
        self.stream_time_ms = self._saved_stream_time_ms

    def clear(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._rows, self._dirty, self.left = {}, {}, []
