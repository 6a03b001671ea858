"""recent: what a user touched last, and what the user does not want to see.

One entry an item: the newest `recent_limit` items with time and type of the newest event on each. Items of negative
events (dislike, hide) are excluded until the user's rows expire, the newest `excluded_limit` of them; a negative
event leaves the entries alone, because it counts for nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from reco_stream.engine.table import Table
from reco_stream.events import Event
from tables.rules import TableRules


class Seen(msgspec.Struct, array_like=True, gc=False):
    """The newest event on an item. A struct that the garbage collector need not look at, as there are very many."""

    time_ms: int
    type: str


class RecentRow(msgspec.Struct, array_like=True, gc=False):
    """A user's row. Both dicts run from the oldest time to the newest; equal times are in order of arrival."""

    items: dict[str, Seen] = msgspec.field(default_factory=dict)
    excluded: dict[str, int] = msgspec.field(default_factory=dict)  # item -> time_ms
    newest_ms: int = -1  # of items
    due_day: int = -1  # stream day on which the user's rows are forgotten, -1: not indexed yet (expiry.py)


class RecentItem(NamedTuple):
    """An item that the user touched, with the user's newest event on it."""

    item: str
    time_ms: int
    type: str


RECENT: Table[RecentRow] = Table(
    name="recent",
    prefix=b"r",
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(RecentRow).decode,
)


def see(row: RecentRow, event: Event, rules: TableRules) -> RecentRow:
    """Make the event's item the entry of its time; an event older than the item's entry changes nothing.

    What remains is the newest `recent_limit` items whatever the order of events, but for ties.
    """
    items = row.items
    item, time_ms = event.item, event.time_ms
    if time_ms >= row.newest_ms:
        items.pop(item, None)
        items[item] = Seen(time_ms, event.type)
        row.newest_ms = time_ms
    else:
        known = items.get(item)
        if known is not None and known.time_ms > time_ms:
            return row
        items.pop(item, None)
        row.items = items = _inserted(items, item, Seen(time_ms, event.type))
    if len(items) > rules.recent_limit:
        del items[next(iter(items))]
    return row


def _inserted(items: dict[str, Seen], item: str, entry: Seen) -> dict[str, Seen]:
    """Returns `items` with the entry behind all of its time or older."""
    ordered = [*items.items(), (item, entry)]
    ordered.sort(key=lambda pair: pair[1].time_ms)  # stable
    return dict(ordered)


def exclude(row: RecentRow, event: Event, rules: TableRules) -> RecentRow:
    """Keep the item away from the user; the exclusions of oldest time go when there are more than the limit."""
    excluded = row.excluded
    known = excluded.pop(event.item, event.time_ms)
    excluded[event.item] = max(known, event.time_ms)
    if len(excluded) > 1 and event.time_ms < max(excluded.values()):
        row.excluded = excluded = dict(sorted(excluded.items(), key=lambda pair: pair[1]))
    if len(excluded) > rules.excluded_limit:
        del excluded[next(iter(excluded))]
    return row


def prune(row: RecentRow, before_ms: int) -> RecentRow:
    """Drop the entries older than `before_ms`; exclusions stay."""
    items = row.items
    for item in [item for item, seen in items.items() if seen.time_ms < before_ms]:
        del items[item]
    return row


def newest_first(row: RecentRow) -> Iterator[RecentItem]:
    """Yield the entries, newest first; entries of excluded items are among them."""
    for item, seen in reversed(row.items.items()):
        yield RecentItem(item, seen.time_ms, seen.type)
