"""Counts per time bucket and kind in a compact form, and sums of them over windows.

A bucket is a span of equal length, numbered from the epoch (UTC); a kind is a small number that the caller gives a
meaning. Cells are packed, 18 bytes each, sorted by (bucket, kind): what is read and written a thousand times for each
time that it changes should cost one copy of bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

HOURS_PER_DAY: Final = 24

_CELL: Final = Struct("<IHId")
_CELL_DTYPE: Final = np.dtype([("bucket", "<u4"), ("kind", "<u2"), ("events", "<u4"), ("weight", "<f8")])


class Cell(NamedTuple):
    """So many `events` of `kind`, with the sum of weights `weight`, in `bucket`."""

    bucket: int
    kind: int
    events: int
    weight: float


def unpack(cells: bytes) -> Iterator[Cell]:
    """Yield the cells in order."""
    return map(Cell._make, _CELL.iter_unpack(cells))


def add(cells: bytes, more: Iterable[Cell]) -> bytes:
    """Return `cells` with `more` added; cells of the same bucket and kind become one.

    Raises struct.error when a number does not fit: bucket and events < 2**32, kind < 2**16.

    >>> cells = add(b"", [Cell(7, 0, 1, 0.5), Cell(8, 0, 1, 2.0)])
    >>> list(unpack(add(cells, [Cell(7, 0, 2, 1.0)])))
    [Cell(bucket=7, kind=0, events=3, weight=1.5), Cell(bucket=8, kind=0, events=1, weight=2.0)]
    """
    merged = {(cell.bucket, cell.kind): cell for cell in unpack(cells)}
    for cell in more:
        key = (cell.bucket, cell.kind)
        known = merged.get(key)
        if known is not None:
            cell = Cell(*key, known.events + cell.events, known.weight + cell.weight)
        merged[key] = cell
    return b"".join(_CELL.pack(*merged[key]) for key in sorted(merged))


def append(cells: bytes, cell: Cell) -> bytes:
    """Return `cells` with `cell`, which sorts behind all of them, at the end."""
    return cells + _CELL.pack(*cell)


def split(cells: bytes, first_bucket: int) -> tuple[bytes, bytes]:
    """Return the cells of buckets before `first_bucket`, and the rest."""
    at = 0
    while at < len(cells) and _CELL.unpack_from(cells, at)[0] < first_bucket:
        at += _CELL.size
    return cells[:at], cells[at:]


def share(bucket: int, bucket_ms: int, from_ms: int) -> float:
    """Return which part of `bucket` lies at or after `from_ms`, 0.0 to 1.0.

    >>> share(9, bucket_ms=100, from_ms=975), share(10, 100, 975), share(8, 100, 975)
    (0.25, 1.0, 0.0)
    """
    return min(max(((bucket + 1) * bucket_ms - from_ms) / bucket_ms, 0.0), 1.0)


class CellWeights:
    """The weights of many packed cells at once, for sums over windows: some 60 ns a cell and window.

    >>> some, none = add(b"", [Cell(7, 0, 1, 0.5), Cell(8, 0, 1, 2.0)]), b""
    >>> CellWeights([some, none]).since(from_ms=750, bucket_ms=100).tolist()
    [2.25, 0.0]
    """

    def __init__(self, cells: Sequence[bytes]) -> None:
        table = np.frombuffer(b"".join(cells), _CELL_DTYPE)
        self._owners = np.repeat(np.arange(len(cells)), [len(packed) // _CELL_DTYPE.itemsize for packed in cells])
        self._count = len(cells)
        self._buckets = table["bucket"].astype(np.int64)
        self._weights = table["weight"]

    def since(self, from_ms: int, bucket_ms: int, buckets_each: int = 1) -> NDArray[np.float64]:
        """Return each one's sum at or after `from_ms`, of the oldest bucket its `share`.

        A bucket of `bucket_ms` is made of `buckets_each` of the cells' own.
        """
        ends_ms = (self._buckets // buckets_each + 1) * bucket_ms
        shares = np.clip((ends_ms - from_ms) / bucket_ms, 0.0, 1.0)
        sums = np.bincount(self._owners, weights=shares * self._weights, minlength=self._count)
        return np.asarray(sums, np.float64)
