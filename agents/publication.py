"""What is published of changed rows, and how a worker takes it in again: both ends of the same contract in one place.

{app}.item-stats   partition = source partition; key = table prefix + item; value = stamp + row
{app}.sessions     partition = source partition; key = user, NUL, opening time; value = stamp + session
{app}.items        key = item; value = the catalogue's item as JSON
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reco_stream.catalogue import Catalogue
from reco_stream.domain.canary_ids import PREFIX
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.published import Measure, Value
from reco_stream.engine.read_model import Apply, each
from tables.co_view import CO_VIEW
from tables.item_model import ItemModel
from tables.popularity import POPULARITY
from tables.published_rows import measure, values
from tables.sessions import SESSIONS

_CANARY = PREFIX.encode()


class Publication:
    """Which rows others need, and as what values (`PublishesRows`)."""

    prefixes = frozenset([POPULARITY.prefix, CO_VIEW.prefix, SESSIONS.prefix])

    def __init__(self, item_stats_topic: str, sessions_topic: str) -> None:
        self.expand: Callable[[bytes, bytes | None], Sequence[Value]] = partial(
            values, item_stats_topic, sessions_topic
        )
        self.measure: Callable[[bytes, bytes], Measure | None] = measure


def read_item_stats(items: ItemModel) -> Apply:
    """Takes {app}.item-stats into the item model."""
    return items.take


def read_sessions(recommender: Recommender) -> Apply:
    """Takes {app}.sessions into the session index of the default ranker.

    A new owner publishes all that awaited it, so what an older one still gets into the log after that is passed over:
    the highest version of each partition is all that needs to be remembered.
    """
    newest: dict[int, int] = {}

    def apply(partition: int, records: Sequence[Any]) -> None:
        newest[partition] = recommender.take_sessions(records, newest.get(partition, 0), _CANARY)

    return apply


def read_catalogue(catalogue: Catalogue) -> Apply:
    """Takes {app}.items into the local catalogue."""
    return each(lambda partition, key, value: catalogue.update(key.decode(), value))
