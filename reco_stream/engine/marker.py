"""The marker: how much of the source log the rows of one partition contain.

It is written in the same RecordBatch and the same WriteBatch as the rows that it speaks of, so rows and marker
are never apart: that is the whole of the exactness argument.
"""

from __future__ import annotations

import msgspec

# Keys of the engine's own records; row keys begin with a table's letter, so 0x00 cannot collide. PLACE_KEY is in stores
# only, the others in the changelog too.
MARKER_KEY = b"\x00applied"
FENCE_KEY = b"\x00fence"
RULES_KEY = b"\x00rules"
PLACE_KEY = b"\x00position"


class Marker(msgspec.Struct, frozen=True, array_like=True):
    """One partition's position.

    applied: last source offset that the rows contain, -1 for none
    version: of the owner that wrote it, see `Claim.version`; every owner's is higher than those before
    stream_time_ms: highest event time applied, 0 for none
    baseline: first source offset that was ever folded; above 0 the log began before us
    unpublished_from: lowest changelog offset whose rows may still await publication
    fingerprint: of the row schemas and of the settings that change rows
    source_id: Kafka's id of the topic that `applied` counts in
    producer_id: of the owner that wrote it, -1 when it did not say
    """

    applied: int = -1
    version: int = 0
    stream_time_ms: int = 0
    baseline: int = 0
    unpublished_from: int = 0
    fingerprint: str = ""
    source_id: str = ""
    producer_id: int = -1


class Place(msgspec.Struct, frozen=True, array_like=True):
    """What a store has of its changelog.

    offset: the last one that it contains, -1 for none
    written_ms: when that was written
    changelog_id: Kafka's id of the topic; another topic of the same name counts other offsets
    settled: False while recovery or a standby copies rows: they are then not those of any one moment
    """

    offset: int = -1
    written_ms: int = 0
    changelog_id: str = ""
    settled: bool = True


class Fence(msgspec.Struct, frozen=True, array_like=True):
    """First record of a new owner: from its offset on the broker refuses every older epoch."""

    version: int
    owner: str


_encoder = msgspec.msgpack.Encoder()
_marker_decoder = msgspec.msgpack.Decoder(Marker)
_place_decoder = msgspec.msgpack.Decoder(Place)


def encode_marker(marker: Marker) -> bytes:
    return _encoder.encode(marker)


def decode_marker(raw: bytes) -> Marker:
    return _marker_decoder.decode(raw)


def encode_fence(fence: Fence) -> bytes:
    return _encoder.encode(fence)


def encode_place(place: Place) -> bytes:
    return _encoder.encode(place)


def decode_place(raw: bytes) -> Place:
    return _place_decoder.decode(raw)
