"""An application whose changelog was written by the test itself, right or wrong, without the engine."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient

from agents.publication import Publication
from reco_stream.dead_letters import dead_letter_record
from reco_stream.engine.marker import FENCE_KEY, MARKER_KEY, RULES_KEY, Fence, Marker, encode_fence, encode_marker
from reco_stream.engine.published import Stamp, seal
from reco_stream.engine.table import MemoryRows
from reco_stream.engine.topic_ids import fetch_topic_id
from reco_stream.engine_settings import engine_config, table_rules
from reco_stream.events import BadEvent, Event, decode_event
from reco_stream.settings import Settings
from reco_stream.topics import create_topics
from tables import fingerprint
from tables.fold import fold_event
from tables.sessions import left_rows
from tests.fault.load import Load

EVENTS = 250


@dataclass
class State:
    """One partition's state as an engine without faults would leave it; a test may change it before it is written."""

    settings: Settings
    producer: AIOKafkaProducer
    records: list[Any]  # of the source log
    events: list[Event] = field(default_factory=list)
    letters: list[tuple[bytes, bytes | None, Any]] = field(default_factory=list)
    rows: dict[bytes, bytes] = field(default_factory=dict)
    published: dict[bytes, bytes] = field(default_factory=dict)
    left: list[tuple[bytes, bytes]] = field(default_factory=list)  # sessions that are in no row any more
    marker: Marker = field(default_factory=Marker)
    source_id: str = ""
    changelog_id: str = ""

    def fold(self, events: list[Event]) -> None:
        """Makes the rows anew from `events`."""
        rows, rules = MemoryRows(), table_rules(self.settings)
        for event in events:
            self.left += left_rows(fold_event(rows, event, rules))
        self.rows = rows.snapshot()
        self.published = dict(self.rows)
        self.marker = Marker(
            applied=self.records[-1].offset,
            version=7,
            stream_time_ms=rows.stream_time_ms,
            fingerprint=fingerprint(rules),
            source_id=self.source_id,
        )

    async def write(self) -> None:
        """Puts dead letters, changelog and published values on Kafka."""
        send, topic = self.producer.send_and_wait, self.settings.topic
        rules = engine_config(self.settings, table_rules(self.settings), "").rules
        for key, value, headers in self.letters:
            await send(topic("dead-letters"), value, key, headers=headers)
        await self.changelog(FENCE_KEY, encode_fence(Fence(self.marker.version, "test")))
        for key, row in self.rows.items():
            await self.producer.send(self.settings.changelog_topic, row, key, partition=0)
        await self.changelog(RULES_KEY, msgspec.msgpack.encode(dict(rules)))
        await self.changelog(MARKER_KEY, encode_marker(self.marker))
        publication = Publication(topic("item-stats"), topic("sessions"))
        stamp = Stamp(self.marker.version, self.marker.applied, self.marker.stream_time_ms)
        for key, row in [*self.left, *self.published.items()]:
            if key[:1] in publication.prefixes:
                for target, out_key, value in publication.expand(key, row):
                    await self.producer.send(target, seal(stamp, value or b""), out_key, partition=0)
        await self.producer.flush()

    async def changelog(self, key: bytes, value: bytes | None) -> None:
        """Appends one record to the changelog."""
        await self.producer.send_and_wait(self.settings.changelog_topic, value, key, partition=0)


async def _read(settings: Settings, topic: str) -> list[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    end = (await consumer.end_offsets([tp]))[tp]
    found: list[Any] = []
    while await consumer.position(tp) < end:
        found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
    await consumer.stop()
    return found


@pytest.fixture
async def state(kafka: Any) -> AsyncIterator[State]:
    """State of one partition, right in every way and not yet written."""
    settings = Settings(broker=kafka.bootstrap, app=f"v{uuid.uuid4().hex[:8]}", partitions=1)
    await create_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    await producer.start()
    for sent in Load(seed=5, partitions=1, bad_share=0.04).take(EVENTS):
        if sent.reason != "wrong_partition":
            await producer.send(settings.topic("events"), sent.value, sent.key, partition=0)
    await producer.flush()
    state = State(settings, producer, await _read(settings, settings.topic("events")))
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    state.source_id = await fetch_topic_id(client, settings.topic("events"))
    state.changelog_id = await fetch_topic_id(client, settings.changelog_topic)
    await client.close()
    for record in state.records:
        try:
            state.events.append(decode_event(record.key, record.value, record.timestamp, settings.event_rules()))
        except BadEvent as bad:
            state.letters.append(dead_letter_record(record, bad))
    state.fold(state.events)
    yield state
    await producer.stop()
