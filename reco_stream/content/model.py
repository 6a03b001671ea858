"""Keeps vectors in step with the catalogue: encodes new and changed texts, fits the encoder, builds the index.

All of it happens beside serving, which asks what there is. An item is encoded again only when its text changed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
import numpy as np

from reco_stream import metrics
from reco_stream.catalogue import Catalogue, Item
from reco_stream.content.encoder import DIMENSIONS, Encoder, Floats
from reco_stream.content.hashed import SAMPLE, HashedEncoder
from reco_stream.content.processes import WorkFailed, run_module
from reco_stream.content.vectors import TREES, Vectors
from reco_stream.domain.ranker import Near

log = logging.getLogger(__name__)

BATCH: Final = 128  # texts between two turns of the loop, about 20 ms of a thread
_IDLE_S: Final = 0.02
_REFIT_FACTOR: Final = 2
_RETRY_S: Final = 1.0
_FIT_HERE_BELOW: Final = 200  # texts: 50 ms, where starting a process takes a second

Stage = Literal["waiting", "fitting", "encoding", "indexing", "idle"]


class Archive(Protocol):
    """Where models and vectors outlive the worker; both may fail, and then everything is computed here."""

    async def load_model(self, at_least: int) -> HashedEncoder | None: ...
    async def save_model(self, encoder: HashedEncoder) -> None: ...
    async def load_vectors(self, encoder: Encoder, hashes: dict[str, bytes]) -> dict[str, Floats]: ...
    async def save_vectors(self, encoder: Encoder, vectors: dict[str, tuple[bytes, Floats]]) -> None: ...


class ContentModel:
    """Vectors of a catalogue, for `ContentSource` and for POST /admin/reindex."""

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path,
        encoder: Encoder | None = None,
        archive: Archive | None = None,
        complete: Callable[[], bool] = lambda: True,
    ) -> None:
        """Without an `encoder`, one is fitted on the catalogue. Nothing is done before `complete`."""
        shutil.rmtree(folder, ignore_errors=True)
        self._catalogue = catalogue
        self._folder = folder
        self._fixed = encoder
        self._encoder = encoder
        self._archive = archive
        self._complete = complete
        self._generation = 0
        self.vectors = Vectors(folder / "vectors-0.f16")
        self._hashes: dict[str, bytes] = {}
        self._pending: dict[str, None] = dict.fromkeys(catalogue)
        self._touched: set[str] | None = None  # changed while everything is encoded anew
        self._reindex = asyncio.Event()
        self._built_s = 0.0
        self.stage: Stage = "waiting"
        self.recall: float | None = None
        catalogue.listeners.append(self._changed)

    @property
    def ready(self) -> bool:
        """Whether there is any vector."""
        return len(self.vectors) > 0

    @property
    def known(self) -> int:
        """Items that have a vector."""
        return len(self.vectors)

    @property
    def indexed(self) -> int:
        """Vectors in the index."""
        return self.vectors.indexed

    @property
    def waiting(self) -> int:
        """Items whose text is not encoded yet."""
        return len(self._pending)

    @property
    def model(self) -> str | None:
        """Name and version of the encoder."""
        return None if self._encoder is None else f"{self._encoder.name}-{self._encoder.version}"

    def reindex(self) -> None:
        """Ask for a new encoder and a new index; the old ones serve meanwhile."""
        self._reindex.set()

    def near(self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None) -> list[Near]:
        """Return items near the weighted mean of the seeds' vectors, each with the seed that is nearest to it."""
        known = [(item, weight, vector) for item, weight in seeds if (vector := self.vectors.get(item)) is not None]
        if not known:
            return []
        query = np.array([weight for _, weight, _ in known], np.float32) @ np.stack([vector for *_, vector in known])
        found = self.vectors.nearest(query, count, accept)
        matrix = np.stack([vector for _, _, vector in known])
        result = []
        for item, cosine in found:
            vector = self.vectors.get(item)
            best = int(np.argmax(matrix @ vector)) if vector is not None else 0
            result.append(Near(item, min(cosine, 1.0), known[best][0]))
        return result

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            if not self._complete():
                await asyncio.sleep(_IDLE_S)
                continue
            asked = self._reindex.is_set()
            self._reindex.clear()
            if asked or self._wants_fit():
                await self._fit(asked)
            if self._encoder is not None and self._pending:
                await self._encode_batch()
                continue
            if asked or self.vectors.wants_index:
                await self._build_index()
            self.stage = "idle" if self.ready else "waiting"
            metrics.content_age.set(time.time() - self._built_s if self._built_s else 0)
            await asyncio.sleep(_IDLE_S)

    def _changed(self, item_id: str, item: Item | None) -> None:
        if self._touched is not None:
            self._touched.add(item_id)
        if item is None:
            self._hashes.pop(item_id, None)
            self.vectors.remove(item_id)
            self._pending.pop(item_id, None)
        elif text_hash(item) != self._hashes.get(item_id):
            self._pending[item_id] = None

    def _wants_fit(self) -> bool:
        if self._fixed is not None:
            return False
        fitted_on = self._encoder.fitted_on if isinstance(self._encoder, HashedEncoder) else 0
        return len(self._catalogue) >= max(_REFIT_FACTOR * fitted_on, 1)

    async def _fit(self, asked: bool) -> None:
        """Gets an encoder for the catalogue as it is now, and encodes everything with it into a new file.

        Meanwhile the encoder and the vectors of before go on serving, and take in what changes.
        """
        self.stage = "fitting"
        encoder = self._fixed or await self._fitted(asked)
        fresh, hashes = self._next_vectors(), dict[str, bytes]()
        self._touched = set()
        for batch in _batches(list(self._catalogue), BATCH):
            self.stage = "encoding"
            for item, (digest, vector) in (await self._vectors_of(batch, encoder)).items():
                if item in self._catalogue:
                    fresh.put(item, vector)
                    hashes[item] = digest
            if self._encoder is not None and self._pending:
                await self._encode_batch()
        touched, self._touched = self._touched, None
        for item in touched - self._catalogue.keys():
            fresh.remove(item)
        self._pending = {item: None for item in touched if item in self._catalogue}
        self.vectors, self._hashes, self._encoder = fresh, hashes, encoder

    async def _fitted(self, asked: bool) -> HashedEncoder:
        """Returns the stored encoder if it has seen half of the catalogue, else a new one."""
        size = len(self._catalogue)
        if self._archive is not None and not asked:
            stored = await self._archive.load_model(size // _REFIT_FACTOR + 1)
            if stored is not None:
                return stored
        step = -(-size // SAMPLE) or 1
        texts = [item.text for item in islice(self._catalogue.values(), 0, None, step)]
        found = await self._new_encoder(texts)
        found.fitted_on = size
        if self._archive is not None:
            await self._archive.save_model(found)
        return found

    async def _new_encoder(self, texts: list[str]) -> HashedEncoder:
        if len(texts) < _FIT_HERE_BELOW:
            return await asyncio.to_thread(HashedEncoder.fit, texts)
        given, out = self._folder / "texts.json", self._folder / "encoder.npz"
        given.write_bytes(msgspec.json.encode(texts))
        await run_module("reco_stream.content.fit", str(given), str(out))
        return HashedEncoder.load(out.read_bytes())

    def _next_vectors(self) -> Vectors:
        self._generation += 1
        return Vectors(self._folder / f"vectors-{self._generation}.f16")

    async def _encode_batch(self) -> None:
        self.stage = "encoding"
        assert self._encoder is not None
        batch = list(islice(self._pending, BATCH))
        for item in batch:
            del self._pending[item]
        for item, (digest, vector) in (await self._vectors_of(batch, self._encoder)).items():
            if item in self._catalogue:
                self.vectors.put(item, vector)
                self._hashes[item] = digest

    async def _vectors_of(self, batch: Sequence[str], encoder: Encoder) -> dict[str, tuple[bytes, Floats]]:
        """Returns text hash and vector of each item that is still there and says something."""
        texts = {item: self._catalogue[item] for item in batch if item in self._catalogue}
        hashes = {item_id: text_hash(item) for item_id, item in texts.items()}
        kept = await self._archive.load_vectors(encoder, hashes) if self._archive is not None else {}
        missing = [item for item in texts if item not in kept]
        encoded = await asyncio.to_thread(encoder.encode, [texts[item].text for item in missing])
        made = {item: (hashes[item], vector) for item, vector in zip(missing, encoded, strict=True)}
        if self._archive is not None and made:
            await self._archive.save_vectors(encoder, made)
        found = made | {item: (hashes[item], vector) for item, vector in kept.items()}
        return {item: pair for item, pair in found.items() if pair[1].any()}

    async def _build_index(self) -> None:
        """Builds the index in a process of its own and swaps it in."""
        self.stage = "indexing"
        vectors, count = self.vectors, self.vectors.rows
        if count == 0:
            return
        vectors.flush()
        out = self._folder / f"index-{self._generation}-{count}.ann"
        try:
            arguments = (str(vectors.file), str(count), str(out), str(TREES))
            printed = await run_module("reco_stream.content.build", *arguments)
        except WorkFailed as error:
            log.error("the index was not built: %s", error)
            await asyncio.sleep(_RETRY_S)
            return
        vectors.use_index(out, count)
        self.recall = float(json.loads(printed)["recall"])
        self._built_s = time.time()
        metrics.content_indexed.set(count)
        metrics.content_recall.set(self.recall)
        for old in self._folder.iterdir():  # files that are still mapped live on until they are let go
            if old not in (out, vectors.file):
                old.unlink()


def text_hash(item: Item) -> bytes:
    """Return the fingerprint of what is encoded of an item."""
    return blake2b(item.text.encode(), digest_size=16).digest()


def _batches(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def half(vector: Floats) -> bytes:
    """Return a vector as it is stored: half precision, 768 bytes."""
    return vector.astype(np.float16).tobytes()


def whole(data: bytes) -> Floats | None:
    """Return the vector of `half`; None for bytes that are none."""
    found: Any = np.frombuffer(data, np.float16).astype(np.float32) if len(data) == 2 * DIMENSIONS else None
    return None if found is None else np.asarray(found, np.float32)
