"""The tables of one partition: one file a table, with its row, codec, key prefix and rule.

`ALL_TABLES` lists them, `fold.fold_event` is the one way to change them, and `fingerprint` names the state that a set
of rules leads to.
"""

from collections.abc import Mapping
from dataclasses import fields
from hashlib import blake2b
from typing import Any, Final

import msgspec

from reco_stream.engine.table import Table
from tables.co_view import CO_VIEW
from tables.dedupe import DEDUPE
from tables.expiry import EXPIRY
from tables.popularity import POPULARITY
from tables.recent import RECENT
from tables.rules import TableRules
from tables.sessions import SESSIONS

__all__ = ["ALL_TABLES", "TableRules", "describe", "fingerprint"]

ALL_TABLES: Final[tuple[Table[Any], ...]] = (RECENT, SESSIONS, POPULARITY, CO_VIEW, DEDUPE, EXPIRY)


def describe(rules: TableRules) -> dict[str, str]:
    """Return all that decides what the rows look like: table versions and rules, by name, as text to compare."""
    described = {
        f"table {table.name}": f"version {table.version}, prefix {table.prefix.decode()}" for table in ALL_TABLES
    }
    for field in fields(rules):
        value = getattr(rules, field.name)
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {weight:g}" for name, weight in sorted(value.items()))
        elif isinstance(value, frozenset):
            value = ", ".join(sorted(value))
        described[field.name] = str(value)
    return described


def fingerprint(rules: TableRules) -> str:
    """Return 16 hex digits that differ for state that another description leads to."""
    return blake2b(msgspec.json.encode(describe(rules), order="sorted"), digest_size=8).hexdigest()
