from __future__ import annotations

import asyncio

import pytest

from reco_stream.catalogue import Catalogue, Item
from reco_stream.catalogue.writer import TopicItems, WritesUnavailable

NOW = "2026-01-01T00:00:00.000Z"


class Topic:
    """Records in order; `behind` holds back what the catalogue hears."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None]] = []
        self.error: Exception | None = None

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> None:
        if self.error is not None:
            raise self.error
        self.records.append((key.decode(), value))

    def deliver(self, catalogue: Catalogue) -> None:
        for item_id, value in self.records:
            catalogue.update(item_id, value)
        self.records.clear()


@pytest.fixture
def topic() -> Topic:
    return Topic()


async def test_changes_build_on_each_other_before_they_come_back(topic: Topic) -> None:
    catalogue = Catalogue()
    writer = TopicItems(topic, "items", 4, catalogue)
    await writer.put([Item(item_id="a", title="Lamp", stock=3)])
    await asyncio.gather(writer.patch("a", {"price": 2}, NOW), writer.patch("a", {"stock": 0}, NOW))
    expected = Item(item_id="a", title="Lamp", stock=0, price=2.0, updated_at=NOW)
    assert await writer.get("a") == expected
    assert len(catalogue) == 0
    topic.deliver(catalogue)
    assert catalogue["a"] == await writer.get("a") == expected
    assert await writer.page("", None, 5) == [expected]


async def test_a_deleted_item_is_gone_at_once(topic: Topic) -> None:
    catalogue = Catalogue()
    writer = TopicItems(topic, "items", 4, catalogue)
    await writer.put([Item(item_id="a")])
    assert await writer.delete("a")
    assert not await writer.delete("a")
    assert await writer.patch("a", {"stock": 1}, NOW) is None
    topic.deliver(catalogue)
    assert await writer.get("a") is None


async def test_without_kafka_nothing_is_remembered(topic: Topic) -> None:
    writer = TopicItems(topic, "items", 4, Catalogue())
    topic.error = OSError("away")
    with pytest.raises(WritesUnavailable, match="OSError"):
        await writer.put([Item(item_id="a")])
    assert await writer.get("a") is None
