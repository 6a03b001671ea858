"""Reading the dead-letter topic and sending its records again, each source record once.

Per chunk of records:
1. mark     append a `started` marker with the end offset of the target partition; await the ack
2. send     append the records to the events topic, each with the key of its dead letter in a header; await the acks
3. done     append a `done` marker for each

A run that was killed between 1 and 3 leaves `started` markers: the next run looks for the records from the marked
offsets on and sends only those that are not there. No transaction: its control records would use up offsets of the
events topic. Run one replay at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from reco_stream.dead_letters import (
    REPLAY_SOURCE,
    Entry,
    Ledger,
    Position,
    Resend,
    State,
    done_marker,
    resend,
    started_marker,
)
from reco_stream.events import BadEvent
from reco_stream.kafka_clients import client_kwargs
from reco_stream.settings import Settings
from reco_stream.topics import MIB, partition_count

CHUNK_RECORDS: Final = 500
CHUNK_BYTES: Final = 8 * MIB
_FETCH_BYTES: Final = 10 * MIB


@dataclass
class Report:
    """What a replay did: records sent now, records that an interrupted run had sent, and those still refused."""

    sent: int = 0
    found: int = 0
    refused: list[tuple[Entry, BadEvent]] = field(default_factory=list)


async def read_ledger(settings: Settings) -> Ledger:
    """Return what the dead-letter topic says of every source record. Raises NoSuchTopic or KafkaError."""
    ledger = Ledger()
    topic = settings.topic("dead-letters")
    await partition_count(settings, topic)
    async with _consumer(settings) as consumer:
        async for letter in _scan(consumer, topic, {0: 0}):
            ledger.add(letter)
    return ledger


async def read_letter(settings: Settings, source: str) -> ConsumerRecord | None:
    """Return the first dead letter of `source` (topic/partition/offset), or None. Raises as `read_ledger`."""
    ledger = await read_ledger(settings)
    entry = ledger.entries.get(source)
    if entry is None:
        return None
    async with _consumer(settings) as consumer:
        async for letter in _scan(consumer, settings.topic("dead-letters"), {0: entry.offset}):
            if letter.offset == entry.offset:
                return letter
    return None  # retention removed it meanwhile


async def replay(
    settings: Settings,
    choose: Callable[[Entry], bool],
    now_ms: Callable[[], int],
    *,
    rekey: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Send again every dead letter that `choose` wants, that was not replayed and that would be accepted now.

    `progress` is called with the numbers of dead letters that were dealt with and chosen. Raises as `read_ledger`.
    """
    entries = (await read_ledger(settings)).entries.values()
    chosen = {entry.offset: entry for entry in entries if choose(entry) and entry.state is not State.REPLAYED}
    report = Report()
    if not chosen:
        return report
    partitions = await partition_count(settings, settings.topic("events"))
    done = 0
    async with _consumer(settings) as reader, _Resender(settings, report) as resender:
        async for letter in _scan(reader, settings.topic("dead-letters"), {0: min(chosen)}):
            entry = chosen.get(letter.offset)
            if entry is None:
                continue
            try:
                record = resend(letter, partitions, now_ms(), settings.event_rules(), rekey=rekey)
            except BadEvent as error:
                report.refused.append((entry, error))
            else:
                await resender.add(entry, record)
            done += 1
            progress(done, len(chosen))
        await resender.flush()
    return report


class _Resender:
    """Collects records and sends them in chunks by the three steps above."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._events = settings.topic("events")
        self._letters = settings.topic("dead-letters")
        self._chunk: list[tuple[Entry, Resend]] = []
        self._chunk_bytes = 0

    async def __aenter__(self) -> "_Resender":
        self._producer = AIOKafkaProducer(
            **client_kwargs(self._settings), enable_idempotence=True, max_request_size=_FETCH_BYTES
        )
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._producer.stop()

    async def add(self, entry: Entry, record: Resend) -> None:
        """Take a record; sends a chunk when it is full."""
        self._chunk.append((entry, record))
        self._chunk_bytes += len(record.value)
        if len(self._chunk) >= CHUNK_RECORDS or self._chunk_bytes >= CHUNK_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what was collected; when this returns, Kafka has all of it and the markers."""
        chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
        if not chunk:
            return
        present = await self._already_sent([(entry, record) for entry, record in chunk if entry.position is not None])
        to_send = [record for _entry, record in chunk if record.source not in present]
        ends = await self._end_offsets({record.partition for record in to_send})
        await self._append_markers(
            [(record.source, started_marker(Position(record.partition, ends[record.partition]))) for record in to_send]
        )
        sent = await self._append(
            [(self._events, record.partition, record.key, record.value, record.headers) for record in to_send]
        )
        present |= {record.source: position for record, position in zip(to_send, sent, strict=True)}
        await self._append_markers([(source, done_marker(position)) for source, position in present.items()])
        self._report.sent += len(to_send)
        self._report.found += len(chunk) - len(to_send)

    async def _append_markers(self, markers: list[tuple[str, list[tuple[str, bytes]]]]) -> None:
        await self._append([(self._letters, 0, source.encode(), None, headers) for source, headers in markers])

    async def _append(
        self, records: list[tuple[str, int, bytes, bytes | None, list[tuple[str, bytes]]]]
    ) -> list[Position]:
        acks = [
            await self._producer.send(topic, value, key=key, partition=partition, headers=headers)
            for topic, partition, key, value, headers in records
        ]
        return [Position(ack.partition, ack.offset) for ack in await asyncio.gather(*acks)]

    async def _end_offsets(self, partitions: set[int]) -> dict[int, int]:
        if not partitions:
            return {}
        async with _consumer(self._settings) as consumer:
            ends = await consumer.end_offsets([TopicPartition(self._events, number) for number in partitions])
        return {tp.partition: offset for tp, offset in ends.items()}

    async def _already_sent(self, started: list[tuple[Entry, Resend]]) -> dict[str, Position]:
        """Where an interrupted run has put records, by source."""
        starts: dict[int, int] = {}
        for entry, _record in started:
            assert entry.position is not None
            partition, offset = entry.position.partition, entry.position.offset
            starts[partition] = min(offset, starts.get(partition, offset))
        if not starts:
            return {}
        wanted = {record.source for _entry, record in started}
        found: dict[str, Position] = {}
        async with _consumer(self._settings) as consumer:
            async for event in _scan(consumer, self._events, starts):
                source = dict(event.headers).get(REPLAY_SOURCE, b"").decode(errors="replace")
                if source in wanted:
                    found.setdefault(source, Position(event.partition, event.offset))
        return found


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **client_kwargs(settings), group_id=None, enable_auto_commit=False, max_partition_fetch_bytes=_FETCH_BYTES
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _scan(consumer: AIOKafkaConsumer, topic: str, starts: dict[int, int]) -> AsyncIterator[ConsumerRecord]:
    """Yield the records of the partitions in `starts` (partition -> first offset) up to the end offsets of now."""
    partitions = [TopicPartition(topic, number) for number in starts]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    for tp in partitions:
        consumer.seek(tp, max(begins[tp], starts[tp.partition]))
    pending = {tp for tp in partitions if await consumer.position(tp) < ends[tp]}
    while pending:
        for tp, records in (await consumer.getmany(*pending, timeout_ms=500)).items():
            for record in records:
                if record.offset < ends[tp]:
                    yield record
        pending = {tp for tp in pending if await consumer.position(tp) < ends[tp]}
