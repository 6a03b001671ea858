"""Keeps vectors in step with the catalogue: this worker's share is encoded and published, the rest comes from others.

    {app}.items ──> pending: is the vector that of the text?
                      ├─ yes: done
                      ├─ no, and the item is this worker's: database, else encode ──> database, {app}.vectors
                      └─ no, and it is another's: awaited from {app}.vectors

A new encoder fills vectors of its own beside those that serve; they take over when all are there and indexed.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
import numpy as np

from reco_stream.catalogue import Catalogue, Item
from reco_stream.content.encoder import Encoder, Floats
from reco_stream.content.hashed import SAMPLE, HashedEncoder
from reco_stream.content.indexing import Spaces
from reco_stream.content.processes import run_module
from reco_stream.content.records import (
    ENCODER_KEY,
    EncoderParts,
    ModelKey,
    decode_vector,
    encode_vector,
    encoder_records,
    text_mark,
)
from reco_stream.content.share import Alone, NotPublished, Share
from reco_stream.domain.ranker import Near

log = logging.getLogger(__name__)

BATCH: Final = 128  # texts between two turns of the loop, about 30 ms of a thread
ROUGH: Final = 0.25
_IDLE_S: Final = 0.1  # a look costs 50 us: every 20 ms they took .4 % of a core
_REFIT_FACTOR: Final = 2
_RETRY_S: Final = 1.0
_FIT_HERE_BELOW: Final = 200  # texts: 50 ms, where starting a process takes a second

Stage = Literal["waiting", "fitting", "encoding", "indexing", "idle"]
Marked = dict[str, tuple[int, Floats]]  # by item: mark of the text, vector


class Archive(Protocol):
    """Where models and vectors outlive Kafka's topic; all of it may fail, and then everything is computed here."""

    async def load_model(self, at_least: int) -> HashedEncoder | None: ...
    async def save_model(self, encoder: HashedEncoder) -> None: ...
    async def load_vectors(self, encoder: Encoder, marks: dict[str, int]) -> dict[str, Floats]: ...
    async def save_vectors(self, encoder: Encoder, vectors: Marked) -> bool: ...


class ContentModel:
    """Vectors of a catalogue, for `ContentSource` and for POST /admin/reindex."""

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path,
        encoder: Encoder | None = None,
        archive: Archive | None = None,
        complete: Callable[[], bool] = lambda: True,
        share: Share | None = None,
    ) -> None:
        """Without an `encoder`, one is fitted on the catalogue. Nothing is done before both topics are `complete`."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self._catalogue = catalogue
        self._folder = folder
        self._fixed = encoder
        self._name = HashedEncoder.name if encoder is None else encoder.name
        self._encoder = encoder
        self._archive = archive
        self._complete = complete
        self._share = share or Alone()
        self._parts = EncoderParts()
        self._spaces = Spaces(folder)
        self._pending: dict[str, None] = dict.fromkeys(catalogue)
        self._awaited: set[str] = set()
        self._gone: set[str] = set()  # deleted items of ours whose vector is to be removed from the topic
        self._unsaved: dict[str, None] = {}
        self._owned = self._share.owned
        self._reindex = self._fitting = False
        self._retry_at = 0.0
        if encoder is not None:
            self._spaces.aim_at((0, self._named(encoder)))
        catalogue.listeners.append(self._changed)

    # -- what it tells ----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is any vector."""
        return self.known > 0

    @property
    def known(self) -> int:
        """Items that have a vector."""
        shown = self._spaces.shown
        return 0 if shown is None else len(shown)

    @property
    def indexed(self) -> int:
        """Vectors in the index."""
        return self._spaces.shown.indexed if self._spaces.shown is not None else 0

    @property
    def waiting(self) -> int:
        """Items whose vector by the newest encoder is not here yet."""
        return len(self._pending) + len(self._awaited)

    @property
    def recall(self) -> float | None:
        """Recall@50 of the index, None without one."""
        return self._spaces.shown.recall if self._spaces.shown is not None else None

    @property
    def model(self) -> str | None:
        """Name and version of the newest encoder."""
        return None if self._encoder is None else self._named(self._encoder)

    @property
    def stage(self) -> Stage:
        """What is going on."""
        if self._fitting or self._reindex:
            return "fitting"
        if self._spaces.aim is None or not self._complete():
            return "waiting"
        if self.waiting:
            return "encoding"
        return "indexing" if self._spaces.is_busy else "idle"

    def near(self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None) -> list[Near]:
        """Return items near the weighted mean of the seeds' vectors, each with the seed that is nearest to it.

        A mean is a rough question: an index inspects a quarter of its nodes for it, 2 ms at 50,000 items instead of 6.
        """
        vectors = self._spaces.shown
        if vectors is None:
            return []
        known = [(item, weight, vector) for item, weight in seeds if (vector := vectors.get(item)) is not None]
        if not known:
            return []
        matrix = np.stack([vector for _, _, vector in known])
        query = np.array([weight for _, weight, _ in known], np.float32) @ matrix
        result = []
        for item, cosine in vectors.nearest(query, count, accept, ROUGH if len(known) > 1 else 1.0):
            vector = vectors.get(item)
            best = int(np.argmax(matrix @ vector)) if vector is not None else 0
            result.append(Near(item, min(cosine, 1.0), known[best][0]))
        return result

    # -- what it is told --------------------------------------------------------------------------------------------

    def reindex(self) -> None:
        """Ask for a new encoder and a new index; the old ones serve meanwhile."""
        self._reindex = True

    def take_in(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take a record of `{app}.vectors`; one that cannot be read changes nothing."""
        try:
            if key.startswith(ENCODER_KEY):
                if value is not None and self._fixed is None:
                    self._parts.take(value)
            elif value is None:
                if key.decode() not in self._catalogue:
                    self._spaces.remove(key.decode())
            else:
                record = decode_vector(value)
                model = record.made_ms, record.model
                if record.model.startswith(f"{self._name}-") and self._spaces.is_wanted(model):
                    self._take_vector(key.decode(), model, record.mark, record.vector)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("a record of the vectors topic, partition %d, is none: %s", partition, error)

    def _take_vector(self, item: str, model: ModelKey, mark: int, vector: Floats) -> None:
        space = self._spaces.of(model)
        if space.mark_of(item) != mark:
            space.put(item, vector, mark)
        if item in self._awaited:
            self._awaited.discard(item)
            self._pending[item] = None

    def _changed(self, item_id: str, item: Item | None) -> None:
        if item is not None:
            self._pending[item_id] = None
            return
        self._pending.pop(item_id, None)
        self._awaited.discard(item_id)
        if self._spaces.remove(item_id):
            self._gone.add(item_id)

    # -- the work ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled."""
        while not self._complete():
            await asyncio.sleep(_IDLE_S)
        await self._forget_the_deleted()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._upkeep())
            both.create_task(self._spaces.keep_indexed(self._is_settled))

    def _is_settled(self) -> bool:
        return not self._reindex and not self.waiting

    async def _upkeep(self) -> None:
        while True:
            try:
                await self._turn()
            except NotPublished as error:
                log.warning("vectors are not published, trying again: %s", error)
                await asyncio.sleep(_RETRY_S)

    async def _turn(self) -> None:
        newest = self._parts.newest
        if newest is not None and (self._spaces.aim is None or newest[0] > self._spaces.aim):
            self._use(await asyncio.to_thread(HashedEncoder.load, newest[1]), newest[0])
        if self._reindex or (self._share.leads and self._wants_fit()):
            await self._fit()
        if self._owned != self._share.owned:
            self._owned = self._share.owned
            self._pending.update(dict.fromkeys(self._awaited))
            self._awaited.clear()
        if self._gone:
            await self._publish_the_gone()
        if self._encoder is not None and self._pending:
            await self._look_at_some(self._encoder)
            await asyncio.sleep(0)
            return
        await self._save_the_unsaved()
        await asyncio.sleep(_IDLE_S)

    @staticmethod
    def _named(encoder: Encoder) -> str:
        return f"{encoder.name}-{encoder.version}"

    def _use(self, encoder: Encoder, model: ModelKey) -> None:
        self._encoder = encoder
        self._spaces.aim_at(model)
        self._awaited.clear()
        self._pending = dict.fromkeys(self._catalogue)

    def _wants_fit(self) -> bool:
        if self._fixed is not None:
            return False
        fitted_on = self._encoder.fitted_on if isinstance(self._encoder, HashedEncoder) else 0
        return len(self._catalogue) >= max(_REFIT_FACTOR * fitted_on, 1)

    async def _fit(self) -> None:
        """Puts a new encoder in force, here and by way of the topic everywhere; a fixed one stays."""
        asked, self._reindex, self._fitting = self._reindex, False, True
        try:
            if self._fixed is None:
                encoder = await self._fitted(asked)
                before_ms = self._spaces.aim[0] if self._spaces.aim is not None else 0
                model = max(int(time.time() * 1000), before_ms + 1), self._named(encoder)
                await self._share.publish(list(encoder_records(encoder.dump(), model)))
                self._use(encoder, model)
            self._spaces.wants_rebuild |= asked
        except NotPublished:
            self._reindex = asked
            raise
        finally:
            self._fitting = False

    async def _fitted(self, asked: bool) -> HashedEncoder:
        """Returns the stored encoder if it has seen half of the catalogue, else a new one."""
        size = len(self._catalogue)
        if self._archive is not None and not asked:
            stored = await self._archive.load_model(size // _REFIT_FACTOR + 1)
            if stored is not None:
                return stored
        step = -(-size // SAMPLE) or 1
        found = await self._new_encoder([item.text for item in islice(self._catalogue.values(), 0, None, step)])
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

    async def _look_at_some(self, encoder: Encoder) -> None:
        """Takes a batch of pending items through the steps at the top of this file."""
        batch = list(islice(self._pending, BATCH))
        marks: dict[str, int] = {}
        for item_id in batch:
            item = self._catalogue.get(item_id)
            if item is None or self._spaces.aimed.mark_of(item_id) == (mark := text_mark(item)):
                continue
            if self._share.is_mine(item_id):
                marks[item_id] = mark
            else:
                self._awaited.add(item_id)
        looked_at = {item: self._catalogue.get(item) for item in batch}
        if marks:
            await self._encode(encoder, marks)
        for item_id, item in looked_at.items():
            if self._catalogue.get(item_id) is item:  # else it was changed meanwhile
                self._pending.pop(item_id, None)

    async def _encode(self, encoder: Encoder, marks: dict[str, int]) -> None:
        texts = {item: self._catalogue[item].text for item in marks}
        kept = await self._archive.load_vectors(encoder, marks) if self._archive is not None else {}
        missing = [item for item in texts if item not in kept]
        encoded = await asyncio.to_thread(encoder.encode, [texts[item] for item in missing])
        made: Marked = {item: (marks[item], vector) for item, vector in zip(missing, encoded, strict=True)}
        if self._archive is not None and made and not await self._archive.save_vectors(encoder, made):
            self._unsaved.update(dict.fromkeys(made))
        found = made | {item: (marks[item], vector) for item, vector in kept.items()}
        model = self._spaces.aim
        assert model is not None
        await self._share.publish(
            [(item, encode_vector(model, mark, vector)) for item, (mark, vector) in found.items()]
        )
        space = self._spaces.of(model)
        for item, (mark, vector) in found.items():
            if item in self._catalogue and space.mark_of(item) != mark:
                space.put(item, vector, mark)

    async def _save_the_unsaved(self) -> None:
        """Tries again what the database did not take while it was away."""
        if not self._unsaved or self._archive is None or self._encoder is None or time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + _RETRY_S
        batch, space = list(islice(self._unsaved, BATCH)), self._spaces.aimed
        vectors: dict[str, Any] = {item: (space.mark_of(item), space.get(item)) for item in batch if item in space}
        known: Marked = {item: pair for item, pair in vectors.items() if pair[1] is not None}
        if not known or await self._archive.save_vectors(self._encoder, known):
            self._retry_at = 0.0
            for item in batch:
                del self._unsaved[item]

    async def _publish_the_gone(self) -> None:
        gone = set(islice(self._gone, BATCH))
        ours = [item for item in gone if item not in self._catalogue and self._share.is_mine(item)]
        await self._share.publish([(item, None) for item in ours])
        self._gone -= gone

    async def _forget_the_deleted(self) -> None:
        """Removes vectors of items that the catalogue does not have."""
        for number, item in enumerate(self._spaces.items()):
            if item not in self._catalogue:
                self._spaces.remove(item)
                self._gone.add(item)
            if number % 1_000 == 0:
                await asyncio.sleep(0)
