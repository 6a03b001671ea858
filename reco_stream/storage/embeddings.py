"""Encoders and vectors in PostgreSQL, so that workers share them and a restart encodes nothing again.

Everything here may be computed anew: while the database is away, it is.
"""

from __future__ import annotations

import logging

from reco_stream.content.encoder import Encoder, Floats
from reco_stream.content.hashed import HashedEncoder
from reco_stream.content.records import half, whole
from reco_stream.storage.database import Database, DatabaseDown

log = logging.getLogger(__name__)

_SAVE = """
INSERT INTO item_embeddings (item_id, model_name, model_version, text_mark, vector)
SELECT item_id, $2, $3, text_mark, vector
FROM unnest($1::text[], $4::bigint[], $5::bytea[]) AS x(item_id, text_mark, vector)
ORDER BY item_id
ON CONFLICT (item_id) DO UPDATE SET model_name = excluded.model_name, model_version = excluded.model_version,
    text_mark = excluded.text_mark, vector = excluded.vector, updated_at = now()
"""


class StoredContent:
    """`Archive` of a ContentModel."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_model(self, at_least: int) -> HashedEncoder | None:
        """Return the newest encoder if it was fitted on so many items; None while there is none, or no database."""
        query = "SELECT parameters FROM model_versions WHERE name = $1 ORDER BY created_at DESC LIMIT 1"
        try:
            async with self._database.connection() as connection:
                found = await connection.fetchval(query, HashedEncoder.name)
        except DatabaseDown:
            return None
        encoder = None if found is None else HashedEncoder.load(found)
        return encoder if encoder is not None and encoder.fitted_on >= at_least else None

    async def save_model(self, encoder: HashedEncoder) -> None:
        """Keep the encoder for other workers."""
        query = "INSERT INTO model_versions (name, version, parameters) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        try:
            async with self._database.connection() as connection:
                await connection.execute(query, encoder.name, encoder.version, encoder.dump())
        except DatabaseDown as error:
            log.warning("the encoder is not stored: %s", error)

    async def load_vectors(self, encoder: Encoder, marks: dict[str, int]) -> dict[str, Floats]:
        """Return the vectors of those items whose text is still the one that was encoded."""
        query = (
            "SELECT item_id, text_mark, vector FROM item_embeddings "
            "WHERE item_id = ANY($1::text[]) AND model_name = $2 AND model_version = $3"
        )
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query, list(marks), encoder.name, encoder.version)
        except DatabaseDown:
            return {}
        return {row["item_id"]: whole(row["vector"]) for row in rows if row["text_mark"] == marks[row["item_id"]]}

    async def save_vectors(self, encoder: Encoder, vectors: dict[str, tuple[int, Floats]]) -> bool:
        """Keep vectors with the model that made them; return whether the database took them."""
        items = sorted(vectors)
        marks = [vectors[item][0] for item in items]
        data = [half(vectors[item][1]) for item in items]
        try:
            async with self._database.connection() as connection:
                await connection.execute(_SAVE, items, encoder.name, encoder.version, marks, data)
        except DatabaseDown as error:
            log.warning("%d vectors are not stored yet: %s", len(items), error)
            return False
        return True
