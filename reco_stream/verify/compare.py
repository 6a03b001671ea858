"""Comparing rows: what differs, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from reco_stream.engine.table import Table
from tables import ALL_TABLES

ABSENT: Final = "no row"
_SHOWN_CHARACTERS: Final = 300
_TABLES: Final[Mapping[bytes, Table[Any]]] = {table.prefix: table for table in ALL_TABLES}


@dataclass(frozen=True)
class Difference:
    """One value that is not what the log says. `where` names the copy, `table` and `key` the row."""

    where: str
    table: str
    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.where}: {self.table} {self.key!r}: found {self.found}; wanted {self.wanted}"


def compare_rows(where: str, found: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes]) -> Iterator[Difference]:
    """Yields a difference for each key whose encoded rows are not the same bytes, sorted by key."""
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            table = _TABLES.get(key[:1])
            name = table.name if table is not None else f"unknown prefix {key[:1]!r}"
            yield Difference(where, name, key[1:].decode(errors="replace"), *_shown(table, found, wanted, key))


def _shown(
    table: Table[Any] | None, found: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes], key: bytes
) -> tuple[str, str]:
    """Returns both rows as text; when both can be decoded, only the fields that differ."""
    left, right = _fields(table, found.get(key)), _fields(table, wanted.get(key))
    if isinstance(left, dict) and isinstance(right, dict):
        names = [name for name in left if left[name] != right.get(name)]
        if names:
            left, right = ({name: fields.get(name) for name in names} for fields in (left, right))
    return clip(left), clip(right)


def _fields(table: Table[Any] | None, raw: bytes | None) -> Any:
    if raw is None:
        return ABSENT
    if table is None:
        return raw
    try:
        row = table.decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        return f"{raw!r} ({error})"
    if not isinstance(row, msgspec.Struct):
        return row
    return {name: getattr(row, name) for name in row.__struct_fields__}


def clip(value: object) -> str:
    """Returns `value` as text of at most 300 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
