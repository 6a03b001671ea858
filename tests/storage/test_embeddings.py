from __future__ import annotations

import numpy as np
import pytest

from reco_stream.content.hashed import HashedEncoder
from reco_stream.storage.database import Database
from reco_stream.storage.embeddings import StoredContent

TEXTS = ["red lamp", "oak table", "garden chair"]


async def test_a_model_is_loaded_as_it_was_saved_if_it_saw_enough(database: Database) -> None:
    stored, encoder = StoredContent(database), HashedEncoder.fit(TEXTS)
    assert await stored.load_model(1) is None
    await stored.save_model(encoder)
    await stored.save_model(encoder)
    loaded = await stored.load_model(3)
    assert loaded is not None
    assert loaded.version == encoder.version
    assert await stored.load_model(4) is None


async def test_vectors_belong_to_a_text_and_a_model(database: Database) -> None:
    stored, encoder = StoredContent(database), HashedEncoder.fit(TEXTS)
    rows = encoder.encode(TEXTS)
    assert await stored.save_vectors(encoder, {"b": (2, rows[1]), "a": (1, rows[0])})
    await stored.save_vectors(encoder, {"a": (2**63 - 1, rows[2])})
    found = await stored.load_vectors(encoder, {"a": 2**63 - 1, "b": 7, "c": 1})
    assert list(found) == ["a"]
    assert found["a"] == pytest.approx(rows[2], abs=1e-3)
    assert await stored.load_vectors(HashedEncoder.fit(TEXTS[:2]), {"a": 2**63 - 1}) == {}


async def test_without_a_database_everything_is_computed() -> None:
    stored, encoder = StoredContent(Database("postgresql://u:p@127.0.0.1:1/d", 2, 1)), HashedEncoder.fit(TEXTS)
    await stored.save_model(encoder)
    assert await stored.save_vectors(encoder, {"a": (1, np.zeros(384, np.float32))}) is False
    assert await stored.load_model(0) is None
    assert await stored.load_vectors(encoder, {"a": 1}) == {}
