from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from reco_stream.catalogue import Item
from reco_stream.content.encoder import DIMENSIONS
from reco_stream.content.hashed import HashedEncoder
from reco_stream.content.records import (
    PART_BYTES,
    EncoderParts,
    decode_vector,
    encode_vector,
    encoder_records,
    half,
    text_mark,
    whole,
)


def test_a_vector_comes_back_in_half_precision() -> None:
    vector = HashedEncoder.fit(["oak table"]).encode(["oak table"])[0]
    value = encode_vector((5, "hashed-1"), 2**63 - 1, vector)
    record = decode_vector(value)
    assert (record.made_ms, record.model, record.mark) == (5, "hashed-1", 2**63 - 1)
    assert record.vector == pytest.approx(vector, abs=1e-3)
    assert 768 < len(value) < 800
    assert whole(half(vector)).dtype == np.float32
    with pytest.raises(ValueError, match="12 bytes, wanted: 768"):
        whole(bytes(12))


def test_a_text_that_says_nothing_takes_no_bytes() -> None:
    value = encode_vector((5, "hashed-1"), 1, np.zeros(DIMENSIONS, np.float32))
    assert len(value) < 40
    assert not decode_vector(value).vector.any()


def test_encoders_are_put_together_from_parts_in_any_order_and_the_newest_counts() -> None:
    data = {made_ms: bytes(random.Random(made_ms).randbytes(3 * PART_BYTES - 7)) for made_ms in (1, 2, 3)}
    records = [value for made_ms in data for _, value in encoder_records(data[made_ms], (made_ms, "hashed-a"))]
    assert len(records) == 9
    for seed in range(5):
        parts = EncoderParts()
        for value in random.Random(seed).sample(records[:8], 8):  # the last part of the third is missing
            parts.take(value)
        assert parts.newest == ((2, "hashed-a"), data[2])
        parts.take(records[8])
        assert parts.newest == ((3, "hashed-a"), data[3])
    with pytest.raises(msgspec.DecodeError):
        parts.take(b"?")


def test_parts_of_an_encoder_have_keys_that_no_item_has() -> None:
    keys = [key for key, _ in encoder_records(bytes(PART_BYTES + 1), (1, "hashed-a"))]
    assert keys == ["\0encoder 0", "\0encoder 1"]


def test_the_mark_changes_with_the_text_alone() -> None:
    lamp = Item(item_id="a", title="Lamp", categories=("light",))
    assert text_mark(lamp) == text_mark(msgspec.structs.replace(lamp, price=2.0, stock=1))
    assert text_mark(lamp) != text_mark(msgspec.structs.replace(lamp, tags=("new",)))
    assert 0 <= text_mark(lamp) < 2**63
