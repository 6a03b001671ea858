"""A published value carries its stamp, in an order that sorts as numbers do."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.engine.published import Stamp, seal, unseal

STAMPS = st.builds(Stamp, st.integers(0, 2**64 - 1), st.integers(-1, 2**63 - 1), st.integers(0, 2**64 - 1))


@given(STAMPS, st.binary(max_size=20))
def test_what_was_sealed_comes_back(stamp: Stamp, value: bytes) -> None:
    assert unseal(seal(stamp, value)) == (stamp, value)


def test_header_is_that_of_the_contract() -> None:
    """24 bytes, big endian: version, applied, stream time; other programs read it too."""
    assert seal(Stamp(1, -1, 2), b"row") == struct.pack(">QqQ", 1, -1, 2) + b"row"
    assert len(seal(Stamp(0, 0, 0), b"")) == 24


def test_value_without_a_stamp_is_refused() -> None:
    with pytest.raises(struct.error):
        unseal(b"x" * 23)
