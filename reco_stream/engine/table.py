"""What a table is, and what a fold sees of one partition's rows.

A rule `new_row = f(row, event, ...)` owns the row it is given: it may change it in place and return it, because
copying a 100-entry row ten times an event costs more than the rest of the fold. Whoever runs a fold therefore throws
away every row it touched when a rule raises, and never goes on with them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Generic, Protocol, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Table(Generic[R]):
    """A kind of row: its name, its key space in a partition's store, and its codec.

    `prefix` is the one byte in front of each key (UTF-8) in the store and in the changelog. `decode(encode(row))`
    must fold on exactly like `row` itself, and the same events must give the same bytes on every machine. Raise
    `version` when bytes written by older code would be read wrongly: it is part of the fingerprint that refuses such
    state.

    Tables compare and hash by identity, so that a table is a cheap dictionary key.
    """

    name: str
    prefix: bytes
    encode: Callable[[R], bytes]
    decode: Callable[[bytes], R]
    version: int = 1

    def __post_init__(self) -> None:
        if len(self.prefix) != 1:
            raise ValueError(f"table {self.name!r}: prefix must be one byte, got {self.prefix!r}")


class ReadableRows(Protocol):
    """Rows of one partition that can be looked at."""

    def get(self, table: Table[R], key: str, /) -> R | None:
        """Return the row or None."""


class Rows(Protocol):
    """The decoded rows of one partition, as a fold in Python sees them.

    `stream_time_ms` is the highest event time applied, the event being folded included.
    """

    stream_time_ms: int

    def get(self, table: Table[R], key: str) -> R | None:
        """Return the row, which the caller may change in place if it puts it back, or None."""

    def put(self, table: Table[R], key: str, row: R) -> None:
        """Keep `row` and mark it dirty; also needed after a change in place."""

    def delete(self, table: Table[Any], key: str) -> None:
        """Remove the row; a key without one is no error."""

    def first_keys(self, table: Table[Any], below: str, limit: int) -> list[str]:
        """Return up to `limit` keys < `below`, ascending by code point, including every put and delete so far."""


class MemoryRows:
    """Rows kept decoded in dictionaries: for tests, verification and evaluation.

    >>> TEXT = Table("text", b"t", str.encode, bytes.decode)
    >>> rows = MemoryRows()
    >>> rows.put(TEXT, "a", "1")
    >>> rows.get(TEXT, "a"), rows.get(TEXT, "b"), rows.first_keys(TEXT, "b", 9)
    ('1', None, ['a'])
    >>> rows.snapshot()
    {b'ta': b'1'}
    """

    def __init__(self, stream_time_ms: int = 0) -> None:
        self.stream_time_ms = stream_time_ms
        self._rows: dict[Table[Any], dict[str, Any]] = {}
        self._heaps: dict[Table[Any], list[str]] = {}  # of tables asked for first_keys; may hold deleted keys

    def get(self, table: Table[R], key: str) -> R | None:
        """Return the row or None."""
        rows = self._rows.get(table)
        return None if rows is None else rows.get(key)

    def put(self, table: Table[R], key: str, row: R) -> None:
        """Keep `row` under `key`."""
        rows = self._rows.get(table)
        if rows is None:
            rows = self._rows[table] = {}
        if table in self._heaps and key not in rows:
            heappush(self._heaps[table], key)
        rows[key] = row

    def delete(self, table: Table[Any], key: str) -> None:
        """Remove the row if there is one."""
        self._rows.get(table, {}).pop(key, None)

    def first_keys(self, table: Table[Any], below: str, limit: int) -> list[str]:
        """Return up to `limit` keys < `below`, ascending; O(limit log n) but for the first call on a table."""
        rows = self._rows.get(table, {})
        heap = self._heaps.get(table)
        if heap is None:
            heap = self._heaps[table] = list(rows)
            heapify(heap)
        found: list[str] = []
        while heap and len(found) < limit and heap[0] < below:
            key = heappop(heap)
            if key in rows and (not found or found[-1] != key):
                found.append(key)
        for key in found:
            heappush(heap, key)
        return found

    def items(self, table: Table[R]) -> Iterator[tuple[str, R]]:
        """Yield each (key, row) of `table` in no particular order."""
        yield from self._rows.get(table, {}).items()

    def snapshot(self) -> dict[bytes, bytes]:
        """Return every row as a store would hold it: prefix + key -> encoded row, sorted by key."""
        encoded = {
            table.prefix + key.encode(): table.encode(row)
            for table, rows in self._rows.items()
            for key, row in rows.items()
        }
        return dict(sorted(encoded.items()))
