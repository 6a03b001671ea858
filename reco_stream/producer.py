"""The producer of everything that is not the changelog: events over HTTP, items, dead letters. Idempotent, acks=all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from reco_stream.appends import Appends, Settled

_MIB = 1 << 20


class Producer:
    """One idempotent producer; a record that it has acknowledged is on every in-sync replica."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._client = dict(client)
        self._producer: AIOKafkaProducer | None = None
        self._appends: Appends | None = None

    async def start(self) -> None:
        # Kept at once: whoever is stopped while it starts closes what has been opened by then.
        producer = self._producer = AIOKafkaProducer(
            **self._client,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_MIB // 2,
            max_request_size=10 * _MIB,
        )
        await producer.start()
        self._appends = Appends(producer.client)

    async def stop(self) -> None:
        if self._appends is not None:
            await self._appends.stop()
        if self._producer is not None:
            await self._producer.stop()

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        return self._producer

    async def send(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None, headers: Any = None
    ) -> RecordMetadata:
        """Returns once every in-sync replica has the record. Raises KafkaError when none has."""
        sent = await self._started().send(topic, value, key, partition=partition, headers=headers)
        return await sent

    def append(self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], settled: Settled) -> None:
        """Sends (key, value) records as one group, as `Appends.append` does: for many, at a fraction of the cost."""
        if self._appends is None:
            raise RuntimeError("the producer is not started")
        self._appends.append(topic, partition, records, settled)

    async def ping(self) -> None:
        """Returns once a broker has answered. Raises KafkaError when none does."""
        await self._started().client.fetch_all_metadata()
