"""The engine under a real Faust application and a real Kafka: events in, kill -9, restart, the state is the fold."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from reco_stream.engine.marker import MARKER_KEY, decode_marker
from reco_stream.engine.published import unseal
from reco_stream.engine.store import PartitionStore, StoreResources
from tests.engine.counting_worker import COUNTS, PARTITIONS, Count, config_for, count

pytestmark = pytest.mark.kafka
WORKER = Path(__file__).with_name("counting_worker.py")


@pytest.fixture
async def app(kafka: Any) -> AsyncIterator[str]:
    name = f"count-{uuid.uuid4().hex[:8]}"
    config = config_for(name, kafka.bootstrap, Path())
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    topics = [config.events_topic, config.changelog_topic, config.item_stats_topic, config.sessions_topic]
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])
    yield name
    await admin.close()


@contextlib.contextmanager
def worker(app: str, bootstrap: str, data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(WORKER), app, bootstrap, str(data_dir)], start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Log:
    """The source log as the test wrote it, and its fold, counted anew."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
        self._topic = topic
        self._random = random.Random(4)
        self.records: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in range(PARTITIONS)}

    async def __aenter__(self) -> "Log":
        await self._producer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._producer.stop()

    async def add(self, events: int) -> None:
        for number, records in self.records.items():
            for _ in range(events):
                record = b"user-%d" % self._random.randrange(50), self._random.randbytes(8)
                records.append(record)
                await self._producer.send(self._topic, record[1], record[0], partition=number)
        await self._producer.flush()

    def fold(self, number: int) -> dict[bytes, Count]:
        counts: dict[bytes, Count] = {}
        for key, value in self.records[number]:
            counts[COUNTS.prefix + key] = count(counts.get(COUNTS.prefix + key), value)
        return counts


async def last_values(bootstrap: str, topic: str, number: int) -> dict[bytes, bytes]:
    """The last value of each key of one partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        tp = TopicPartition(topic, number)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        found: dict[bytes, bytes] = {}
        while await consumer.position(tp) < end:
            records = (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
            found.update((record.key, record.value) for record in records)
        return found
    finally:
        await consumer.stop()


async def applied(bootstrap: str, changelog: str, number: int) -> int:
    raw = (await last_values(bootstrap, changelog, number)).get(MARKER_KEY)
    return -1 if raw is None else decode_marker(raw).applied


async def until(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(90):
        while not await condition():
            assert process.poll() is None, f"the worker ended with {process.returncode}"
            await asyncio.sleep(0.1)


def decoded(rows: dict[bytes, bytes]) -> dict[bytes, Count]:
    return {key: COUNTS.decode(value) for key, value in rows.items() if key.startswith(COUNTS.prefix)}


async def test_state_is_the_fold_after_kill_and_restart(kafka: Any, app: str, tmp_path: Path) -> None:
    config = config_for(app, kafka.bootstrap, tmp_path)

    async def reached(share: float) -> bool:
        ends = [await applied(kafka.bootstrap, config.changelog_topic, number) for number in range(PARTITIONS)]
        return all(end + 1 >= share * len(log.records[number]) for number, end in enumerate(ends))

    async with Log(kafka.bootstrap, config.events_topic) as log:
        await log.add(3_000)  # a backlog: both partitions have records the moment they start
        with worker(app, kafka.bootstrap, tmp_path) as process:
            await until(lambda: reached(0.1), process)
            os.killpg(process.pid, signal.SIGKILL)
        await log.add(1_000)
        with worker(app, kafka.bootstrap, tmp_path) as process:
            await until(lambda: reached(1), process)
            await log.add(500)
            await until(lambda: reached(1), process)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 30) == 0

    resources = StoreResources(8 << 20)
    for number in range(PARTITIONS):
        expected = log.fold(number)
        changelog = await last_values(kafka.bootstrap, config.changelog_topic, number)
        assert decoded(changelog) == expected
        published = await last_values(kafka.bootstrap, config.item_stats_topic, number)
        assert {key: COUNTS.decode(unseal(value)[1]) for key, value in published.items()} == expected
        store = PartitionStore(config.store_path(number), resources)
        store.open()
        assert decoded(dict(store.scan(COUNTS.prefix))) == expected
        assert store.marker() == decode_marker(changelog[MARKER_KEY])
        store.close()
