"""Row cache: the decoded rows of one partition that a fold reads and changes between two checkpoints.

A row is decoded once when it is first read and encoded once a micro-batch when it changed, however many events
touched it. Rules own the rows that they are given and may change them in place, so what a checkpoint has not
written can only be dropped whole (`discard`), never row by row.
"""

from __future__ import annotations

from typing import Any, TypeVar

from reco_stream.engine.errors import StoreFailed
from reco_stream.engine.store import PartitionStore, Record
from reco_stream.engine.table import Table

R = TypeVar("R")

_MISSING: Any = object()
# Of the dictionary; measured on globo.
_ENTRY_BYTES = 250


class _Space:
    """The rows of one table that are in memory, `None` for one that does not exist."""

    __slots__ = ("dirty", "none_below", "old", "seen_bytes", "seen_rows", "table", "young")

    def __init__(self, table: Table[Any]) -> None:
        self.table = table
        self.seen_rows = self.seen_bytes = 0
        self.forget()

    def forget(self) -> None:
        self.old: dict[str, Any] = {}
        self.forget_young()

    def forget_young(self) -> None:
        self.young: dict[str, Any] = {}
        self.dirty: dict[str, Any] = {}
        # No row sorts before this key. The sweep asks after every event, an iterator costs 9 us.
        self.none_below = ""

    def young_bytes(self) -> int:
        """Estimate: rows lately read from the store or encoded are as large as the others."""
        return len(self.young) * (_ENTRY_BYTES + self.table.growth * self.seen_bytes // max(1, self.seen_rows))

    def turn(self) -> None:
        """Makes the young rows old; the old ones are forgotten."""
        self.old, self.young = self.young, {}
        self.seen_rows //= 2
        self.seen_bytes //= 2


class RowCache:
    """Decoded rows over a store, within about `budget_bytes`; implements `Rows`.

    Two generations bound the memory at constant cost: rows touched since the last turn are young, the others old;
    when the young ones exceed half of the budget the old ones are forgotten.
    """

    def __init__(self, store: PartitionStore, budget_bytes: int) -> None:
        self._store = store
        self._half_budget = budget_bytes // 2
        self._spaces: dict[Table[Any], _Space] = {}
        self.stream_time_ms = 0
        self._saved_stream_time_ms = 0

    def resize(self, budget_bytes: int) -> None:
        """Changes the budget, from the next micro-batch on."""
        self._half_budget = budget_bytes // 2

    def begin(self, stream_time_ms: int) -> None:
        """Starts a micro-batch: nothing is dirty, and the stream time is the marker's."""
        self.stream_time_ms = self._saved_stream_time_ms = stream_time_ms
        spaces = self._spaces.values()
        for space in spaces:
            space.dirty = {}
        if sum(space.young_bytes() for space in spaces) > self._half_budget:
            for space in spaces:
                space.turn()

    def _space(self, table: Table[Any]) -> _Space:
        space = self._spaces[table] = _Space(table)
        return space

    def get(self, table: Table[R], key: str) -> R | None:
        space = self._spaces.get(table) or self._space(table)
        row = space.young.get(key, _MISSING)
        if row is not _MISSING:
            return row  # type: ignore[no-any-return]
        return self._load(space, key)  # type: ignore[no-any-return]

    def _load(self, space: _Space, key: str) -> Any:
        row = space.old.pop(key, _MISSING)
        if row is _MISSING:
            raw = self._store.get(space.table.prefix + key.encode())
            space.seen_rows += 1
            row = None
            if raw is not None:
                space.seen_bytes += len(raw)
                row = _decoded(space.table, key, raw)
        space.young[key] = row
        return row

    def put(self, table: Table[R], key: str, row: R) -> None:
        space = self._spaces.get(table) or self._space(table)
        space.dirty[key] = row
        young = space.young
        known = young.get(key, _MISSING)
        if known is row and row is not None:
            return  # changed in place, nine times of ten
        if known is _MISSING and space.old:
            space.old.pop(key, None)  # not read before: an older copy would come back after a discard
        young[key] = row
        if key < space.none_below:
            space.none_below = ""

    def delete(self, table: Table[Any], key: str) -> None:
        self.put(table, key, None)

    def first_keys(self, table: Table[Any], below: str, limit: int) -> list[str]:
        """Ascending keys under `below`, as the fold so far sees them: stored rows, less and plus what is dirty."""
        space = self._spaces.get(table) or self._space(table)
        if below <= space.none_below:
            return []
        dirty = space.dirty
        found = sorted(key for key, row in dirty.items() if key < below and row is not None)
        # The dirty keys can hide at most len(dirty) stored ones, so limit + len(dirty) stored keys are enough.
        wanted = limit + len(dirty)
        for raw, _ in self._store.scan(table.prefix, table.prefix + below.encode()):
            key = raw[1:].decode()
            if key not in dirty:
                found.append(key)
            wanted -= 1
            if wanted <= 0:
                break
        if not found:
            space.none_below = below
        return sorted(found)[:limit]

    def encode_dirty(self) -> list[Record]:
        """Rows changed since `begin`, encoded, table by table in the order of their first change; None where
        deleted."""
        records: list[Record] = []
        for space in self._spaces.values():
            prefix, encode = space.table.prefix, space.table.encode
            rows = [(prefix + key.encode(), None if row is None else encode(row)) for key, row in space.dirty.items()]
            space.seen_rows += len(rows)
            space.seen_bytes += sum([len(row) for _, row in rows if row is not None])
            records += rows
        return records

    def discard(self) -> None:
        """Forgets every row that may differ from the store, as if the micro-batch had not begun."""
        # A rule that raised may have changed a row that it read and not yet put, so all rows read count as changed;
        # every one of them is young, and reading moves a row out of the old generation.
        for space in self._spaces.values():
            space.forget_young()
        self.stream_time_ms = self._saved_stream_time_ms

    def clear(self) -> None:
        """Forgets everything, because the store was changed by somebody else (recovery)."""
        for space in self._spaces.values():
            space.forget()


def _decoded(table: Table[R], key: str, raw: bytes) -> R:
    try:
        return table.decode(raw)
    except Exception as error:
        raise StoreFailed(f"{table.name} {key!r}: its stored row cannot be decoded: {error!r}") from error
