"""Who encodes what: the worker that runs a partition of the events encodes the items of that number, for all others.

No election is needed: the work is divided as the events are, and moves when a worker dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from reco_stream.catalogue.writer import ItemProducer
from reco_stream.domain.partitioner import partition_of

LEADER: Final = 0  # whoever runs this partition fits the encoder
TIMEOUT_S: Final = 10.0


class NotPublished(Exception):
    """Kafka did not take the records; send them again."""


class Share(Protocol):
    """This worker's part of the work."""

    @property
    def owned(self) -> frozenset[int]:
        """What changes when the work is divided anew."""
        ...

    @property
    def leads(self) -> bool:
        """Whether the encoder is fitted here."""
        ...

    def is_mine(self, item: str) -> bool:
        """Whether the item is encoded here."""
        ...

    async def publish(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Return once all workers will see the (key, value) records. Raises NotPublished."""
        ...


class Alone:
    """One worker that shares with nobody."""

    owned: frozenset[int] = frozenset()
    leads = True

    def is_mine(self, item: str) -> bool:
        return True

    async def publish(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Nobody is to be told."""


class TopicShare:
    """Publishes on a topic; `runs` says which of its partitions' events are applied here."""

    def __init__(self, producer: ItemProducer, topic: str, partitions: int, runs: Callable[[int], bool]) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._runs = runs

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that run here."""
        return frozenset(filter(self._runs, range(self._partitions)))

    @property
    def leads(self) -> bool:
        """Whether partition 0 runs here."""
        return self._runs(LEADER)

    def is_mine(self, item: str) -> bool:
        """Whether the item's partition runs here."""
        return self._runs(partition_of(item, self._partitions))

    async def publish(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Return once Kafka has all of them. Raises NotPublished."""
        sends = [
            self._producer.send(self._topic, key.encode(), value, partition_of(key, self._partitions))
            for key, value in records
        ]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.gather(*sends)
        except Exception as error:  # whatever a producer may raise: none of it says that Kafka has the records
            raise NotPublished(f"{self._topic}: {type(error).__name__}: {error}") from error
