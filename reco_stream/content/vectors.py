"""All vectors in a memory-mapped file, annoy indexes over the older ones, and exact search over the newest.

The file is indexed in segments: the newest rows get a small index of their own in a second or two, and segments that
are not much larger than the rows after them are joined with these, so a row is indexed a few times in its life and a
catalogue has a handful of segments. A changed item gets a new place and its old one is masked; so nothing that an index
was built from ever changes. Annoy maps its file, an index that is replaced goes with its last reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from annoy import AnnoyIndex

from reco_stream.content.build import search_k
from reco_stream.content.encoder import DIMENSIONS, Floats

TREES: Final = 30
EXACT_BELOW: Final = 2_000  # rows; that many are compared in a millisecond, an index would be no gain
EXACT_MOST: Final = 10_000  # newest rows that a query compares while an index is being built, 8 ms
JOIN_UP_TO: Final = 4  # a segment of so many times the rows after it is built anew together with them
_FIRST_ROWS: Final = 1_024
_CHUNK: Final = 4_096

Accept = Callable[[str], bool]


class Segment(NamedTuple):
    """An index over `size` rows from `first` on."""

    first: int
    size: int
    file: Path
    index: Any
    recall: float


class Vectors:
    """Items and their vectors, by one encoder. Not thread-safe: one thread changes and asks."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._rows: Any = np.memmap(file, np.float16, "w+", shape=(_FIRST_ROWS, DIMENSIONS))
        self._marks = np.zeros(_FIRST_ROWS, np.int64)
        self._names: list[str] = []
        self._place: dict[str, int] = {}
        self._segments: list[Segment] = []

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, item: str) -> bool:
        return item in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    @property
    def rows(self) -> int:
        """Places taken, the masked ones included."""
        return len(self._names)

    @property
    def indexed(self) -> int:
        """Rows that an index covers."""
        return self._segments[-1].first + self._segments[-1].size if self._segments else 0

    @property
    def recall(self) -> float | None:
        """Recall@50 of the indexes against exact search, by their sizes; None without any."""
        if not self._segments:
            return None
        return sum(segment.recall * segment.size for segment in self._segments) / self.indexed

    @property
    def files(self) -> set[Path]:
        """The files in use."""
        return {self.file, *(segment.file for segment in self._segments)}

    def put(self, item: str, vector: Floats, mark: int = 0) -> None:
        """Take an item's vector, in place of the one before; `mark` is the fingerprint of its text."""
        if self.rows == len(self._rows):
            self._grow()
        self._rows[self.rows] = vector
        self._marks[self.rows] = mark
        self._place[item] = self.rows
        self._names.append(item)

    def remove(self, item: str) -> None:
        """Forget an item."""
        self._place.pop(item, None)

    def get(self, item: str) -> Floats | None:
        """Return the item's vector, None when there is none or it is all zeros."""
        place = self._place.get(item)
        vector = None if place is None else np.asarray(self._rows[place], np.float32)
        return vector if vector is not None and vector.any() else None

    def mark_of(self, item: str) -> int | None:
        """Return the fingerprint of the text that the item's vector is of; None without a vector."""
        place = self._place.get(item)
        return None if place is None else int(self._marks[place])

    def flush(self) -> None:
        """Write what another process is to read."""
        self._rows.flush()

    def next_segment(self) -> tuple[int, int] | None:
        """Return (first row, count) of the index that should be built now; None while exact search does well."""
        size = self.rows - self.indexed
        if size < EXACT_BELOW:
            return None
        for segment in reversed(self._segments):
            if segment.size > JOIN_UP_TO * size:
                break
            size += segment.size
        return self.rows - size, size

    def use_index(self, file: Path, first: int, count: int, recall: float) -> None:
        """Search `count` rows from `first` on by this index from now on, in place of those that it covers."""
        index = AnnoyIndex(DIMENSIONS, "angular")
        index.load(str(file))
        kept = [segment for segment in self._segments if segment.first < first]
        self._segments = [*kept, Segment(first, count, file, index, recall)]

    def nearest(
        self, query: Floats, count: int, accept: Accept | None = None, effort: float = 1.0
    ) -> list[tuple[str, float]]:
        """Return up to `count` items by falling cosine above 0, none twice, all accepted.

        A filter is applied to 4 times as many candidates; behind an index a narrow one may leave fewer than `count`.
        `effort` is the share of the index's nodes to inspect, of those that give its recall.
        """
        length = float(np.linalg.norm(query))
        if length == 0:
            return []
        query = (query / length).astype(np.float32)
        wanted = count if accept is None else 4 * count
        places = [*self._from_indexes(query, wanted, effort), *self._exact(query, wanted)]
        if not places:
            return []
        scores = np.asarray(self._rows[places], np.float32) @ query
        found: list[tuple[str, float]] = []
        for at in np.lexsort((-np.array(places), -scores)).tolist():  # of equal texts the newest first
            name = self._names[places[at]]
            if scores[at] <= 0 or len(found) == count:
                break
            if accept is None or accept(name):
                found.append((name, float(scores[at])))
        return found

    def _is_live(self, place: int) -> bool:
        return self._place.get(self._names[place]) == place

    def _from_indexes(self, query: Floats, count: int, effort: float) -> list[int]:
        found: list[int] = []
        for segment in self._segments:
            # Masked places are among the nearest too: those of an item that was changed again and again.
            near = segment.index.get_nns_by_vector(query, 2 * count, int(effort * search_k(segment.size)))
            found += [place for at in near if self._is_live(place := segment.first + at)][:count]
        return found

    def _exact(self, query: Floats, count: int) -> list[int]:
        first = max(self.indexed, self.rows - EXACT_MOST)
        if first == self.rows:
            return []
        scores = np.concatenate(
            [
                np.asarray(self._rows[at : min(at + _CHUNK, self.rows)], np.float32) @ query
                for at in range(first, self.rows, _CHUNK)
            ]
        )
        wanted = min(2 * count, len(scores))
        best = np.argpartition(-scores, wanted - 1)[:wanted]
        best = best[np.argsort(-scores[best])] + first
        return [place for place in best.tolist() if self._is_live(place)][:count]

    def _grow(self) -> None:
        rows = len(self._rows)
        self._rows.flush()
        with self.file.open("r+b") as file:
            file.truncate(2 * rows * DIMENSIONS * 2)
        self._rows = np.memmap(self.file, np.float16, "r+", shape=(2 * rows, DIMENSIONS))
        self._marks = np.concatenate([self._marks, np.zeros(rows, np.int64)])
