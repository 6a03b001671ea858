"""Who takes changes of the catalogue. Without a database the topic itself is the catalogue.

ItemWriter
    TopicItems    writes to the topic, reads the local copy
    StoredItems   writes to PostgreSQL, whose outbox goes to the topic (reco_stream/storage/items.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from reco_stream.catalogue.incoming import patched
from reco_stream.catalogue.item import Item, encode_item
from reco_stream.catalogue.local import Catalogue
from reco_stream.domain.partitioner import partition_of


class WritesUnavailable(Exception):
    """Nothing was written, or nobody knows whether it was: send it again. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ItemWriter(Protocol):
    """Takes changes of items. Every method may raise WritesUnavailable; then it is safe to try it again."""

    @property
    def kind(self) -> str:
        """Where the catalogue is: "topic" or "database"."""
        ...

    async def put(self, items: Sequence[Item]) -> None:
        """Returns once every item is durable, each replacing the one with its id. Ids must differ."""
        ...

    async def patch(self, item_id: str, change: Mapping[str, Any], updated_at: str) -> Item | None:
        """Returns the changed item; None when there is none. Raises BadItem."""
        ...

    async def delete(self, item_id: str) -> bool:
        """Returns whether there was one to delete."""
        ...

    async def get(self, item_id: str) -> Item | None:
        """Returns the item as last written here; None when there is none."""
        ...

    async def page(self, after: str, category: str | None, limit: int) -> list[Item]:
        """Returns up to `limit` items by id, those above `after`, of the category when one is given."""
        ...


class ItemProducer(Protocol):
    """A producer with acks=all."""

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> Any: ...


class TopicItems:
    """The topic is the catalogue: of two workers that change one item at the same moment, the later record wins.

    What was written here is remembered until it comes back, so that a change builds on the one before it.
    """

    kind = "topic"

    def __init__(
        self, producer: ItemProducer, topic: str, partitions: int, catalogue: Catalogue, timeout_s: float = 5.0
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._catalogue = catalogue
        self._timeout_s = timeout_s
        self._ahead: dict[str, Item | None] = {}
        self._changing = asyncio.Lock()
        catalogue.listeners.append(self._came_back)

    async def put(self, items: Sequence[Item]) -> None:
        """Returns once Kafka has all of them."""
        async with self._changing:
            await self._send({item.item_id: item for item in items})

    async def patch(self, item_id: str, change: Mapping[str, Any], updated_at: str) -> Item | None:
        """Returns the changed item, once Kafka has it."""
        async with self._changing:
            item = await self.get(item_id)
            if item is None:
                return None
            changed = patched(item, change, updated_at)
            await self._send({item_id: changed})
            return changed

    async def delete(self, item_id: str) -> bool:
        """Returns once Kafka has the null value."""
        async with self._changing:
            if await self.get(item_id) is None:
                return False
            await self._send({item_id: None})
            return True

    async def get(self, item_id: str) -> Item | None:
        """Returns what was written here last, else what the topic said last."""
        return self._ahead[item_id] if item_id in self._ahead else self._catalogue.get(item_id)

    async def page(self, after: str, category: str | None, limit: int) -> list[Item]:
        """Returns what the topic said, a fraction of a second behind."""
        return self._catalogue.page(after, category, limit)

    async def _send(self, items: Mapping[str, Item | None]) -> None:
        sends = []
        for item_id, item in items.items():
            value = None if item is None else encode_item(item)[1]
            partition = partition_of(item_id, self._partitions)
            sends.append(self._producer.send(self._topic, item_id.encode(), value, partition))
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.gather(*sends)
        except Exception as error:  # whatever a producer may raise: none of it says that Kafka has the record
            message = f"Kafka did not take the change ({type(error).__name__}); send it again"
            raise WritesUnavailable("kafka_unavailable", message) from error
        self._ahead.update(items)

    def _came_back(self, item_id: str, item: Item | None) -> None:
        if item_id in self._ahead and self._ahead[item_id] == item:
            del self._ahead[item_id]
