"""The same rules over another engine's key-value store: each read decodes a row, each change encodes one.

The user index for expiry is left out (no row of a benchmark's log grows so old), and stream time is kept in memory:
both in favour of the engine that is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reco_stream.engine.table import Table
from reco_stream.events import Event
from tables.expiry import EXPIRY, SWEPT_KEY
from tables.fold import fold_event
from tables.rules import TableRules

R = TypeVar("R")

Get = Callable[[str, str], bytes | None]
Put = Callable[[str, str, bytes], None]


class StoredRows:
    """`Rows` of one partition in a store that is read by `get(table, key)` and written by `put(table, key, bytes)`."""

    def __init__(self) -> None:
        self.stream_time_ms = 0
        self._get: Get = lambda table, key: None
        self._put: Put = lambda table, key, value: None
        self._swept: Any = None

    def apply(self, event: Event, rules: TableRules, get: Get, put: Put) -> None:
        """Folds one event into the rows of the store."""
        self._get, self._put = get, put
        fold_event(self, event, rules)

    def get(self, table: Table[R], key: str) -> R | None:
        if table is EXPIRY:
            return self._swept if key == SWEPT_KEY else None
        raw = self._get(table.name, key)
        return None if raw is None else table.decode(raw)

    def put(self, table: Table[R], key: str, row: R) -> None:
        if table is not EXPIRY:
            self._put(table.name, key, table.encode(row))
        elif key == SWEPT_KEY:
            self._swept = row

    def delete(self, table: Table[Any], key: str) -> None:
        if table is not EXPIRY:
            raise RuntimeError(f"{table.name}: a benchmark's log expires no user, found {key!r}")

    def first_keys(self, table: Table[Any], below: str, limit: int) -> list[str]:
        return []
