"""The sessions near a context in numpy arrays: what the published algorithms (VMIS-kNN, STAN, VSTAN) score from.

Two steps, because most of the cost is in the second. `Neighbours.gather` looks only at the postings of the context's
items: which sessions hold which of them, how old and how long they are. `Neighbours.expand` then lays the items of the
sessions that a retriever has chosen in flat arrays, with their distance from the match.

Sessions are in the order of their last event, ties by a hash of the key, and nothing depends on slots or numbers: equal
indexes give equal arrays, so equal sums to the last bit, whatever the order in which sessions came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from reco_stream.domain.session_index import SessionIndex

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Workspace:
    """Scratch arrays by slot and by item number, made once and left as they were found after every use."""

    def __init__(self, index: SessionIndex) -> None:
        self.index = index
        self.by_slot: Ints = np.zeros(0, np.int64)
        self.by_number: Ints = np.zeros(0, np.int64)
        self.rank_of: npt.NDArray[np.int16] = np.zeros(0, np.int16)  # 1 + rank in the context, 0 elsewhere

    def fit(self) -> None:
        """Grow to the index; contents are scratch."""
        slots, numbers = len(self.index.slots.length), len(self.index.names)
        if len(self.by_slot) < slots:
            self.by_slot = np.zeros(slots, np.int64)
        if len(self.by_number) < numbers:
            self.by_number = np.zeros(2 * numbers, np.int64)
            self.rank_of = np.zeros(2 * numbers, np.int16)


@dataclass(slots=True)
class Neighbours:
    """Sessions that share an item with the context, oldest first.

    `items`: numbers of the context's distinct items, newest first (rank 0). One entry a session in `slots`, `length`,
    `age_s` and `best` (rank of the newest shared item); one entry a shared (session, item) in `shared` (position of the
    session) and `rank`.
    """

    workspace: Workspace
    items: list[int]
    now_ms: int
    slots: Ints
    length: Ints
    age_s: Floats
    best: Ints
    shared: Ints
    rank: Ints

    @classmethod
    def gather(cls, workspace: Workspace, items: Sequence[int], now_ms: int, limit: int) -> Neighbours | None:
        """Return the newest `limit` sessions that hold any of `items` (numbers, newest first); None without any."""
        index = workspace.index
        postings = [index.newest(number) for number in items]
        counts = [len(posting) for posting in postings]
        if not sum(counts):
            return None
        workspace.fit()
        pairs = np.concatenate(postings) if len(postings) > 1 else postings[0]
        rank = np.repeat(np.arange(len(items)), counts)
        tag = workspace.by_slot
        positions = np.arange(len(pairs))
        tag[pairs] = positions
        slots = pairs[tag[pairs] == positions]
        order = index.slots.order[slots]
        slots = slots[np.argsort(order)]
        if len(slots) > limit:
            tag[slots] = -1
            slots = slots[-limit:]
        tag[slots] = np.arange(len(slots))
        shared = tag[pairs]
        if len(slots) == limit:
            kept = shared >= 0
            shared, rank = shared[kept], rank[kept]
        best = np.zeros(len(slots), np.int64)
        best[shared[::-1]] = rank[::-1]  # the last write of a session is its newest shared item
        age_s = (now_ms - index.slots.last_ms[slots]) / 1000.0
        np.maximum(age_s, 0.0, out=age_s)  # clocks of producers differ: a session of the near future is as old as now
        return cls(workspace, list(items), now_ms, slots, index.slots.length[slots], age_s, best, shared, rank)

    def summed(self, weight_of_rank: Floats) -> Floats:
        """Return for each session the sum of `weight_of_rank` over the items that it shares with the context."""
        return summed(self.shared, weight_of_rank[self.rank], len(self.slots))

    def expand(self, chosen: Ints | None = None) -> Events:
        """Lay out the events of the `chosen` sessions (ascending positions; None for all)."""
        slots = self.slots if chosen is None else self.slots[chosen]
        length = self.length if chosen is None else self.length[chosen]
        best = self.best if chosen is None else self.best[chosen]
        index, workspace = self.workspace.index, self.workspace
        ends = np.cumsum(length)
        starts = ends - length
        session = np.repeat(np.arange(len(slots)), length)
        flat = np.arange(ends[-1])
        position = flat - starts[session]
        items = index.arrays()[0][flat + (index.slots.offset[slots] - starts)[session]]
        tag = workspace.by_number
        tag[items] = flat
        candidates = items[tag[items] == flat]
        tag[candidates] = np.arange(len(candidates))
        rank_of = workspace.rank_of
        rank_of[self.items] = np.arange(1, len(self.items) + 1)
        rank = rank_of[items]
        rank_of[self.items] = 0
        return Events(items, session, position, tag[items], candidates.astype(np.int64), rank, best, len(slots))


@dataclass(slots=True)
class Events:
    """Events of chosen sessions: one entry an event, sessions oldest first, events of a session oldest first.

    `item`: number; `session`: position among the chosen; `position`: place in the session; `candidate`: place of the
    item in `candidates`, which holds every item once; `rank`: 1 + rank of the item in the context, 0 when it is not in
    it.
    """

    item: npt.NDArray[np.int32]
    session: Ints
    position: Ints
    candidate: Ints
    candidates: Ints
    rank: npt.NDArray[np.int16]
    best: Ints
    sessions: int

    def from_last_match(self) -> Ints:
        """Return each event's distance from its session's last event on any item of the context (STAN's i*)."""
        matched = np.flatnonzero(self.rank)
        anchor = np.zeros(self.sessions, np.int64)
        anchor[self.session[matched]] = self.position[matched]  # ascending, so the last match of a session stays
        return self.position - anchor[self.session]

    def votes(self, weight: Floats) -> Floats:
        """Return for each candidate the sum of `weight` (one an event)."""
        return summed(self.candidate, weight, len(self.candidates))

    def once(self) -> npt.NDArray[np.bool_]:
        """Return which events are the last of their item in their session: a mask that makes sessions sets."""
        key = self.session * len(self.candidates) + self.candidate
        last = np.zeros(len(key), np.bool_)
        _, where = np.unique(key[::-1], return_index=True)
        last[len(key) - 1 - where] = True
        return last


def summed(places: Ints, weight: Floats, size: int) -> Floats:
    """Return sums of `weight` by place, for the places below `size`."""
    return cast(Floats, np.bincount(places, weights=weight, minlength=size))


def strongest(similarity: Floats, count: int) -> Ints | None:
    """Return ascending positions of the `count` most similar sessions, newer first among equals; None when all fit."""
    if len(similarity) <= count:
        return None
    edge = np.partition(similarity, len(similarity) - count)[len(similarity) - count]
    above = np.flatnonzero(similarity > edge)
    ties = np.flatnonzero(similarity == edge)  # oldest first, so the end is newer
    return np.sort(np.concatenate([above, ties[len(ties) - (count - len(above)) :]]))
