"""Index from an item to the newest sessions that hold it, kept while the sessions are still going on.

Fed with absolute values: a session is put whole, again and again while it grows, and the last value counts. So the
index is a function of the last value of every key, whatever the order in which they came: a rebuild gives an equal
index.

Bounds. An item has at most 2 m postings, cut back to the newest m (m = 500) when full; a query sees the newest m. A
session that no posting refers to any more is dropped once it is two hours old in stream time. With S sessions kept, E
their events, I items and P = sum over items of min(2 m, sessions of the item):

    bytes <= 12 E' + 8 P' + 40 S + 32 I, and 27 and its length for each key and each id

where E' and P' count blocks of powers of two (at most twice E and P). A block that was outgrown is used again. Arrays
grow to twice their size, but what was never written takes no memory.

Compiled (session_store.hpp): every worker takes in every session, and in Python and numpy that took 19 us each.

Sources: Kersbergen, Sprangers, Schelter, "Serenade" (SIGMOD 2022) for the newest-m postings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from reco_stream.domain.compact import Numbers, SessionStore

Slots = npt.NDArray[np.int64]

SESSIONS_PER_ITEM = 500
EVENTS_PER_SESSION = 50
ORPHAN_AGE_MS = 2 * 3_600_000  # a session that hot items have pushed out may still grow for that long


class Change(NamedTuple):
    """What a put or remove changed: (item number, time_ms) that came and went."""

    added: list[tuple[int, int]]
    removed: list[tuple[int, int]]


class SlotFigures(NamedTuple):
    """Figures of all sessions by slot; those of one lie side by side in `table`, its order apart from them.

    `order` is last_ms and 22 bits of a hash of the key in one sortable number: a query reads that of thousands of
    sessions, to find the hundreds whose figures it reads from all over memory.
    """

    order: Slots
    offset: Slots  # in the array of items
    length: Slots
    last_ms: Slots


class SessionIndex:
    """The newest `sessions_per_item` sessions of every item, and the items of those sessions.

    >>> index = SessionIndex()
    >>> _ = index.put("s1", [("a", "view", 0), ("b", "view", 5)], last_ms=5)
    >>> _ = index.put("s1", [("a", "view", 0), ("b", "view", 5), ("c", "view", 9)], last_ms=9)
    >>> len(index), index.sessions_of("a"), index.items_of("s1")
    (1, ['s1'], ['a', 'b', 'c'])
    >>> index.remove("s1").removed and index.sessions_of("a")
    []
    """

    def __init__(
        self,
        sessions_per_item: int = SESSIONS_PER_ITEM,
        events_per_session: int = EVENTS_PER_SESSION,
        orphan_age_ms: int = ORPHAN_AGE_MS,
    ) -> None:
        if sessions_per_item < 1 or events_per_session < 1:
            raise ValueError(
                f"sessions_per_item is {sessions_per_item}, events_per_session {events_per_session}, wanted 1 or more"
            )
        self.sessions_per_item = sessions_per_item
        self.events_per_session = events_per_session
        self._keys = Numbers()  # their numbers are the slots
        self.number_of = Numbers()
        self.names = self.number_of.names
        self._store = SessionStore(self._keys, self.number_of, sessions_per_item, events_per_session, orphan_age_ms)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    # -- changes --------------------------------------------------------------------------------------------------

    def put(self, key: str, items: Sequence[tuple[str, str, int]], last_ms: int) -> Change:
        """Replace the session of `key` by `items` (item, type, time_ms; oldest first), of which the newest 50 are kept.

        The last put of a key wins, so putting a value twice changes nothing. An empty session is a removal.
        """
        return Change(*self._store.put(key, items, last_ms))

    def take(self, records: Sequence[Any], version: int, hidden: bytes) -> int:
        """Put published sessions, in one compiled call: see `SessionStore.take`."""
        return self._store.take(records, version, hidden)

    def remove(self, key: str) -> Change:
        """Forget the session of `key`; nothing happens when there is none."""
        return Change(*self._store.remove(key))

    def expire(self, before_ms: int) -> int:
        """Remove every session whose last event is older than `before_ms`; returns how many there were."""
        return self._store.expire(before_ms)

    # -- counts ---------------------------------------------------------------------------------------------------

    def count(self, half_life_ms: int | None) -> Callable[[], npt.NDArray[np.float64]]:
        """Count the events of every item from now on, decayed forward by the half-life; return what gives the counts.

        They are by item number, compare with each other at any time, and are valid until a change.
        """
        number = self._store.count(half_life_ms or 0)
        return lambda: self._store.counts(number)[: len(self.names)]

    @property
    def changes(self) -> int:
        """How often a session was put or removed."""
        return self._store.changes

    # -- reads ----------------------------------------------------------------------------------------------------

    def newest(self, number: int) -> Slots:
        """Return the slots of the newest m sessions with the item, in no particular order. Not to be changed."""
        store = self._store
        begin, count = store.offsets[number], store.support[number]
        posting = store.posted[begin : begin + count]
        cut = count - self.sessions_per_item
        if cut <= 0:
            return posting
        order = store.order[posting]
        return posting[np.argpartition(order, cut)[cut:]]

    def arrays(self) -> tuple[npt.NDArray[np.int32], Slots, Slots, Slots, Slots, Slots, int]:
        """Return what scoring reads, valid until a change: items of all sessions; order and figures by slot; slots of
        all postings; where an item's begin, and how many; items.
        """
        store = self._store
        return store.items, store.order, store.table, store.posted, store.offsets, store.support, len(self.names)

    @property
    def slots(self) -> SlotFigures:
        """What is known of each session, valid until a change."""
        return SlotFigures(self._store.order, *self._store.table.reshape(-1, 3).T)

    def item_figures(self) -> tuple[Slots, int, Slots, int]:
        """Return sessions by item (at most m count), m, newest session by item, number of items; until a change."""
        return self._store.support, self.sessions_per_item, self._store.item_last_ms, len(self.names)

    def support(self, number: int) -> int:
        """Return how many sessions with the item a query sees: at most m."""
        return min(int(self._store.support[number]), self.sessions_per_item)

    def support_of(self, numbers: Slots) -> npt.NDArray[np.float64]:
        """Return `support` of many items at once."""
        return np.minimum(self._store.support[numbers], self.sessions_per_item).astype(np.float64)

    def numbers(self, items: Iterable[str]) -> list[int]:
        """Return the numbers of those items that are in the index, in the order given."""
        return self.number_of.known(items)

    def sessions_of(self, item: str) -> list[str]:
        """Return the keys of the newest m sessions with the item, newest first."""
        number = self.number_of.get(item)
        if number is None:
            return []
        slots = self.newest(number)
        return [self._keys.names[slot] for slot in slots[np.argsort(-self._store.order[slots])].tolist()]

    def items_of(self, key: str) -> list[str]:
        """Return the items kept of a session, oldest first, repeats included; empty when the key is unknown."""
        slot = self._keys.get(key)
        return [] if slot is None else [self.names[number] for number, _ in self._store.content(slot)]

    def session_keys(self) -> Iterator[str]:
        """Yield the keys of all sessions kept."""
        return iter(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes in use, as far as they grow with the sessions: what the formula bounds."""
        return self._store.nbytes + self._keys.nbytes + self.number_of.nbytes
