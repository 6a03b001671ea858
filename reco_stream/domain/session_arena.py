"""Storage of sessions in flat arrays: their events in blocks that are used again, and four figures of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FIRST_BLOCK = 2  # half of all shopping and news sessions hold two events or fewer

T = TypeVar("T", np.int32, np.int64)


def doubled(values: npt.NDArray[T]) -> npt.NDArray[T]:
    """Return a copy with as many zeros behind; they take no memory before they are written."""
    grown = np.zeros((2 * len(values), *values.shape[1:]), values.dtype)
    grown[: len(values)] = values
    return grown


class Blocks(ABC):
    """Where blocks of 2, 4, 8, ... entries lie in arrays that the subclass grows; a block freed is used again."""

    def __init__(self) -> None:
        self._top = 0
        self._free: dict[int, array[int]] = {}

    @staticmethod
    def block_size(length: int) -> int:
        """Return the size of the block that holds `length` entries: the next power of two.

        >>> [Blocks.block_size(length) for length in (1, 2, 3, 50)]
        [2, 2, 4, 64]
        """
        return max(FIRST_BLOCK, 1 << (length - 1).bit_length())

    def allocate(self, size: int) -> int:
        """Return the offset of a block of `size` entries (a power of two)."""
        free = self._free.get(size)
        if free:
            return free.pop()
        offset = self._top
        self._top += size
        self.fit(self._top)
        return offset

    def release(self, offset: int, size: int) -> None:
        """Give a block back."""
        self._free.setdefault(size, array("q")).append(offset)

    @abstractmethod
    def fit(self, size: int) -> None:
        """Make room for `size` entries."""


class SessionArena(Blocks):
    """Sequences of (item number, time): 12 bytes an entry (int32 item, int64 time), at most twice that for the block's
    unused part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items: npt.NDArray[np.int32] = np.zeros(1024, np.int32)
        self.times: npt.NDArray[np.int64] = np.zeros(1024, np.int64)

    def fit(self, size: int) -> None:
        while size > len(self.items):
            self.items, self.times = doubled(self.items), doubled(self.times)

    def write(self, offset: int, items: Sequence[int], times: Sequence[int]) -> None:
        """Write entries from `offset` on; the caller's block must be long enough."""
        if len(items) == 1:  # appending one event is the common case, and five times cheaper without the slices
            self.items[offset] = items[0]
            self.times[offset] = times[0]
            return
        self.items[offset : offset + len(items)] = items
        self.times[offset : offset + len(times)] = times

    @property
    def nbytes(self) -> int:
        """Bytes in use, those of freed blocks included."""
        return self._top * (self.items.itemsize + self.times.itemsize)


class PostingArena(Blocks):
    """Slots of sessions by item number, at most `limit` each: 8 bytes an entry, and 16 an item for where they lie."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.slots: npt.NDArray[np.int64] = np.zeros(1024, np.int64)
        # Arrays of Python: read one number at a time, numpy's take three times as long.
        self.offsets = array("q")
        self.counts = array("i")
        self.room = array("i")  # entries that fit: the size of the block, or the limit

    def fit(self, size: int) -> None:
        while size > len(self.slots):
            self.slots = doubled(self.slots)

    def add(self) -> None:
        """Make room for one more item."""
        self.offsets.append(0)
        self.counts.append(0)
        self.room.append(0)

    def of(self, number: int) -> npt.NDArray[np.int64]:
        """Return the slots of an item, valid until a change."""
        offset = self.offsets[number]
        return self.slots[offset : offset + self.counts[number]]

    def grow(self, number: int) -> None:
        """Make room for more slots of an item, when it has fewer than the limit."""
        self._move(number, min(self.block_size(self.counts[number] + 1), self._limit))

    def replace(self, number: int, slots: npt.NDArray[np.int64]) -> None:
        """Replace all slots of an item by fewer."""
        offset = self.offsets[number]
        self.slots[offset : offset + len(slots)] = slots
        self.counts[number] = len(slots)
        if not len(slots):
            self._move(number, 0)

    def _move(self, number: int, room: int) -> None:
        old_room, old = self.room[number], self.offsets[number]
        offset = self.allocate(self.block_size(room)) if room else 0
        if room:
            self.slots[offset : offset + old_room] = self.slots[old : old + old_room]
        if old_room:
            self.release(old, self.block_size(old_room))
        self.offsets[number], self.room[number] = offset, room

    @property
    def nbytes(self) -> int:
        """Bytes in use, those of freed blocks included."""
        return 8 * self._top + 16 * len(self.offsets)


class SlotFigures:
    """Figures by slot, those of one session side by side: a query reads hundreds of sessions from all over memory.

    `order` is last_ms and a hash of the key in one sortable number, apart from the others: a query reads that of
    thousands to find these hundreds.
    """

    def __init__(self) -> None:
        self._set(np.zeros(1024, np.int64), np.zeros((1024, 3), np.int64))

    def _set(self, order: npt.NDArray[np.int64], table: npt.NDArray[np.int64]) -> None:
        self.order, self.table = order, table
        self.offset, self.length, self.last_ms = table.T

    def grow(self) -> None:
        self._set(doubled(self.order), doubled(self.table))
