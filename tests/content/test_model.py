from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from reco_stream.catalogue import Catalogue, Item, encode_item
from reco_stream.content.encoder import Encoder, Floats
from reco_stream.content.hashed import HashedEncoder
from reco_stream.content.model import ContentModel, Marked
from reco_stream.content.records import encode_vector
from reco_stream.content.share import NotPublished

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
                if "indexing" in stages and "late" not in catalogue:
                    put(catalogue, "late", "one more lamp of glass")
                await asyncio.sleep(0.002)
        assert {"fitting", "indexing"} <= stages
        assert model.recall >= 0.95
        assert model.indexed >= 60
        assert "late" in near(model, "i0", 20)
        assert len(list((tmp_path / "c").iterdir())) == 2  # the vectors and the index in use


class Workers:
    """Models that share a topic: item `i<n>` is encoded by worker n modulo their number, worker 0 fits."""

    def __init__(self, count: int) -> None:
        self.models: list[ContentModel] = []
        self.log: list[tuple[bytes, bytes | None]] = []
        self.alive = set(range(count))
        self.away = False

    def part(self, number: int) -> Part:
        return Part(self, number)

    async def publish(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        if self.away:
            raise NotPublished("no Kafka")
        for key, value in records:
            self.log.append((key.encode(), value))
            for model in self.models:
                model.take_in(0, key.encode(), value)


class Part:
    """A worker's share; the share of a dead one is worker 0's."""

    def __init__(self, workers: Workers, number: int) -> None:
        self._workers, self._number = workers, number
        self.publish = workers.publish

    @property
    def leads(self) -> bool:
        return self._number == 0

    @property
    def owned(self) -> frozenset[int]:
        return frozenset(self._workers.alive)  # changes when the work is divided anew

    def is_mine(self, item: str) -> bool:
        runs = int(item[1:]) % 2
        return self._number == (runs if runs in self._workers.alive else 0)


@asynccontextmanager
async def two_workers(folder: Path, catalogue: Catalogue) -> AsyncIterator[Workers]:
    workers = Workers(2)
    for number in range(2):
        workers.models.append(ContentModel(catalogue, folder / f"w{number}", share=workers.part(number)))
    async with running(workers.models[0]), running(workers.models[1]):
        yield workers


def encoded(workers: Workers) -> list[str]:
    return sorted(key.decode() for key, value in workers.log if value is not None and not key.startswith(b"\0"))


async def test_each_text_is_encoded_by_one_worker_and_all_have_its_vector(tmp_path: Path) -> None:
    catalogue = Catalogue()
    fill(catalogue)
    async with two_workers(tmp_path, catalogue) as workers:
        await until(lambda: all(model.known == 60 and model.stage == "idle" for model in workers.models))
        assert encoded(workers) == sorted(f"i{number}" for number in range(60))
        assert near(workers.models[0], "i3") == near(workers.models[1], "i3")
        workers.log.clear()
        put(catalogue, "i7", "a garden chair of glass")
        catalogue.update("i8", None)
        await until(lambda: len(workers.log) == 2)
        assert encoded(workers) == ["i7"]
        assert (b"i8", None) in workers.log


async def test_a_worker_that_reads_the_topic_encodes_nothing(tmp_path: Path) -> None:
    catalogue = Catalogue()
    fill(catalogue)
    async with two_workers(tmp_path, catalogue) as workers:
        await until(lambda: all(model.stage == "idle" and model.known == 60 for model in workers.models))
    others = Workers(2)
    late, complete = ContentModel(catalogue, tmp_path / "late", share=others.part(0)), asyncio.Event()
    late._complete = complete.is_set
    for key, value in reversed(workers.log):  # of several partitions, in any order
        late.take_in(0, key, value)
    late.take_in(0, b"i98", encode_vector((1, "hashed-old"), 1, np.ones(384, np.float32)))  # an item that is gone
    complete.set()
    async with running(late):
        await until(lambda: late.known == 60 and late.stage == "idle")
        assert all(int(item[1:]) % 5 == 3 for item in near(late, "i3", 11))
        await until(lambda: bool(others.log))
        assert others.log == [(b"i98", None)]


async def test_the_share_of_a_dead_worker_is_done_by_another(tmp_path: Path) -> None:
    catalogue, workers = Catalogue(), Workers(2)
    fill(catalogue)
    model = ContentModel(catalogue, tmp_path / "w0", share=workers.part(0))
    workers.models.append(model)
    async with running(model):
        await until(lambda: model.known == 30)
        assert (model.waiting, model.stage) == (30, "encoding")
        workers.alive.remove(1)
        await until(lambda: model.known == 60 and model.stage == "idle")


async def test_a_new_encoder_of_one_worker_serves_everywhere_when_all_of_it_is_there(tmp_path: Path) -> None:
    catalogue = Catalogue()
    fill(catalogue)
    async with two_workers(tmp_path, catalogue) as workers:
        await until(lambda: all(model.known == 60 and model.stage == "idle" for model in workers.models))
        before = workers.models[0].model
        for number in range(60, 140):
            put(catalogue, f"i{number}", f"{THINGS[number % 5]} of {number}")
        await until(lambda: all(model.model != before for model in workers.models))
        assert all(near(model, "i0") for model in workers.models)
        await until(lambda: all(model.known == 140 and model.stage == "idle" for model in workers.models))
        assert workers.models[0].model == workers.models[1].model


async def test_without_kafka_it_waits_and_goes_on(tmp_path: Path) -> None:
    catalogue, workers = Catalogue(), Workers(1)
    workers.away = True
    fill(catalogue, 4)
    model = ContentModel(catalogue, tmp_path / "w0", share=workers.part(0))
    workers.models.append(model)
    workers.alive = {0}
    async with running(model):
        await until(lambda: model.stage == "fitting")
        assert not model.ready
        workers.away = False
        await until(lambda: model.known == 4 and model.stage == "idle")


def test_a_record_that_is_none_changes_nothing(tmp_path: Path) -> None:
    model = ContentModel(Catalogue(), tmp_path / "c")
    for key, value in (
        (b"\0encoder 0", b"?"),
        (b"i1", b"\x93"),
        (b"\xff", None),
        (b"i1", b"\x94\x01\xa8hashed-1\x01\xc4\x01a"),
    ):
        model.take_in(0, key, value)
    assert not model.ready


class Storage:
    """A database that is away at first."""

    def __init__(self) -> None:
        self.away = True
        self.vectors: Marked = {}

    async def load_model(self, at_least: int) -> HashedEncoder | None:
        return None

    async def save_model(self, encoder: HashedEncoder) -> None:
        return None

    async def load_vectors(self, encoder: Encoder, marks: dict[str, int]) -> dict[str, Floats]:
        return {}

    async def save_vectors(self, encoder: Encoder, vectors: Marked) -> bool:
        if not self.away:
            self.vectors |= vectors
        return not self.away


async def test_what_the_database_missed_it_gets_when_it_is_back(tmp_path: Path) -> None:
    catalogue, storage = Catalogue(), Storage()
    fill(catalogue, 10)
    async with running(ContentModel(catalogue, tmp_path / "c", archive=storage)) as model:
        await until(lambda: model.known == 10 and model.stage == "idle")
        assert storage.vectors == {}
        storage.away = False
        await until(lambda: len(storage.vectors) == 10)
