"""The vectors of each encoder there is: those that serve, those of a newer encoder on their way, and their indexes."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from itertools import count as counted
from pathlib import Path
from typing import Final

from reco_stream import metrics
from reco_stream.content.processes import WorkFailed, run_module
from reco_stream.content.records import ModelKey
from reco_stream.content.vectors import TREES, Vectors

log = logging.getLogger(__name__)

_IDLE_S: Final = 0.1
_RETRY_S: Final = 1.0


class Spaces:
    """Vectors by model; `shown` serve, `aimed` are those of the newest encoder, in the end the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vectors: dict[ModelKey, Vectors] = {}
        self._numbers = counted()
        self._built_s = 0.0
        self.aim: ModelKey | None = None
        self.shown: Vectors | None = None
        self.wants_rebuild = False
        self.building = False

    @property
    def aimed(self) -> Vectors:
        """The vectors of the newest encoder."""
        assert self.aim is not None
        return self.of(self.aim)

    @property
    def is_busy(self) -> bool:
        """Whether an index is being built, or will be before the newest vectors serve."""
        return self.building or self.wants_rebuild or self.aimed is not self.shown

    def of(self, model: ModelKey) -> Vectors:
        """Return the vectors of a model, empty at first."""
        found = self._vectors.get(model)
        if found is None:
            found = self._vectors[model] = Vectors(self._folder / f"vectors-{next(self._numbers)}.f16")
        return found

    def is_wanted(self, model: ModelKey) -> bool:
        """Say whether vectors of the model are of any use: it serves, or it is not older than the newest known."""
        return self.aim is None or model >= self.aim or model in self._vectors

    def aim_at(self, model: ModelKey) -> None:
        """Say which model's vectors shall serve; until they are all there, those go on that know most."""
        self.aim = model
        aimed = self.aimed
        if self.shown is None or not len(self.shown):
            most = max(self._vectors.values(), key=len)
            self.shown = most if len(most) else aimed
        self._drop_others()

    def remove(self, item: str) -> bool:
        """Forget an item in all of them; return whether any knew it."""
        holders = [vectors for vectors in self._vectors.values() if item in vectors]
        for vectors in holders:
            vectors.remove(item)
        return bool(holders)

    def items(self) -> list[str]:
        """Return the items that have a vector, some more than once."""
        return [item for vectors in self._vectors.values() for item in vectors]

    async def keep_indexed(self, is_settled: Callable[[], bool]) -> None:
        """Build what indexes are needed, and let the newest vectors serve once they are settled and indexed."""
        while True:
            metrics.content_age.set(time.time() - self._built_s if self._built_s else 0)
            if not await self._step(is_settled()):
                await asyncio.sleep(_IDLE_S)

    async def _step(self, settled: bool) -> bool:
        """Returns whether there was something to do."""
        if self.aim is None:
            return False
        aimed = self.aimed
        if settled and self.wants_rebuild and aimed.rows:
            self.wants_rebuild = not await self._build(aimed, 0, aimed.rows)
            return True
        if settled or aimed is self.shown:  # no index of what is only half there
            segment = aimed.next_segment()
            if segment is not None:
                await self._build(aimed, *segment)
                return True
        if settled and aimed is not self.shown:
            self.shown = aimed
            self._drop_others()
            return True
        return False

    async def _build(self, vectors: Vectors, first: int, count: int) -> bool:
        """Builds an index in a process of its own and swaps it in; returns whether that went well."""
        self.building = True
        vectors.flush()
        out = self._folder / f"index-{next(self._numbers)}.ann"
        try:
            arguments = (str(vectors.file), str(first), str(count), str(out), str(TREES))
            printed = await run_module("reco_stream.content.build", *arguments)
        except WorkFailed as error:
            log.error("the index was not built: %s", error)
            await asyncio.sleep(_RETRY_S)
            return False
        finally:
            self.building = False
        vectors.use_index(out, first, count, float(json.loads(printed)["recall"]))
        self._built_s = time.time()
        metrics.content_indexed.set(vectors.indexed)
        metrics.content_recall.set(vectors.recall or 0.0)
        self._drop_others()
        return True

    def _drop_others(self) -> None:
        """Removes the vectors and files that are not needed; what is still mapped lives on until it is let go."""
        aim = self.aim
        self._vectors = {
            model: vectors
            for model, vectors in self._vectors.items()
            if vectors is self.shown or aim is None or model >= aim  # a newer one's encoder may be on its way
        }
        used = {file for vectors in self._vectors.values() for file in vectors.files}
        for file in self._folder.iterdir():
            if file not in used and file.suffix in (".f16", ".ann"):
                file.unlink()
