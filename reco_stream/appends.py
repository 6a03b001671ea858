"""Idempotent appends of small groups of records: what waits for a broker goes to it in one request.

aiokafka's producer makes futures for each record and tasks for each request, and a batch of a partition waits for the
one before it. Here the groups that arrive while a broker answers become one RecordBatch a partition and one Produce
request, and whoever gave a group is called back.

Order and retries are those of an idempotent producer (KIP-98): a partition has one batch under way, which is sent again
as it is, with the same sequence number, until the broker answers for it; a batch that the broker holds already gets the
offset of the first time. Whoever gives up does not know whether the broker holds the batch, so the partition's next one
comes from another producer id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka import errors as kafka_errors
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition

from reco_stream.engine.changelog import worth_retrying
from reco_stream.engine.produce_protocol import Produce
from reco_stream.engine.record_batch import record_batch
from reco_stream.engine.tasks import end_tasks

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT_MS: Final = 10_000
_RETRY_PAUSE_S: Final = 0.1
_METADATA_WITHIN_S: Final = 1.0
# As long as an append to the changelog is tried.
_OUTAGE_BUDGET_S: Final = 120.0
_STOPS_WITHIN_S: Final = 5.0
# A topic takes 1 MB in one RecordBatch by default.
_MOST_BYTES: Final = 1 << 19
_MOST_BYTES_A_REQUEST: Final = 1 << 20
_RECORD_OVERHEAD: Final = 24

Settled = Callable[[int | Exception], None]
"""Called once: with the offset of a group's first record, the others follow it, or with a KafkaError."""

_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
# The broker knows neither this producer id nor this sequence number; it has not appended the batch.
_OUT_OF_SEQUENCE = (
    kafka_errors.OutOfOrderSequenceNumber,
    kafka_errors.DuplicateSequenceNumber,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.InvalidProducerIdMapping,
    kafka_errors.UnknownProducerId,
)


class ProducerId(NamedTuple):
    """Who sends, to the broker."""

    number: int
    epoch: int


class _Group(NamedTuple):
    records: Sequence[tuple[bytes, bytes]]
    size: int
    settled: Settled


@dataclass(slots=True, eq=False)
class _Lane:
    """One partition: what waits for it, and the batch that is under way."""

    topic: str
    partition: int
    waiting: deque[_Group] = field(default_factory=deque)
    sent: list[_Group] = field(default_factory=list)
    batch: bytes = b""
    producer: ProducerId | None = None
    sequence: int = 0
    tries: int = 0
    since: float = 0.0
    most_bytes: int = _MOST_BYTES
    queued: bool = False

    def take(self, producer: ProducerId) -> bytes:
        """Returns the batch under way; when there is none, one of what waits."""
        if self.batch:
            self.tries += 1
            return self.batch
        if self.producer is None:
            self.producer, self.sequence = producer, 0
        size = 0
        while self.waiting and (not self.sent or size + self.waiting[0].size <= self.most_bytes):
            group = self.waiting.popleft()
            self.sent.append(group)
            size += group.size
        self.batch, self.tries, self.since = self._build(self.producer), 1, time.monotonic()
        return self.batch

    def _build(self, producer: ProducerId) -> bytes:
        records = [record for group in self.sent for record in group.records]
        return record_batch(records, int(time.time() * 1000), producer.number, producer.epoch, self.sequence)

    def appended(self, offset: int) -> None:
        """The broker has the batch, from `offset` on."""
        sent = self._end()
        for group in sent:
            _tell(group, offset)
            offset += len(group.records)
            self.sequence = (self.sequence + len(group.records)) & 0x7FFFFFFF

    def failed(self, error: Exception) -> None:
        """The batch is given up."""
        for group in self._end():
            _tell(group, error)

    def again(self) -> None:
        """The broker refused the batch the first time: what was in it waits again, in front."""
        self.waiting.extendleft(reversed(self._end()))

    def _end(self) -> list[_Group]:
        sent, self.sent, self.batch, self.since = self.sent, [], b"", 0.0
        return sent


def _tell(group: _Group, outcome: int | Exception) -> None:
    try:
        group.settled(outcome)
    except Exception:
        log.exception("what became of an event could not be told")


class Appends:
    """Appends to any partition of known topics; at most one request at a time to each broker."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._producer: ProducerId | None = None
        # broker -> partitions that have something to send, in the order of arrival
        self._ready: dict[int, list[_Lane]] = {}
        self._later: list[_Lane] = []
        self._retried_at = 0.0
        self._tasks: dict[int | None, asyncio.Task[None]] = {}

    def append(self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], settled: Settled) -> None:
        """Sends (key, value) records, of one partition in the order of the calls; `settled` hears of them, later.

        A group is appended as a whole or not at all, so it must not be larger than the topic's max.message.bytes.
        """
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition)
            self._client.add_topic(topic)
        size = sum(len(key) + len(value) + _RECORD_OVERHEAD for key, value in records)
        lane.waiting.append(_Group(records, size, settled))
        if not lane.queued:
            self._queue(lane)

    async def stop(self) -> None:
        """Waits a little for what is under way; what is not answered then fails."""
        ends_at = time.monotonic() + _STOPS_WITHIN_S
        while self._tasks and (left_s := ends_at - time.monotonic()) > 0:  # a retry begins another task
            await asyncio.wait(list(self._tasks.values()), timeout=left_s)
        await end_tasks(list(self._tasks.values()))
        for lane in self._lanes.values():
            lane.failed(kafka_errors.ProducerClosed())
            _fail_waiting(lane, kafka_errors.ProducerClosed())

    def _queue(self, lane: _Lane) -> None:
        lane.queued = True
        leader = self._client.cluster.leader_for_partition(TopicPartition(lane.topic, lane.partition))
        if leader is None or leader == -1:
            self._retry(lane, kafka_errors.LeaderNotAvailableError())
            return
        self._ready.setdefault(leader, []).append(lane)
        if leader not in self._tasks:
            self._tasks[leader] = asyncio.create_task(self._send_all(leader), name=f"appends-{leader}")

    async def _send_all(self, broker: int) -> None:
        try:
            while self._ready[broker]:
                await self._send_one(broker, self._taken(broker))
        finally:
            del self._tasks[broker]

    def _taken(self, broker: int) -> list[_Lane]:
        ready, size = self._ready[broker], 0
        for count, lane in enumerate(ready):
            size += len(lane.batch) or min(lane.most_bytes, sum(group.size for group in lane.waiting))
            if count and size > _MOST_BYTES_A_REQUEST:
                self._ready[broker] = ready[count:]
                return ready[:count]
        self._ready[broker] = []
        return ready

    async def _send_one(self, broker: int, lanes: Sequence[_Lane]) -> None:
        topics: dict[str, list[tuple[int, bytes]]] = {}
        try:
            producer = self._producer or await self._new_producer(broker)
            for lane in lanes:
                topics.setdefault(lane.topic, []).append((lane.partition, lane.take(producer)))
            request = Produce(_REQUEST_TIMEOUT_MS, list(topics.items()))
            response = await self._client.send(broker, request)
            answers = {(topic, found[0]): (found[1], found[2]) for topic, of in response.topics for found in of}
            settled = [(lane, *answers[lane.topic, lane.partition]) for lane in lanes]
        except Exception as error:
            for lane in lanes:
                self._refused(lane, error)
            return
        for lane, code, offset in settled:
            if code:
                self._refused(lane, kafka_errors.for_code(code)())
            else:
                lane.appended(int(offset))
                self._go_on(lane)

    async def _new_producer(self, broker: int) -> ProducerId:
        response = await self._client.send(broker, InitProducerIdRequest(None, _REQUEST_TIMEOUT_MS))
        if response.error_code:
            raise kafka_errors.for_code(response.error_code)()
        self._producer = ProducerId(response.producer_id, response.producer_epoch)
        return self._producer

    def _refused(self, lane: _Lane, error: Exception) -> None:
        refusal = isinstance(error, kafka_errors.BrokerResponseError)
        if isinstance(error, _OUT_OF_SEQUENCE) and lane.tries == 1 and lane.sequence > 0:
            self._disown(lane)
            lane.again()
        elif isinstance(error, _TOO_LARGE) and len(lane.sent) > 1:
            lane.most_bytes = sum(group.size for group in lane.sent) // 2
            lane.again()
        elif isinstance(error, kafka_errors.KafkaError) and worth_retrying(error):
            self._retry(lane, error)
            return
        else:
            if not isinstance(error, _TOO_LARGE):
                log.warning("%s[%d] takes no records: %r", lane.topic, lane.partition, error)
            if not lane.batch:  # there was no producer id to be had
                _fail_waiting(lane, error)
            elif lane.tries > 1 or not refusal:
                self._disown(lane)
            lane.failed(error)
        self._go_on(lane)

    def _disown(self, lane: _Lane) -> None:
        """Nobody knows which sequence number the broker expects of the partition: its next batch gets a new id."""
        if self._producer == lane.producer:
            self._producer = None
        lane.producer = None

    def _go_on(self, lane: _Lane) -> None:
        lane.queued = False
        if lane.waiting:
            self._queue(lane)

    def _retry(self, lane: _Lane, error: Exception) -> None:
        now = time.monotonic()
        lane.since = lane.since or now
        if now - lane.since > _OUTAGE_BUDGET_S:
            log.warning("%s[%d]: %r for %.0f s", lane.topic, lane.partition, error, _OUTAGE_BUDGET_S)
            self._disown(lane)
            lane.failed(error)
            _fail_waiting(lane, error)
            lane.queued = False
            return
        self._later.append(lane)
        if None not in self._tasks:
            self._tasks[None] = asyncio.create_task(self._retry_later(), name="appends-again")

    async def _retry_later(self) -> None:
        try:
            while self._later:
                await asyncio.sleep(self._retried_at + _RETRY_PAUSE_S - time.monotonic())
                self._retried_at = time.monotonic()
                with contextlib.suppress(TimeoutError, kafka_errors.KafkaError):
                    async with asyncio.timeout(_METADATA_WITHIN_S):
                        await self._client.force_metadata_update()
                lanes, self._later = self._later, []
                for lane in lanes:
                    self._queue(lane)
        finally:
            del self._tasks[None]


def _fail_waiting(lane: _Lane, error: Exception) -> None:
    while lane.waiting:
        _tell(lane.waiting.popleft(), error)
