"""A running system to measure: Kafka, workers, and a sender that keeps a constant rate in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.inputs import stamped
from benchmarks.measure import cpu_seconds, memory_mb
from reco_stream import worker_api
from reco_stream.event_files import Line
from reco_stream.kafka_clients import client_kwargs
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker, stop_workers, wait_until_ready, worker_environment
from reco_stream.ports import free_ports
from reco_stream.replay import open_producer, replay
from reco_stream.settings import Settings
from reco_stream.topics import create_topics

READY_WITHIN_S: Final = 300.0
APPLIED_WITHIN_S: Final = 900.0
BROADCAST: Final = ("item-stats", "sessions", "models")
STEP_MS: Final = 20  # the sender hands over what is due so often
STARTS_WITHIN_S: Final = 5.0
STATE_SPAN_S: Final = 86_400.0
STATE_AGE_S: Final = STATE_SPAN_S + 7_200.0
# Rows that moved little are published after 10 s: a window is over when those of its last event are.
SETTLED_AFTER_S: Final = 12.0


@dataclass(frozen=True)
class Look:
    """What a system had done at one moment: CPU of all workers, and what they had published."""

    at_s: float
    cpu_s: float
    records: int
    bytes: int

    def since(self, before: Look) -> Look:
        """Returns what happened from `before` until now."""
        return Look(
            self.at_s - before.at_s,
            self.cpu_s - before.cpu_s,
            self.records - before.records,
            self.bytes - before.bytes,
        )


class System:
    """Workers of one new application on a running Kafka."""

    def __init__(self, kafka: KafkaServer, settings: Settings, workers: Sequence[Worker]) -> None:
        self.settings = settings
        self.workers = workers
        self._logs = kafka.data_dir / "data"

    def look(self) -> Look:
        """Returns the totals of now. A published byte is one in Kafka's log, as each worker fetches it."""
        size = sum(file.stat().st_size for name in BROADCAST for file in self._segments(name))
        return Look(
            time.monotonic(),
            sum(cpu_seconds(worker.pid) for worker in self.workers),
            asyncio.run(self._records()),
            size,
        )

    def _segments(self, topic: str) -> Iterator[Path]:
        return self._logs.glob(f"{self.settings.topic(topic)}-*/*.log")

    async def _records(self) -> int:
        """Values published so far: what every worker reads."""
        topics = map(self.settings.topic, BROADCAST)
        tps = [TopicPartition(topic, number) for topic in topics for number in range(self.settings.partitions)]
        async with AIOKafkaConsumer(**client_kwargs(self.settings)) as consumer:
            return sum((await consumer.end_offsets(tps)).values())

    def memory_mb(self) -> float:
        """Resident memory of the largest worker."""
        return max(memory_mb(worker.pid, "VmRSS") for worker in self.workers)

    def idle_cpu(self, seconds: float) -> float:
        """CPU seconds a second of all workers together while nothing happens; takes `seconds`."""
        before = self.look()
        time.sleep(seconds)
        window = self.look().since(before)
        return window.cpu_s / window.at_s

    def owners(self) -> dict[int, Worker]:
        """The worker of each partition."""
        return {
            found["partition"]: worker
            for worker in self.workers
            for found in worker_api.get(worker.url, "/health")["partitions"]
        }

    def lag(self) -> int:
        """Events that are on Kafka and not applied."""
        return sum(
            found["lag_records"]
            for worker in self.workers
            for found in worker_api.get(worker.url, "/health")["partitions"]
        )

    def catch_up(self) -> float:
        """Returns when all events are applied: the seconds that took. Raises TimeoutError."""
        began = time.monotonic()
        while self.lag():
            if time.monotonic() - began > APPLIED_WITHIN_S:
                raise TimeoutError(f"{self.lag()} events are not applied after {APPLIED_WITHIN_S:g} s")
            time.sleep(0.2)
        return time.monotonic() - began

    def settle(self) -> None:
        """Returns when all events are applied, and what they changed is published and read. Raises TimeoutError."""
        self.catch_up()
        time.sleep(SETTLED_AFTER_S)

    def sender(self, lines: Iterable[Line], per_second: float | None, first_ms: int | None = None) -> SpawnProcess:
        """Returns a process, not yet started, that sends the lines; None: as they are, as fast as Kafka takes them.

        At a rate, events happen from `first_ms` on; none: when they are sent (or a few seconds later, because the
        process has yet to start).
        """
        speed = None if per_second is None else 1.0
        if per_second is not None:
            first_ms = int(1000 * (time.time() + STARTS_WITHIN_S)) if first_ms is None else first_ms
            lines = stamped(lines, per_second, first_ms, STEP_MS)
        context = multiprocessing.get_context("spawn")
        return context.Process(target=_send, args=(self.settings, list(lines), speed), daemon=True)

    def make_state(self, lines: Sequence[Line]) -> None:
        """Sends the lines as events of the 24 hours that ended two hours ago; returns when all is published."""
        first_ms = int(1000 * (time.time() - STATE_AGE_S))
        self.send(stamped(lines, len(lines) / STATE_SPAN_S, first_ms), None)
        self.settle()

    def send(self, lines: Iterable[Line], per_second: float | None) -> None:
        """Returns when all lines are on Kafka."""
        process = self.sender(lines, per_second)
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"the sender ended with code {process.exitcode}")


def caught_up(worker: Worker) -> None:
    """Returns when the worker has applied everything. Raises TimeoutError."""
    deadline = time.monotonic() + APPLIED_WITHIN_S
    while sum(found["lag_records"] for found in worker_api.get(worker.url, "/health")["partitions"]):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{worker.url} has not applied everything within {APPLIED_WITHIN_S:g} s")
        time.sleep(0.2)


def hour_of(seconds: float) -> dict[str, str]:
    """Settings with which a window of so many seconds shares as many of its sessions as a whole hour would."""
    usual = int(Settings.model_fields["sessions_shared"].default)
    return {"RECO_SESSIONS_SHARED": str(max(1, round(usual * seconds / 3600)))}


def _send(settings: Settings, lines: list[Line], speed: float | None) -> None:
    asyncio.run(_replay(settings, lines, speed))


async def _replay(settings: Settings, lines: list[Line], speed: float | None) -> None:
    async with open_producer(settings) as producer:
        report = await replay(producer, settings.topic("events"), lines, speed=speed)
    if not report.complete:
        raise RuntimeError(f"sending stopped at line {report.first_unanswered}: {report.error}")


@contextmanager
def running(
    kafka: KafkaServer, folder: Path, workers: int, partitions: int, more: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Starts workers of a new application and yields them once they are ready; stops them afterwards."""
    app = f"bench-{uuid.uuid4().hex[:8]}"
    settings = Settings(broker=kafka.bootstrap, app=app, partitions=partitions)
    asyncio.run(create_topics(settings))
    environment = {
        **worker_environment(kafka.bootstrap, app),
        "RECO_PARTITIONS": str(partitions),
        "RECO_TIME": "stream",
        "RECO_CANARY_S": "0",
        **(more or {}),
    }
    started = [Worker(port, folder / app, environment) for port in free_ports(workers)]
    try:
        wait_until_ready(started, READY_WITHIN_S)
        yield System(kafka, settings, started)
    finally:
        stop_workers(started)
