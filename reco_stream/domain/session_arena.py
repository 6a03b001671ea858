"""Storage of sessions in flat arrays: their events in blocks that are used again, and four figures of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FIRST_BLOCK = 2  # half of all shopping and news sessions hold two events or fewer


class SessionArena:
    """Sequences of (item number, time) in blocks of 2, 4, 8, ... entries; a block freed is used again.

    Memory is 12 bytes an entry (int32 item, int64 time), at most twice that for the block's unused part, and at most
    twice again just after the arrays have grown.
    """

    def __init__(self) -> None:
        self.items: npt.NDArray[np.int32] = np.zeros(1024, np.int32)
        self.times: npt.NDArray[np.int64] = np.zeros(1024, np.int64)
        self._top = 0
        self._free: dict[int, list[int]] = {}

    @staticmethod
    def block_size(length: int) -> int:
        """Return the size of the block that holds `length` entries: the next power of two.

        >>> [SessionArena.block_size(length) for length in (1, 2, 3, 50)]
        [2, 2, 4, 64]
        """
        return max(FIRST_BLOCK, 1 << (length - 1).bit_length())

    def allocate(self, size: int) -> int:
        """Return the offset of a block of `size` entries (a power of two)."""
        free = self._free.get(size)
        if free:
            return free.pop()
        while self._top + size > len(self.items):
            self.items = np.concatenate([self.items, np.zeros_like(self.items)])
            self.times = np.concatenate([self.times, np.zeros_like(self.times)])
        offset = self._top
        self._top += size
        return offset

    def release(self, offset: int, size: int) -> None:
        """Give a block back."""
        self._free.setdefault(size, []).append(offset)

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
        return self.items.nbytes + self.times.nbytes


class SlotFigures:
    """Figures by slot, those of one session side by side: a query reads hundreds of sessions from all over memory.

    `order` is last_ms and a hash of the key in one sortable number.
    """

    def __init__(self) -> None:
        self._set(np.zeros((1024, 4), np.int64))

    def _set(self, table: npt.NDArray[np.int64]) -> None:
        self.table = table
        self.offset, self.length, self.order, self.last_ms = table.T

    def grow(self) -> None:
        self._set(np.concatenate([self.table, np.zeros_like(self.table)]))
