"""All vectors in a memory-mapped file, an annoy index over the older ones, and exact search over the newer ones.

A changed item gets a new place and its old one is masked; so nothing that the index was built from ever changes. An
index is swapped in as a whole: annoy maps the file, the old one goes with its last reader.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from reco_stream.content.build import search_k
from reco_stream.content.encoder import DIMENSIONS, Floats

TREES: Final = 30
EXACT_BELOW: Final = 2_000  # vectors; that many are compared in a millisecond, an index would be no gain
_FIRST_ROWS: Final = 1_024
_CHUNK: Final = 4_096

Accept = Callable[[str], bool]


class Vectors:
    """Items and their vectors. Not thread-safe: one thread changes and asks."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._rows: Any = np.memmap(file, np.float16, "w+", shape=(_FIRST_ROWS, DIMENSIONS))
        self._names: list[str] = []
        self._place: dict[str, int] = {}
        self._index: Any = None
        self.indexed = 0

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, item: str) -> bool:
        return item in self._place

    @property
    def rows(self) -> int:
        """Places taken, the masked ones included."""
        return len(self._names)

    @property
    def wants_index(self) -> bool:
        """Whether exact search has so much to do that an index should be built."""
        newer = self.rows - self.indexed
        return newer >= max(EXACT_BELOW, self.indexed // 10)

    def put(self, item: str, vector: Floats) -> None:
        """Take an item's vector, in place of the one before."""
        if self.rows == len(self._rows):
            self._grow()
        self._rows[self.rows] = vector
        self._place[item] = self.rows
        self._names.append(item)

    def remove(self, item: str) -> None:
        """Forget an item."""
        self._place.pop(item, None)

    def get(self, item: str) -> Floats | None:
        """Return the item's vector, None when there is none."""
        place = self._place.get(item)
        return None if place is None else np.asarray(self._rows[place], np.float32)

    def flush(self) -> None:
        """Write what another process is to read."""
        self._rows.flush()

    def use_index(self, file: Path, count: int) -> None:
        """Search the first `count` places by this index from now on."""
        index = AnnoyIndex(DIMENSIONS, "angular")
        index.load(str(file))
        self._index, self.indexed = index, count

    def nearest(self, query: Floats, count: int, accept: Accept | None = None) -> list[tuple[str, float]]:
        """Return up to `count` items by falling cosine above 0, none twice, all accepted.

        A filter is applied to 4 times as many candidates; behind the index a narrow one may leave fewer than `count`.
        """
        length = float(np.linalg.norm(query))
        if length == 0:
            return []
        query = (query / length).astype(np.float32)
        wanted = count if accept is None else 4 * count
        places = [*self._from_index(query, wanted), *self._exact(query, wanted)]
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

    def _from_index(self, query: Floats, count: int) -> list[int]:
        if self._index is None:
            return []
        # Masked places are among the nearest too: those of an item that was changed again and again.
        near = self._index.get_nns_by_vector(query, 2 * count, search_k(TREES))
        return [place for place in near if self._place.get(self._names[place]) == place][:count]

    def _exact(self, query: Floats, count: int) -> list[int]:
        scores: NDArray[np.float32] = np.concatenate(
            [
                np.asarray(self._rows[at : min(at + _CHUNK, self.rows)], np.float32) @ query
                for at in range(self.indexed, self.rows, _CHUNK)
            ]
            or [np.zeros(0, np.float32)]
        )
        wanted = min(2 * count, len(scores))
        if wanted == 0:
            return []
        best = np.argpartition(-scores, wanted - 1)[:wanted] + self.indexed
        alive = [place for place in best.tolist() if self._place.get(self._names[place]) == place]
        return alive[:count] if len(alive) <= count else sorted(alive, key=lambda p: -scores[p - self.indexed])[:count]

    def _grow(self) -> None:
        rows = len(self._rows)
        self._rows.flush()
        with self.file.open("r+b") as file:
            file.truncate(2 * rows * DIMENSIONS * 2)
        self._rows = np.memmap(self.file, np.float16, "r+", shape=(2 * rows, DIMENSIONS))
