"""What travels on the compacted topic `{app}.vectors`, so that each text is encoded once for all workers.

    key = item_id             value = [made_ms, model, mark of the text, 384 halves]; a text that says nothing has none
    key = NUL encoder number  value = [made_ms, model, number, of, bytes]: a part of the fitted encoder

Item ids hold no NUL. A model is its name and version, and when it was put in force: the highest complete one counts, in
whatever order records come.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np

from reco_stream.catalogue import Item
from reco_stream.content.encoder import DIMENSIONS, Floats

ENCODER_KEY: Final = b"\0encoder "
PART_BYTES: Final = 512 << 10  # an encoder has 13 MB, a record of the topic at most 1


ModelKey = tuple[int, str]  # when it was put in force (ms since 1970; 0: always was), name-version


class VectorRecord(msgspec.Struct, array_like=True, frozen=True):
    """The vector of an item's text, by the model of that name and version."""

    made_ms: int
    model: str
    mark: int
    data: bytes

    @property
    def vector(self) -> Floats:
        """The 384 numbers; zeros for a text that says nothing. Raises ValueError for bytes that are none."""
        return whole(self.data) if self.data else np.zeros(DIMENSIONS, np.float32)


class _Part(msgspec.Struct, array_like=True, frozen=True):
    made_ms: int
    model: str
    number: int
    of: int
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
decode_vector = msgspec.msgpack.Decoder(VectorRecord).decode
_decode_part = msgspec.msgpack.Decoder(_Part).decode


def encode_vector(model: ModelKey, mark: int, vector: Floats) -> bytes:
    """Return the value of a vector's record."""
    return _encode(VectorRecord(*model, mark, half(vector) if vector.any() else b""))


def encoder_records(data: bytes, model: ModelKey) -> Iterator[tuple[str, bytes]]:
    """Yield (key, value) of the parts of an encoder's `dump`."""
    of = -(-len(data) // PART_BYTES)
    for number in range(of):
        part = data[number * PART_BYTES : (number + 1) * PART_BYTES]
        yield f"{ENCODER_KEY.decode()}{number}", _encode(_Part(*model, number, of, part))


class EncoderParts:
    """Puts encoders together; `newest` is the newest complete one and its bytes."""

    def __init__(self) -> None:
        self._parts: dict[ModelKey, dict[int, _Part]] = {}
        self.newest: tuple[ModelKey, bytes] | None = None

    def take(self, value: bytes) -> None:
        """Take a part. Raises msgspec.DecodeError."""
        part = _decode_part(value)
        key = part.made_ms, part.model
        if self.newest is not None and key <= self.newest[0]:
            return
        parts = self._parts.setdefault(key, {})
        parts[part.number] = part
        if len(parts) == part.of:
            self.newest = key, b"".join(parts[number].data for number in sorted(parts))
            self._parts = {other: kept for other, kept in self._parts.items() if other > key}


def text_mark(item: Item) -> int:
    """Return the fingerprint of what is encoded of an item, 63 bits."""
    return int.from_bytes(blake2b(item.text.encode(), digest_size=8).digest()) >> 1


def half(vector: Floats) -> bytes:
    """Return a vector as it is stored: half precision, 768 bytes."""
    return vector.astype(np.float16).tobytes()


def whole(data: bytes) -> Floats:
    """Return the vector of `half`. Raises ValueError for bytes that are none."""
    if len(data) != 2 * DIMENSIONS:
        raise ValueError(f"a vector has {len(data)} bytes, wanted: {2 * DIMENSIONS}")
    return np.frombuffer(data, np.float16).astype(np.float32)
