from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from reco_stream.catalogue import Catalogue, Item, encode_item
from reco_stream.content.encoder import Floats
from reco_stream.content.hashed import HashedEncoder
from reco_stream.content.model import ContentModel, half, whole

THINGS = ("lamp of glass", "oak table", "garden chair", "winter coat", "running shoes")


def put(catalogue: Catalogue, item_id: str, title: str, price: float | None = None) -> None:
    catalogue.update(item_id, encode_item(Item(item_id=item_id, title=title, price=price))[1])


def fill(catalogue: Catalogue, count: int = 60) -> None:
    for number in range(count):
        put(catalogue, f"i{number}", f"{THINGS[number % len(THINGS)]} number {number}")


@asynccontextmanager
async def running(model: ContentModel) -> AsyncIterator[ContentModel]:
    task = asyncio.create_task(model.run())
    yield model
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.01)


def near(model: ContentModel, item: str, count: int = 5) -> list[str]:
    return [found.item for found in model.near([(item, 1.0)], count, lambda other: other != item)]


class Counting:
    """An encoder that tells what it was asked for."""

    name, version = "counting", "1"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._inner = HashedEncoder.fit(THINGS)

    def encode(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        return self._inner.encode(texts)


async def test_new_items_are_near_what_they_are_like_and_deleted_ones_are_gone(tmp_path: Path) -> None:
    catalogue = Catalogue()
    fill(catalogue)
    async with running(ContentModel(catalogue, tmp_path / "c")) as model:
        await until(lambda: model.known == 60 and model.stage == "idle")
        assert all(int(item[1:]) % 5 == 0 for item in near(model, "i0"))
        put(catalogue, "new", "a small lamp of glass")
        await until(lambda: model.known == 61)
        assert all(int(item[1:]) % 5 == 0 for item in near(model, "new"))
        assert "new" in near(model, "i0", 13)
        found = model.near([("new", 1.0)], 3, lambda item: item != "new")
        assert found[0].seed == "new"
        assert 0 < found[0].cosine <= 1
        catalogue.update("new", None)
        assert "new" not in near(model, "i0", 20)
        assert near(model, "nobody") == []


async def test_only_changed_texts_are_encoded_again(tmp_path: Path) -> None:
    catalogue, encoder = Catalogue(), Counting()
    fill(catalogue, 10)
    async with running(ContentModel(catalogue, tmp_path / "c", encoder)) as model:
        await until(lambda: model.known == 10 and model.waiting == 0)
        encoder.asked.clear()
        put(catalogue, "i1", "oak table number 1", price=5.0)
        put(catalogue, "i2", "something else")
        await until(lambda: model.waiting == 0 and bool(encoder.asked))
        assert encoder.asked == ["something else"]


async def test_nothing_happens_before_the_catalogue_is_complete(tmp_path: Path) -> None:
    catalogue, complete = Catalogue(), asyncio.Event()
    fill(catalogue, 5)
    async with running(ContentModel(catalogue, tmp_path / "c", complete=complete.is_set)) as model:
        await asyncio.sleep(0.1)
        assert (model.ready, model.stage, model.model) == (False, "waiting", None)
        complete.set()
        await until(lambda: model.ready)


async def test_a_reindex_swaps_in_a_new_index_and_serves_all_the_time(tmp_path: Path) -> None:
    catalogue = Catalogue()
    fill(catalogue)
    async with running(ContentModel(catalogue, tmp_path / "c")) as model:
        await until(lambda: model.stage == "idle")
        stages = set()
        model.reindex()
        async with asyncio.timeout(60):
            while model.recall is None or model.stage != "idle":
                stages.add(model.stage)
                assert near(model, "i0")
                if "fitting" in stages and "late" not in catalogue:
                    put(catalogue, "late", "one more lamp of glass")
                await asyncio.sleep(0.002)
        assert {"fitting", "indexing"} <= stages
        assert model.recall >= 0.95
        assert model.indexed >= 60
        assert "late" in near(model, "i0", 20)
        assert len(list((tmp_path / "c").iterdir())) == 2  # the vectors and the index in use


def test_a_stored_vector_is_the_one_that_was_kept() -> None:
    vector = HashedEncoder.fit(THINGS).encode(["oak table"])[0]
    assert whole(half(vector)) == pytest.approx(vector, abs=1e-3)
    assert whole(b"12") is None
    assert np.asarray(whole(half(vector))).dtype == np.float32
