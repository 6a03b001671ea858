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

Sources: Kersbergen, Sprangers, Schelter, "Serenade" (SIGMOD 2022) for the newest-m postings.
"""

from __future__ import annotations

import zlib
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reco_stream.domain.compact import Numbers
from reco_stream.domain.session_arena import PostingArena, SessionArena, SlotFigures, doubled

Slots = npt.NDArray[np.int64]

SESSIONS_PER_ITEM = 500
EVENTS_PER_SESSION = 50
ORPHAN_AGE_MS = 2 * 3_600_000  # a session that hot items have pushed out may still grow for that long
_HASH_BITS = 22  # sessions of the same millisecond are ordered by 22 bits of a hash of their key; 41 bits hold the time
_HASH_MASK = (1 << _HASH_BITS) - 1


class Change(NamedTuple):
    """What a put or remove changed: (item number, time_ms) that came and went."""

    added: list[tuple[int, int]]
    removed: list[tuple[int, int]]


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
        self._orphan_age_ms = orphan_age_ms
        self.arena = SessionArena()
        self.slots = SlotFigures()
        self._keys = Numbers()  # their numbers are the slots
        self._blocks = array("i")  # by slot: size of the block, 0 for a slot that is free
        self._references = array("i")
        self._orphans: deque[int] = deque()
        self.number_of = Numbers()
        self.names = self.number_of.names
        self._postings = PostingArena(2 * sessions_per_item)
        # The counts of the postings once more, for all who read many of them.
        self._support: Slots = np.zeros(1024, np.int64)
        self.item_last_ms: Slots = np.zeros(1024, np.int64)  # newest session with the item, by item number
        self._stream_ms = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    # -- changes --------------------------------------------------------------------------------------------------

    def put(self, key: str, items: Sequence[tuple[str, str, int]], last_ms: int) -> Change:
        """Replace the session of `key` by `items` (item, type, time_ms; oldest first), of which the newest 50 are kept.

        The last put of a key wins, so putting a value twice changes nothing. An empty session is a removal.
        """
        if not items:
            return self.remove(key)
        if len(items) > self.events_per_session:
            items = items[-self.events_per_session :]
        slot = self._slot(key)
        numbers = self.number_of.add_all([event[0] for event in items])
        if len(self.names) > len(self._postings.counts):
            self._fit_items()
        times = [event[2] for event in items]
        slots = self.slots
        # The order is set before the postings change: cutting a full posting back needs the order of every entry.
        turned_back = last_ms < slots.last_ms[slot]
        slots.last_ms[slot] = last_ms
        slots.order[slot] = (last_ms << _HASH_BITS) | (zlib.crc32(key.encode()) & _HASH_MASK)
        if last_ms > self._stream_ms:
            self._stream_ms = last_ms
        change = self._write(slot, numbers, times)
        self._see(numbers, last_ms, turned_back)
        if self._orphans:
            self._drop_orphans()
        return change

    def remove(self, key: str) -> Change:
        """Forget the session of `key`; nothing happens when there is none."""
        slot = self._keys.get(key)
        return Change([], []) if slot is None else self._remove(slot)

    def _remove(self, slot: int) -> Change:
        numbers, times = self._content(slot)
        for number in dict.fromkeys(numbers):
            self._unpost(number, slot)
        self._free_slot(slot)
        return Change([], list(zip(numbers, times, strict=True)))

    def expire(self, before_ms: int) -> int:
        """Remove every session whose last event is older than `before_ms`; returns how many there were."""
        last_ms = self.slots.last_ms[: len(self._blocks)]
        old = [slot for slot in np.flatnonzero(last_ms < before_ms).tolist() if self._blocks[slot]]
        for slot in old:
            self._remove(slot)
        return len(old)

    # -- reads ----------------------------------------------------------------------------------------------------

    def newest(self, number: int) -> Slots:
        """Return the slots of the newest m sessions with the item, in no particular order. Not to be changed."""
        posting = self._postings.of(number)
        cut = len(posting) - self.sessions_per_item
        if cut <= 0:
            return posting
        order = self.slots.order[posting]
        return posting[np.argpartition(order, cut)[cut:]]

    def postings(self, numbers: list[int]) -> list[Slots]:
        """Return the slots of the newest sessions of each item, up to 2 m, in no particular order; read them only."""
        slots, offsets, counts = self._postings.slots, self._postings.offsets, self._postings.counts
        return [slots[offsets[number] : offsets[number] + counts[number]] for number in numbers]

    def arrays(self) -> tuple[npt.NDArray[np.int32], Slots, Slots, int]:
        """Return what scoring reads, valid until a change: items of the arena, order and figures by slot, items."""
        return self.arena.items, self.slots.order, self.slots.table, len(self.names)

    def item_figures(self) -> tuple[Slots, int, Slots, int]:
        """Return sessions by item (at most m count), m, newest session by item, number of items; until a change."""
        return self._support, self.sessions_per_item, self.item_last_ms, len(self.names)

    def support(self, number: int) -> int:
        """Return how many sessions with the item a query sees: at most m."""
        return min(self._postings.counts[number], self.sessions_per_item)

    def support_of(self, numbers: Slots) -> npt.NDArray[np.float64]:
        """Return `support` of many items at once."""
        return np.minimum(self._support[numbers], self.sessions_per_item).astype(np.float64)

    def numbers(self, items: Iterable[str]) -> list[int]:
        """Return the numbers of those items that are in the index, in the order given."""
        return self.number_of.known(items)

    def sessions_of(self, item: str) -> list[str]:
        """Return the keys of the newest m sessions with the item, newest first."""
        number = self.number_of.get(item)
        if number is None:
            return []
        slots = self.newest(number)
        return [self._keys.names[slot] for slot in slots[np.argsort(-self.slots.order[slots])].tolist()]

    def items_of(self, key: str) -> list[str]:
        """Return the items kept of a session, oldest first, repeats included; empty when the key is unknown."""
        slot = self._keys.get(key)
        return [] if slot is None else [self.names[number] for number in self._content(slot)[0]]

    def session_keys(self) -> Iterator[str]:
        """Yield the keys of all sessions kept."""
        return iter(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes in use, as far as they grow with the sessions: what the formula bounds."""
        names = self._keys.nbytes + self.number_of.nbytes
        return self.arena.nbytes + self._postings.nbytes + 40 * len(self._blocks) + 16 * len(self.names) + names

    # -- internals ------------------------------------------------------------------------------------------------

    def _fit_items(self) -> None:
        """Makes room for the items that have numbers."""
        for _ in range(len(self._postings.counts), len(self.names)):
            self._postings.add()
        while len(self.names) > len(self.item_last_ms):
            self.item_last_ms, self._support = doubled(self.item_last_ms), doubled(self._support)

    def _slot(self, key: str) -> int:
        """Returns the slot of a session, an empty one for a new key."""
        slot = self._keys.add(key)
        if slot == len(self._blocks):
            self._blocks.append(0)
            self._references.append(0)
            if slot >= len(self.slots.length):
                self.slots.grow()
        elif self._blocks[slot]:
            return slot
        self.slots.length[slot] = 0
        self.slots.last_ms[slot] = 0
        return slot

    def _free_slot(self, slot: int) -> None:
        if not self._blocks[slot]:
            return
        self._keys.remove(slot)
        self.arena.release(int(self.slots.offset[slot]), self._blocks[slot])
        self._blocks[slot] = 0
        self._references[slot] = 0
        self.slots.length[slot] = 0

    def _content(self, slot: int) -> tuple[list[int], list[int]]:
        start = int(self.slots.offset[slot])
        end = start + int(self.slots.length[slot])
        return self.arena.items[start:end].tolist(), self.arena.times[start:end].tolist()

    def _write(self, slot: int, numbers: list[int], times: list[int]) -> Change:
        old_numbers, old_times = self._content(slot) if self._blocks[slot] else ([], [])
        kept = len(old_numbers)
        complete = self._references[slot] == len(set(old_numbers))  # no item has pushed it out
        if complete and numbers[:kept] == old_numbers and times[:kept] == old_times:  # it grew, or it is the same
            self._store(slot, kept, numbers, times)
            for number in dict.fromkeys(numbers[kept:]):
                if number not in old_numbers:
                    self._post(number, slot)
            return Change(list(zip(numbers[kept:], times[kept:], strict=True)), [])
        added, removed = _difference(zip(old_numbers, old_times, strict=True), zip(numbers, times, strict=True))
        self._store(slot, 0, numbers, times)
        for number in dict.fromkeys(numbers):
            if number not in old_numbers:
                self._post(number, slot)
            elif not complete:
                self._repost(number, slot)
        for number in set(old_numbers).difference(numbers):
            self._unpost(number, slot)
        return Change(added, removed)

    def _store(self, slot: int, kept: int, numbers: list[int], times: list[int]) -> None:
        size = self._blocks[slot]
        if len(numbers) > size:
            if size:
                self.arena.release(int(self.slots.offset[slot]), size)
            size = self.arena.block_size(len(numbers))
            self._blocks[slot] = size
            self.slots.offset[slot] = self.arena.allocate(size)
            kept = 0
        if kept < len(numbers):
            self.arena.write(int(self.slots.offset[slot]) + kept, numbers[kept:], times[kept:])
        self.slots.length[slot] = len(numbers)

    def _post(self, number: int, slot: int) -> None:
        postings = self._postings
        count = postings.counts[number]
        if count == postings.room[number]:
            if count < 2 * self.sessions_per_item:
                postings.grow(number)
            else:
                count = self._cut(number)
        postings.slots[postings.offsets[number] + count] = slot
        self._support[number] = postings.counts[number] = count + 1
        self._references[slot] += 1

    def _repost(self, number: int, slot: int) -> None:
        """Put a session that other items have pushed out, and that grew since, back into the posting."""
        if slot not in self._postings.of(number):
            self._post(number, slot)

    def _cut(self, number: int) -> int:
        """Keep the newest m of a full posting; sessions that nothing refers to any more become orphans."""
        posting = self._postings.of(number)
        cut = len(posting) - self.sessions_per_item
        split = np.argpartition(self.slots.order[posting], cut)
        dropped = posting[split[:cut]].tolist()
        self._postings.replace(number, posting[split[cut:]])
        for slot in dropped:
            self._release(slot)
        return self.sessions_per_item

    def _release(self, slot: int) -> None:
        self._references[slot] -= 1
        if self._references[slot] == 0:
            self._orphans.append(slot)

    def _unpost(self, number: int, slot: int) -> None:
        posting = self._postings.of(number)
        kept = posting[posting != slot]
        if len(kept) < len(posting):
            self._postings.replace(number, kept)
            self._support[number] = len(kept)
            self._references[slot] -= 1
            self.item_last_ms[number] = self._newest_ms(number)
        if not len(kept):
            self.number_of.remove(number)

    def _see(self, numbers: list[int], last_ms: int, turned_back: bool) -> None:
        item_last_ms = self.item_last_ms
        if turned_back:  # a session that got shorter: look again
            for number in numbers:
                item_last_ms[number] = self._newest_ms(number)
        elif len(numbers) > 4:
            item_last_ms[numbers] = np.maximum(item_last_ms[numbers], last_ms)
        else:
            for number in numbers:
                if item_last_ms[number] < last_ms:
                    item_last_ms[number] = last_ms

    def _newest_ms(self, number: int) -> int:
        return int(self.slots.last_ms[self._postings.of(number)].max(initial=0))

    def _drop_orphans(self) -> None:
        limit = self._stream_ms - self._orphan_age_ms
        orphans = self._orphans
        for _ in repeat(None, min(2, len(orphans))):  # two a put: the queue shrinks, and no put is slow
            slot = orphans[0]
            if self._blocks[slot] and self._references[slot] == 0:
                if self.slots.last_ms[slot] >= limit:
                    return
                self._free_slot(slot)
            orphans.popleft()


def _difference(
    old: Iterable[tuple[int, int]], new: Iterable[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return what is in `new` only and what is in `old` only, as multisets."""
    rest = list(old)
    added = []
    for entry in new:
        if entry in rest:
            rest.remove(entry)
        else:
            added.append(entry)
    return added, rest
