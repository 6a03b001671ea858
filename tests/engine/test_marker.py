"""The engine's own records: they survive encoding, older ones are read, and no row can be taken for one."""

import msgspec
import pytest

from reco_stream.engine import marker as module
from reco_stream.engine.marker import (
    FENCE_KEY,
    MARKER_KEY,
    PLACE_KEY,
    RULES_KEY,
    Fence,
    Marker,
    Place,
    decode_marker,
    decode_place,
    encode_fence,
    encode_marker,
    encode_place,
)
from tables import ALL_TABLES

MARKER = Marker(7, 1 << 40, 1_700_000_000_000, 3, 99, "abc", "0f" * 16, 12)


def test_marker_survives_encoding() -> None:
    assert decode_marker(encode_marker(MARKER)) == MARKER
    assert decode_marker(encode_marker(Marker())) == Marker()


def test_marker_of_an_older_version_is_read_with_defaults() -> None:
    old = msgspec.msgpack.encode(msgspec.structs.astuple(MARKER)[:6])
    assert decode_marker(old) == Marker(7, 1 << 40, 1_700_000_000_000, 3, 99, "abc")


def test_place_survives_encoding() -> None:
    place = Place(5, 1_700_000_000_000, "0f" * 16, settled=False)
    assert decode_place(encode_place(place)) == place


def test_fence_names_its_owner() -> None:
    raw = encode_fence(Fence(1 << 40, "http://worker-1:6066"))
    assert msgspec.msgpack.decode(raw, type=Fence) == Fence(1 << 40, "http://worker-1:6066")


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x91\xa1x", b"{}"])
def test_other_bytes_are_no_marker(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_marker(raw)


def test_no_row_key_collides_with_the_engines_own() -> None:
    own = {MARKER_KEY, FENCE_KEY, RULES_KEY, PLACE_KEY}
    assert len(own) == len([name for name in vars(module) if name.endswith("_KEY")])
    assert {key[:1] for key in own} == {b"\x00"}
    assert b"\x00" not in {table.prefix for table in ALL_TABLES}
