"""One application under fault: its topics, its seeded load, its workers, and the verdict."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from reco_stream.engine.marker import FENCE_KEY, MARKER_KEY, Fence, decode_marker
from reco_stream.engine.published import unseal
from reco_stream.settings import Settings
from reco_stream.topics import MIB, create_topics
from reco_stream.verify.log import Source, open_reader
from reco_stream.verify.verify import Report, verify
from tests.fault.answers import wrong_answers
from tests.fault.load import Load, Sent
from tests.fault.report import Run
from tests.fault.workers import READY_S, Worker, wait_until

SESSION_TIMEOUT_S: Final = 2.0
T = TypeVar("T")


class Cluster:
    """One RECO_APP on one Kafka. All methods block; `close` ends every worker."""

    def __init__(self, bootstrap: str, folder: Path, run: Run, partitions: int = 3, **env: str) -> None:
        self.folder = folder
        self.run = run
        self.app = f"f{uuid.uuid4().hex[:10]}"
        self.env = {
            "RECO_BROKER": bootstrap,
            "RECO_APP": self.app,
            "RECO_PARTITIONS": str(partitions),
            "RECO_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
            "RECO_HEARTBEAT_S": "0.4",
            "RECO_BATCH_MAX_EVENTS": "100",
            "RECO_CANARY_S": "0",
            **env,
        }
        self.settings = Settings(
            broker=bootstrap,
            app=self.app,
            partitions=partitions,
            replication=int(env.get("RECO_REPLICATION", "1")),
            batch_max_events=100,
            session_timeout_s=2.0,
        )
        self.load = Load(run.seed, partitions)
        self.workers: dict[str, Worker] = {}
        self.ends: dict[int, int] = {}
        asyncio.run(create_topics(self.settings))

    # -- workers -----------------------------------------------------------------------------------------------------

    def worker(self, name: str = "a") -> Worker:
        """Returns the worker of this name, made when it is new; not started."""
        if name not in self.workers:
            self.workers[name] = Worker(name, self.folder, self.env)
        return self.workers[name]

    def live(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.running]

    def close(self) -> None:
        for worker in self.workers.values():
            worker.end()

    # -- load --------------------------------------------------------------------------------------------------------

    def send(self, records: Sequence[Sent]) -> None:
        """Puts the records on Kafka and returns when all are there."""
        asyncio.run(self._send(records))

    async def _send(self, records: Sequence[Sent]) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.broker, acks="all", linger_ms=5, max_request_size=8 * MIB
        )
        await producer.start()
        try:
            await self._deliver(producer, records)
        finally:
            await producer.stop()

    async def _deliver(self, producer: AIOKafkaProducer, records: Sequence[Sent]) -> None:
        topic = self.settings.topic("events")
        futures = [await producer.send(topic, sent.value, sent.key, partition=sent.partition) for sent in records]
        for sent in await asyncio.gather(*futures):
            self.ends[sent.partition] = max(self.ends.get(sent.partition, 0), sent.offset + 1)

    def produce(self, count: int) -> list[Sent]:
        """Puts the next `count` records of the load on Kafka."""
        records = self.load.take(count)
        self.send(records)
        return records

    # -- waiting -----------------------------------------------------------------------------------------------------

    def behind(self) -> int:
        """Records that no running worker has applied."""
        applied = dict.fromkeys(self.ends, -1)
        for worker in self.live():
            for partition, offset in worker.applied().items():
                applied[partition] = max(applied.get(partition, -1), offset)
        return sum(max(0, end - 1 - applied[partition]) for partition, end in self.ends.items())

    def drain(self, timeout_s: float = READY_S) -> float:
        """Waits until all that was sent is applied; returns the seconds it took and notes the lag on the way."""
        began = time.monotonic()

        def met() -> bool:
            behind = self.behind()
            self.run.lag(behind)
            return behind == 0

        wait_until(met, lambda: f"all records are applied, {self.behind()} are not\n{self.tails()}", timeout_s)
        return time.monotonic() - began

    def tails(self) -> str:
        return "\n".join(f"-- {worker.name}\n{worker.log_tail()}" for worker in self.workers.values())

    # -- the verdict -------------------------------------------------------------------------------------------------

    def verify(self, *, published: bool = True, half_restored: bool = False, source: Source | None = None) -> Report:
        """Recounts the log against the changelog, every worker's stores and what was published; asserts that they
        are equal. `half_restored`: a rebalance may have left such stores, beside the whole one of the owner."""
        stores = [
            worker.data_dir for worker in self.workers.values() if (worker.data_dir / self.settings.state_name).exists()
        ]
        report = asyncio.run(verify(self.settings, stores, published=published, source=source))
        # A standby's copy is that of no one moment; it is compared once its partition has been taken over.
        of_no_moment = "or are a standby's" if half_restored or self.env.get("RECO_STANDBYS", "0") != "0" else None
        unknown = [line for line in report.unknown if of_no_moment is None or of_no_moment not in line]
        assert not unknown, "\n".join(unknown)
        assert not half_restored or report.copies >= 2 * self.settings.partitions
        found = "\n".join(map(str, report.differences))
        assert not report.different, f"{report.different} differences:\n{found}\n{self.tails()}"
        assert report.rows > 0
        self.run.verified(report)
        return report

    def finish(
        self, *, expected_errors: tuple[str, ...] = (), half_restored: bool = False, source: Source | None = None
    ) -> Report:
        """Drains, compares answers, waits for the last publication, stops every worker, and verifies everything."""
        self.drain()
        self.compare_answers(source)
        stopped = [worker for worker in self.live() if worker.stop() == 0]
        assert stopped, f"no worker ended well\n{self.tails()}"
        report = self.verify(half_restored=half_restored, source=source)
        self.run.restored(rows for worker in self.workers.values() for rows in worker.restored())
        self.run.duplicates(self.published_twice())
        self.assert_no_foreign_record()
        errors = [line for worker in self.workers.values() for line in worker.errors(expected_errors)]
        assert not errors, "unexplained lines:\n" + "\n".join(errors)
        return report

    def compare_answers(self, source: Source | None = None) -> None:
        """Waits until the workers answer over HTTP what a recount says; a rebalance may still be going on."""
        wrong: list[str] = []

        def met() -> bool:
            wrong[:] = wrong_answers(self.settings, self.live(), source)
            return not wrong

        wait_until(met, lambda: "the answers are those of a recount\n" + "\n".join([*wrong, self.tails()]))

    def assert_no_foreign_record(self) -> None:
        """Asserts that nobody wrote to the changelog after a newer owner had fenced it."""
        for partition in range(self.settings.partitions):
            newest = 0
            for record in self.read(self.settings.changelog_topic, partition):
                if record.key == FENCE_KEY:
                    version = msgspec.msgpack.decode(record.value, type=Fence).version
                elif record.key == MARKER_KEY:
                    version = decode_marker(record.value).version
                else:
                    continue
                assert version >= newest, f"partition {partition}, offset {record.offset}: written by an older owner"
                newest = version

    def published_twice(self) -> int:
        """Counts published values that say the same of the same key as the one before: what a crash sent again."""

        async def count() -> int:
            found = 0
            async with open_reader(self.settings) as reader:
                for topic in map(self.settings.topic, ("item-stats", "sessions")):
                    for partition in range(self.settings.partitions):
                        last: dict[bytes, tuple[int, bytes]] = {}
                        async for records in reader.read_compacted(topic, partition):
                            for record in records:
                                stamp, row = unseal(record.value)
                                found += last.get(record.key) == (stamp.applied, row)
                                last[record.key] = (stamp.applied, row)
            return found

        return asyncio.run(count())

    # -- Kafka -------------------------------------------------------------------------------------------------------

    def admin(self, act: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """Returns what `act` returns with an admin client."""

        async def run() -> T:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.broker)
            await admin.start()
            try:
                return await act(admin)
            finally:
                await admin.close()

        return asyncio.run(run())

    def configure(self, topic: str, **config: str) -> None:
        """Replaces a topic's settings, given with '_' for '.'."""
        changes = {name.replace("_", "."): value for name, value in config.items()}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, changes)
        self.admin(lambda admin: admin.alter_configs([resource]))

    def truncate(self, before: dict[int, int]) -> None:
        """Deletes the source records below the given offset of each partition, as retention does."""
        topic = self.settings.topic("events")
        records = {TopicPartition(topic, partition): RecordsToDelete(offset) for partition, offset in before.items()}
        self.admin(lambda admin: admin.delete_records(records))

    def recreate_changelog(self) -> None:
        """Deletes the changelog topic and makes it anew, empty."""
        topic = self.settings.changelog_topic
        self.admin(lambda admin: admin.delete_topics([topic]))
        wait_until(
            lambda: topic not in self.admin(lambda admin: admin.list_topics()), f"topic {topic} is deleted", READY_S
        )
        asyncio.run(create_topics(self.settings))

    def read(self, topic: str, partition: int) -> list[Any]:
        """Returns all records of a topic's partition."""

        async def run() -> list[Any]:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.settings.broker,
                group_id=None,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=20,
                max_partition_fetch_bytes=10 * MIB,
            )
            await consumer.start()
            try:
                tp = TopicPartition(topic, partition)
                consumer.assign([tp])
                end = (await consumer.end_offsets([tp]))[tp]
                await consumer.seek_to_beginning(tp)
                found: list[Any] = []
                while await consumer.position(tp) < end:
                    found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
                return found
            finally:
                await consumer.stop()

        return asyncio.run(run())

    def compact_hard(self, min_lag_ms: int = 0) -> None:
        """From now on the changelog's segments are tiny and cleaned at once, but for `min_lag_ms`.

        Tombstones stay for ten minutes, longer than any worker of a test is frozen: a store that was away for longer
        than Kafka keeps them cannot know what was deleted, and a worker builds such a store anew (`recovery.is_stale`).
        """
        self.configure(
            self.settings.changelog_topic,
            cleanup_policy="compact",
            message_timestamp_type="LogAppendTime",
            max_message_bytes=str(8 * MIB),
            segment_ms="200",
            min_cleanable_dirty_ratio="0.001",
            min_compaction_lag_ms=str(min_lag_ms),
            max_compaction_lag_ms=str(max(min_lag_ms, 200)),
            delete_retention_ms="600000",
        )

    def wait_compacted(self) -> tuple[int, int]:
        """Waits until the cleaner has removed rows and has nothing left to do; returns (records, offsets)."""
        seen = (0, 0)

        def met() -> bool:
            nonlocal seen
            logs = [self.read(self.settings.changelog_topic, number) for number in range(self.settings.partitions)]
            now = (sum(map(len, logs)), sum(log[-1].offset + 1 for log in logs if log))
            done = now == seen and now[0] < now[1]
            seen = now
            time.sleep(1.5)  # the cleaner looks every half second
            return done

        wait_until(met, lambda: f"{self.settings.changelog_topic} is compacted; records and offsets were {seen}")
        return seen


class Trickle:
    """A load in the background: `per_second` records until the `with` block ends. A broker that is away is no error."""

    def __init__(self, cluster: Cluster, per_second: int) -> None:
        self._cluster = cluster
        self._per_second = per_second
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Trickle:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(READY_S)
        assert not self._thread.is_alive(), "the load did not end"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:
            self._error = error

    async def _send(self) -> None:
        cluster, per_turn = self._cluster, max(1, self._per_second // 10)
        producer = AIOKafkaProducer(
            bootstrap_servers=cluster.settings.broker, acks="all", request_timeout_ms=5_000, retry_backoff_ms=200
        )
        await producer.start()
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                records = cluster.load.take(per_turn)
                while not await _sent(cluster._deliver(producer, records)):
                    pass  # sent again whole: some may now be there twice, and the log is the truth anyway
                await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
        finally:
            await producer.stop()


async def _sent(delivery: Coroutine[Any, Any, None]) -> bool:
    try:
        await delivery
    except KafkaError:
        await asyncio.sleep(0.2)
        return False
    return True
