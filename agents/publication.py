"""What is published of changed rows, and how a worker takes it in again: both ends of the same contract in one place.

{app}.item-stats   partition = source partition; key = table prefix + item; value = stamp + row
{app}.sessions     partition = source partition; key = user, NUL, opening time; value = stamp + session
{app}.items        key = item; value = the catalogue's item as JSON
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from reco_stream.catalogue import Catalogue
from reco_stream.domain.canary_ids import PREFIX, is_canary
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.published import Measure, Value, unseal
from reco_stream.engine.read_model import Apply
from reco_stream.engine.table import Table
from tables.co_view import CO_VIEW
from tables.item_model import ItemModel
from tables.popularity import POPULARITY
from tables.published_rows import measure, values
from tables.sessions import SESSIONS

_ITEM_TABLES: dict[bytes, Table[object]] = {table.prefix: table for table in (POPULARITY, CO_VIEW)}  # type: ignore[misc]
_CANARY = PREFIX.encode()


class Publication:
    """Which rows others need, and as what values (`PublishesRows`)."""

    prefixes = frozenset([*_ITEM_TABLES, SESSIONS.prefix])

    def __init__(self, item_stats_topic: str, sessions_topic: str) -> None:
        self.expand: Callable[[bytes, bytes | None], Sequence[Value]] = partial(
            values, item_stats_topic, sessions_topic
        )
        self.measure: Callable[[bytes, bytes], Measure | None] = measure


def read_item_stats(items: ItemModel) -> Apply:
    """Takes {app}.item-stats into the item model."""

    def apply(partition: int, key: bytes, value: bytes | None) -> None:
        table, item = _ITEM_TABLES[key[:1]], key[1:].decode()
        if value is None or (is_canary(item) and table is POPULARITY):
            return  # what has no popularity is in no list of popular items
        stamp, row = unseal(value)
        items.update(table, partition, item, row, (stamp.version, stamp.applied), stamp.stream_time_ms)

    return apply


def read_sessions(recommender: Recommender) -> Apply:
    """Takes {app}.sessions into the session index of the default ranker.

    A new owner publishes all that awaited it, so what an older one still gets into the log after that is passed over:
    the highest version of each partition is all that needs to be remembered.
    """
    newest: dict[int, int] = {}

    def apply(partition: int, key: bytes, value: bytes | None) -> None:
        if key.startswith(_CANARY):
            return
        if value is None:
            recommender.remove_session(key.decode())
            return
        stamp, row = unseal(value)
        if stamp.version < newest.get(partition, 0):
            return
        newest[partition] = stamp.version
        recommender.update_session_row(key, row)

    return apply


def read_catalogue(catalogue: Catalogue) -> Apply:
    """Takes {app}.items into the local catalogue."""

    def apply(partition: int, key: bytes, value: bytes | None) -> None:
        catalogue.update(key.decode(), value)

    return apply
