"""Index from an item to the newest sessions that hold it, kept while the sessions are still going on.

Fed with absolute values: a session is put whole, again and again while it grows, and the last value counts. So the
index is a function of the last value of every key, whatever the order in which they came: a rebuild gives an equal
index.

Bounds. An item has at most 2 m postings, cut back to the newest m (m = 500) when full; a query sees the newest m. A
session that no posting refers to any more is dropped once it is two hours old in stream time. With S sessions kept, E
their events, I items and P = sum over items of min(2 m, sessions of the item):

    bytes <= 2 * (12 E' + 32 S + 16 I) + 8 P'  in arrays, plus 250 S + 330 I for keys, names and their dictionaries

where E' and P' count blocks of powers of two (at most twice E and P), and the 2 in front is the growth of the arrays.
Measured with tracemalloc it is 0.5 to 0.8 of that, for ids of about 10 bytes; longer ids add their bytes.

Sources: Kersbergen, Sprangers, Schelter, "Serenade" (SIGMOD 2022) for the newest-m postings.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reco_stream.domain.session_arena import SessionArena, SlotFigures

Slots = npt.NDArray[np.int64]

SESSIONS_PER_ITEM = 500
EVENTS_PER_SESSION = 50
ORPHAN_AGE_MS = 2 * 3_600_000  # a session that hot items have pushed out may still grow for that long
_HASH_BITS = 22  # sessions of the same millisecond are ordered by 22 bits of a hash of their key; 41 bits hold the time
_HASH_MASK = (1 << _HASH_BITS) - 1
_NO_SLOTS: Slots = np.zeros(0, np.int64)


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
        self._slot_of: dict[str, int] = {}
        self._keys: list[str | None] = []
        self._blocks: list[int] = []
        self._references: list[int] = []
        self._free_slots: list[int] = []
        self._orphans: deque[int] = deque()
        self.number_of: dict[str, int] = {}
        self.names: list[str] = []
        self._postings: list[Slots] = []
        self._posting_counts: list[int] = []
        self._free_numbers: list[int] = []
        # The counts once more: a list is faster to write, an array to read.
        self._support: Slots = np.zeros(1024, np.int64)
        self.item_last_ms: Slots = np.zeros(1024, np.int64)  # newest session with the item, by item number
        self._stream_ms = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, key: str) -> bool:
        return key in self._slot_of

    # -- changes --------------------------------------------------------------------------------------------------

    def put(self, key: str, items: Sequence[tuple[str, str, int]], last_ms: int) -> Change:
        """Replace the session of `key` by `items` (item, type, time_ms; oldest first), of which the newest 50 are kept.

        The last put of a key wins, so putting a value twice changes nothing. An empty session is a removal.
        """
        if not items:
            return self.remove(key)
        if len(items) > self.events_per_session:
            items = items[-self.events_per_session :]
        slot = self._slot_of.get(key)
        if slot is None:
            slot = self._new_slot(key)
        known = self.number_of
        numbers = [known[event[0]] if event[0] in known else self._number(event[0]) for event in items]
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
        slot = self._slot_of.get(key)
        if slot is None:
            return Change([], [])
        numbers, times = self._content(slot)
        for number in dict.fromkeys(numbers):
            self._unpost(number, slot)
        self._free_slot(slot)
        return Change([], list(zip(numbers, times, strict=True)))

    def expire(self, before_ms: int) -> int:
        """Remove every session whose last event is older than `before_ms`; returns how many there were."""
        last_ms = self.slots.last_ms
        old = [key for key, slot in self._slot_of.items() if last_ms[slot] < before_ms]
        for key in old:
            self.remove(key)
        return len(old)

    # -- reads ----------------------------------------------------------------------------------------------------

    def newest(self, number: int) -> Slots:
        """Return the slots of the newest m sessions with the item, in no particular order. Not to be changed."""
        count = self._posting_counts[number]
        posting = self._postings[number][:count]
        if count <= self.sessions_per_item:
            return posting
        order = self.slots.order[posting]
        cut = count - self.sessions_per_item
        return posting[np.argpartition(order, cut)[cut:]]

    def postings(self, numbers: list[int]) -> list[Slots]:
        """Return the slots of the newest sessions of each item, up to 2 m, in no particular order; read them only."""
        return [self._postings[number][: self._posting_counts[number]] for number in numbers]

    def arrays(self) -> tuple[npt.NDArray[np.int32], Slots, int]:
        """Return what scoring reads, valid until a change: items of the arena, figures by slot, number of items."""
        return self.arena.items, self.slots.table, len(self.names)

    def item_figures(self) -> tuple[Slots, int, Slots, int]:
        """Return sessions by item (at most m count), m, newest session by item, number of items; until a change."""
        return self._support, self.sessions_per_item, self.item_last_ms, len(self.names)

    def support(self, number: int) -> int:
        """Return how many sessions with the item a query sees: at most m."""
        return min(self._posting_counts[number], self.sessions_per_item)

    def support_of(self, numbers: Slots) -> npt.NDArray[np.float64]:
        """Return `support` of many items at once."""
        return np.minimum(self._support[numbers], self.sessions_per_item).astype(np.float64)

    def numbers(self, items: Iterable[str]) -> list[int]:
        """Return the numbers of those items that are in the index, in the order given."""
        known = self.number_of
        return [known[item] for item in items if item in known]

    def sessions_of(self, item: str) -> list[str]:
        """Return the keys of the newest m sessions with the item, newest first."""
        number = self.number_of.get(item)
        if number is None:
            return []
        slots = self.newest(number)
        return [self._keys[slot] or "" for slot in slots[np.argsort(-self.slots.order[slots])].tolist()]

    def items_of(self, key: str) -> list[str]:
        """Return the items kept of a session, oldest first, repeats included; empty when the key is unknown."""
        slot = self._slot_of.get(key)
        return [] if slot is None else [self.names[number] for number in self._content(slot)[0]]

    def session_keys(self) -> Iterator[str]:
        """Yield the keys of all sessions kept."""
        return iter(self._slot_of)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays: what the formula bounds, without dictionaries of keys and names."""
        postings = sum(posting.nbytes for posting in self._postings)
        return self.arena.nbytes + self.slots.table.nbytes + postings

    # -- internals ------------------------------------------------------------------------------------------------

    def _number(self, item: str) -> int:
        number = self.number_of.get(item)
        if number is not None:
            return number
        if self._free_numbers:
            number = self._free_numbers.pop()
            self.names[number] = item
        else:
            number = len(self.names)
            self.names.append(item)
            self._postings.append(_NO_SLOTS)
            self._posting_counts.append(0)
            if number >= len(self.item_last_ms):
                self.item_last_ms = np.concatenate([self.item_last_ms, np.zeros_like(self.item_last_ms)])
                self._support = np.concatenate([self._support, np.zeros_like(self._support)])
        self.number_of[item] = number
        return number

    def _new_slot(self, key: str) -> int:
        if self._free_slots:
            slot = self._free_slots.pop()
            self._keys[slot] = key
        else:
            slot = len(self._keys)
            self._keys.append(key)
            self._blocks.append(0)
            self._references.append(0)
            if slot >= len(self.slots.length):
                self.slots.grow()
        self.slots.length[slot] = 0
        self.slots.last_ms[slot] = 0
        self._slot_of[key] = slot
        return slot

    def _free_slot(self, slot: int) -> None:
        key = self._keys[slot]
        if key is None:
            return
        del self._slot_of[key]
        self._keys[slot] = None
        self.arena.release(int(self.slots.offset[slot]), self._blocks[slot])
        self._blocks[slot] = 0
        self._references[slot] = 0
        self.slots.length[slot] = 0
        self._free_slots.append(slot)

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
        posting = self._postings[number]
        count = self._posting_counts[number]
        if count == len(posting):
            if count >= 2 * self.sessions_per_item:
                count = self._cut(number)
                posting = self._postings[number]
            else:
                size = min(max(2, 2 * count), 2 * self.sessions_per_item)
                grown = np.zeros(size, np.int64)
                grown[:count] = posting
                self._postings[number] = posting = grown
        posting[count] = slot
        self._support[number] = self._posting_counts[number] = count + 1
        self._references[slot] += 1

    def _repost(self, number: int, slot: int) -> None:
        """Put a session that other items have pushed out, and that grew since, back into the posting."""
        if slot not in self._postings[number][: self._posting_counts[number]]:
            self._post(number, slot)

    def _cut(self, number: int) -> int:
        """Keep the newest m of a full posting; sessions that nothing refers to any more become orphans."""
        posting = self._postings[number]
        keep = self.sessions_per_item
        cut = len(posting) - keep
        split = np.argpartition(self.slots.order[posting], cut)
        dropped = posting[split[:cut]].tolist()
        posting[:keep] = posting[split[cut:]]
        self._support[number] = self._posting_counts[number] = keep
        for slot in dropped:
            self._release(slot)
        return keep

    def _release(self, slot: int) -> None:
        self._references[slot] -= 1
        if self._references[slot] == 0:
            self._orphans.append(slot)

    def _unpost(self, number: int, slot: int) -> None:
        count = self._posting_counts[number]
        posting = self._postings[number]
        found = np.flatnonzero(posting[:count] == slot)
        if len(found):
            posting[found[0]] = posting[count - 1]
            count -= 1
            self._support[number] = self._posting_counts[number] = count
            self._references[slot] -= 1
            self.item_last_ms[number] = self._newest_ms(number)
        if count == 0:
            self._postings[number] = _NO_SLOTS
            del self.number_of[self.names[number]]
            self._free_numbers.append(number)

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
        posting = self._postings[number][: self._posting_counts[number]]
        return int(self.slots.last_ms[posting].max(initial=0))

    def _drop_orphans(self) -> None:
        limit = self._stream_ms - self._orphan_age_ms
        orphans = self._orphans
        for _ in repeat(None, min(2, len(orphans))):  # two a put: the queue shrinks, and no put is slow
            slot = orphans[0]
            if self._keys[slot] is not None and self._references[slot] == 0:
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
