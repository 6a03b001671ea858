"""The form of a published value: absolute, keyed by what it describes, stamped with who folded it and how far.

Readers keep the value with the highest (version, applied) of each key and add the partitions up, so duplicates,
replays and a late zombie change nothing.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

# Topic, key, and value or None for "gone".
Value = tuple[str, bytes, bytes | None]
# What a row looked like: its make-up (any difference is a large move), and its size.
Measure = tuple[int, float]

_HEADER = struct.Struct(">QqQ")


class Stamp(NamedTuple):
    """version: of the claim; applied: source offset; stream_time_ms: of the partition when the value was read."""

    version: int
    applied: int
    stream_time_ms: int


def seal(stamp: Stamp, value: bytes) -> bytes:
    return _HEADER.pack(*stamp) + value


def unseal(sealed: bytes) -> tuple[Stamp, bytes]:
    """Raises struct.error when `sealed` is shorter than a stamp."""
    return Stamp._make(_HEADER.unpack_from(sealed)), sealed[_HEADER.size :]
