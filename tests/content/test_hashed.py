from __future__ import annotations

import numpy as np
import pytest

from reco_stream.content.encoder import DIMENSIONS
from reco_stream.content.hashed import SAMPLE, HashedEncoder, features

TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("lamp", "table", "chair", "wardrobe")]


def test_rows_have_384_numbers_and_length_1() -> None:
    rows = HashedEncoder.fit(TEXTS).encode([*TEXTS, "", "???"])
    assert rows.shape == (len(TEXTS) + 2, DIMENSIONS)
    assert np.linalg.norm(rows[:-2], axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert not rows[-2:].any()


def test_like_texts_are_near_even_with_new_words_and_misspelt() -> None:
    encoder = HashedEncoder.fit(TEXTS)
    lamp, other, typo, table = encoder.encode(["red lamp", "yellow lamp", "red lmap lamps", "oak table"])
    assert lamp @ other > lamp @ table + 0.3
    assert lamp @ typo > lamp @ table + 0.3


def test_the_same_texts_give_the_same_encoder_and_it_survives_storage() -> None:
    encoder = HashedEncoder.fit(TEXTS)
    again, other = HashedEncoder.fit(TEXTS), HashedEncoder.fit(TEXTS[:-1])
    assert encoder.version == again.version != other.version
    loaded = HashedEncoder.load(encoder.dump())
    assert (loaded.version, loaded.fitted_on) == (encoder.version, len(TEXTS))
    assert np.array_equal(loaded.encode(TEXTS), encoder.encode(TEXTS))


def test_it_is_fitted_on_anything() -> None:
    for texts in ([], [""], ["a"], ["x"] * 10, [f"item {number}" for number in range(3)]):
        assert HashedEncoder.fit(texts).encode(["a", "item 1"]).shape == (2, DIMENSIONS)


def test_features_are_words_pairs_and_parts_of_words() -> None:
    assert sum(features("ab cd").values()) == 2 + 1 + 2 * (2 + 1)
    assert features("AB") == features("ab")
    assert sum(features("x" * 10 * SAMPLE).values()) < 4 * SAMPLE
