"""Fenced appends: one RecordBatch to one Kafka partition, whole or not at all, and only by its newest owner.

aiokafka's producer holds one producer id and an accumulator; an engine with one writer a partition needs one
producer id a partition and no accumulator. So this builds the RecordBatch (record_batch.cpp) and sends the Produce
request (aiokafka.client, produce_requests.py) itself: one socket for all partitions, the retry in plain sight.

The fence is the idempotent producer's: InitProducerId with the partition's transactional id hands out the next
epoch (KIP-98), and the broker refuses a batch whose epoch is older than one it has appended in that partition
(KIP-360). No transaction is opened: one RecordBatch is atomic by itself (Kafka's log format v2), at a fifth of the
cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition

from reco_stream.engine.errors import BatchTooLarge, ChangelogCorrupt, ChangelogRefused, ChangelogUnavailable, Fenced
from reco_stream.engine.produce_requests import ProduceRequests
from reco_stream.engine.record_batch import record_batch
from reco_stream.engine.store import Record
from reco_stream.engine.topic_ids import fetch_topic_id

log = logging.getLogger(__name__)

T = TypeVar("T")

_REQUEST_TIMEOUT_MS = 10_000
_RETRY_PAUSE_S = 0.1
# Longer than the outage of all brokers that a worker must sit out (60 s), shorter than an operator's patience.
_OUTAGE_BUDGET_S = 120.0
# Sequence numbers are int32 and wrap (KIP-98).
_SEQUENCE_MASK = 0x7FFFFFFF
# InitProducerId refuses more than the broker's transaction.max.timeout.ms; we never open a transaction.
_TRANSACTION_TIMEOUT_MS = 60_000

# Epochs are int16, and the broker hands out none higher than 32,766: nobody else can have written with this one.
LAST_EPOCH = 0x7FFF

_FENCED = (kafka_errors.InvalidProducerEpoch, kafka_errors.ProducerFenced)


@dataclass(frozen=True)
class Claim:
    """Right to write one partition, until somebody claims it anew."""

    producer_id: int
    epoch: int

    @property
    def version(self) -> int:
        """Grows with every claim of one producer id; a new id is nearly always a higher one."""
        return (self.producer_id << 16) | self.epoch


class Appender:
    """The only writer of one topic partition under one claim. Not for concurrent use."""

    def __init__(self, broker: BrokerLink, topic: str, partition: int, claim: Claim) -> None:
        self._broker = broker
        self.topic = topic
        self.partition = partition
        self.claim = claim
        self._sequence: int | None = 0
        self._fenced = False

    async def append(self, records: Sequence[Record]) -> int:
        """Appends all records as one RecordBatch; returns the offset of the first. Raises Fenced, BatchTooLarge.

        After an error or a cancellation the appender is of no more use: the broker may hold the batch, and would
        answer the next one, of the same sequence number, with the offset of the first. Once fenced, always fenced.
        """
        if self._fenced:
            raise Fenced(_newer_owner(self.topic, self.partition))
        if self._sequence is None:
            raise RuntimeError(f"{self.topic}[{self.partition}]: an append failed before; claim the partition anew")
        built, after = self._build(records, self._sequence), (self._sequence + len(records)) & _SEQUENCE_MASK
        self._sequence = None
        try:
            offset = await self._broker.produce(self.topic, self.partition, built)
        except Fenced:
            self._fenced = True
            raise
        self._sequence = after
        return offset

    def _build(self, records: Sequence[Record], sequence: int) -> bytes:
        now_ms = int(time.time() * 1000)
        return record_batch(records, now_ms, self.claim.producer_id, self.claim.epoch, sequence)


class BrokerLink:
    """One Kafka client for all appends of this process."""

    def __init__(self, client_kwargs: Mapping[str, Any], topics: Sequence[str]) -> None:
        self._client_kwargs = dict(client_kwargs)
        self._topics = list(topics)
        self._client: AIOKafkaClient | None = None
        self._requests = ProduceRequests(self._send, _REQUEST_TIMEOUT_MS)

    async def start(self) -> None:
        # Kept at once: whoever is stopped while it starts closes what has been opened by then.
        client = self._client = AIOKafkaClient(request_timeout_ms=_REQUEST_TIMEOUT_MS, **self._client_kwargs)
        await client.bootstrap()
        await client.set_topics(self._topics)

    async def stop(self) -> None:
        if self._client is not None:
            await self._requests.stop()
            await self._client.close()
            self._client = None

    def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            raise RuntimeError("the broker link is not started")
        return self._client

    async def _send(self, node: int, request: Any) -> Any:
        return await self._connected().send(node, request)

    async def claim(self, transactional_id: str) -> Claim:
        """Raises the epoch of `transactional_id`; every older claim is refused once the new one has written."""

        async def attempt() -> Claim:
            client = self._connected()
            node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
            request = InitProducerIdRequest(transactional_id, _TRANSACTION_TIMEOUT_MS)
            response = await client.send(node, request)
            _raise_for(response.error_code)
            return Claim(response.producer_id, response.producer_epoch)

        return await self._retrying(f"claim {transactional_id}", attempt)

    async def topic_id(self, topic: str) -> str:
        """Kafka's id of a topic: another one of the same name has another."""
        return await self._retrying(f"ask for the id of {topic}", lambda: fetch_topic_id(self._connected(), topic))

    async def produce(self, topic: str, partition: int, batch: bytes) -> int:
        """Sends one RecordBatch with acks=all until the broker has it; returns its base offset.

        A retry carries the same sequence number, so the broker answers a batch that it already holds with the
        offset it gave it the first time.
        """

        async def attempt() -> int:
            leader = self._connected().cluster.leader_for_partition(TopicPartition(topic, partition))
            if leader is None or leader == -1:
                raise kafka_errors.LeaderNotAvailableError()
            return await self._requests.append(leader, topic, partition, batch)

        what = f"append {len(batch)} bytes to {topic}[{partition}]"
        try:
            return await self._retrying(what, attempt)
        except _FENCED as error:
            raise Fenced(_newer_owner(topic, partition)) from error
        except kafka_errors.MessageSizeTooLargeError as error:
            raise BatchTooLarge(
                f"{what}: larger than the topic's max.message.bytes; raise it, or lower RECO_BATCH_MAX_BYTES"
            ) from error
        except (kafka_errors.OutOfOrderSequenceNumber, kafka_errors.DuplicateSequenceNumber) as error:
            raise ChangelogCorrupt(f"{what}: the broker holds other batches of this claim: {error!r}") from error
        except kafka_errors.KafkaError as error:
            raise ChangelogRefused(f"{what}: {error!r}; check the rights on this topic and its settings") from error

    async def _retrying(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + _OUTAGE_BUDGET_S
        tries = 0
        while True:
            try:
                return await attempt()
            except kafka_errors.KafkaError as error:
                if not worth_retrying(error):
                    raise
                if time.monotonic() > deadline:
                    raise ChangelogUnavailable(
                        f"{what}: {error!r} for {_OUTAGE_BUDGET_S:.0f} s; check the brokers, then start again"
                    ) from error
                # The first tries are silent: a moved leader costs one or two and is no news.
                if tries == 3:
                    log.warning("%s: %r, trying on for up to %.0f s", what, error, _OUTAGE_BUDGET_S)
                tries += 1
                await self._refresh_metadata()

    async def _refresh_metadata(self) -> None:
        with contextlib.suppress(TimeoutError, kafka_errors.KafkaError):
            # Not wait_for, which swallows a cancellation that comes together with the answer.
            async with asyncio.timeout(1.0):
                await self._connected().force_metadata_update()
        await asyncio.sleep(_RETRY_PAUSE_S)


def worth_retrying(error: kafka_errors.KafkaError) -> bool:
    """Says whether the same request may succeed a little later."""
    # Names what aiokafka does not mark: a coordinator still loading, and a broker that we cannot reach at all.
    return bool(error.retriable) or isinstance(
        error,
        kafka_errors.CoordinatorLoadInProgressError
        | kafka_errors.ConcurrentTransactions
        | kafka_errors.NodeNotReadyError
        | kafka_errors.KafkaConnectionError
        | kafka_errors.StaleMetadata,
    )


def _newer_owner(topic: str, partition: int) -> str:
    return f"{topic}[{partition}]: a newer owner has claimed this partition"


def _raise_for(code: int) -> None:
    if code:
        raise kafka_errors.for_code(code)()
