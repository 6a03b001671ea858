"""Sends an event log to Kafka, in order for each user, as fast as it goes or in the rhythm of its own times.

Records are packed into one open batch a partition and handed over as whole batches: from reading a line to its
acknowledgement that costs 5-7 us of CPU an event, sending one by one with a future each 17-19 (`benchmarks/replay.py`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from reco_stream.catalogue import Item, encode_item
from reco_stream.domain.partitioner import partition_of
from reco_stream.event_files import Line, Refused
from reco_stream.kafka_clients import client_kwargs
from reco_stream.settings import Settings

BATCH_BYTES = 512 * 1024  # half of Kafka's default limit for a batch
LINES_PER_TURN = 1_000  # about 5 ms of reading between two turns of the network code
PACED_FLUSH_S = 0.05

# Names of this module, so that a test can put a clock of its own here.
_now = time.monotonic
_sleep = asyncio.sleep


@dataclass
class ReplayReport:
    """What became of the lines.

    `sent` were acknowledged by all in-sync replicas. `unanswered` got no answer and may be on Kafka or not; nothing
    after them was tried. `first_unanswered` is the line from which the rest can be sent again.
    """

    sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Refused] = field(default_factory=dict)
    unanswered: int = 0
    first_unanswered: int | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """True when every line is on Kafka."""
        return not self.refused and self.error is None

    @property
    def per_second(self) -> float:
        """Acknowledged events a second, from the first line read to the last answer."""
        return self.sent / self.seconds if self.seconds else 0.0


class BatchSender:
    """Packs records into a batch a partition and counts the answers. After the first failure nothing more is sent."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int, report: ReplayReport) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._report = report
        self._open: dict[int, tuple[Any, list[int]]] = {}
        self._waiting: set[asyncio.Future[Any]] = set()

    def pack(self, line: Line) -> int | None:
        """Puts a line into the batch of its partition; None, or the partition whose batch must be sent before."""
        partition = partition_of(line.key.decode(), self._partitions)
        batch = self._open.get(partition)
        if batch is None:
            batch = self._open[partition] = (self._producer.create_batch(), [])
        if batch[0].append(key=line.key, value=line.value, timestamp=None) is None:
            return partition
        batch[1].append(line.number)
        return None

    async def flush(self) -> None:
        """Hands over what is packed, full or not."""
        for partition in list(self._open):
            await self.send(partition)

    async def finish(self) -> None:
        """Returns when Kafka has answered for everything that was handed over."""
        await self.flush()
        while self._waiting:
            await asyncio.wait(self._waiting)

    async def send(self, partition: int) -> None:
        """Hands over the batch of a partition; waits while the one before it is on its way."""
        batch, lines = self._open.pop(partition)
        if self._report.error is not None:
            self._not_sent(lines, self._report.error)
            return
        try:
            answer = await self._producer.send_batch(batch, self._topic, partition=partition)
        except KafkaError as error:
            self._not_sent(lines, _words(error))
            return
        self._waiting.add(answer)
        answer.add_done_callback(lambda done: self._answered(done, lines))

    def _answered(self, answer: asyncio.Future[Any], lines: list[int]) -> None:
        self._waiting.discard(answer)
        error = answer.exception()
        if error is None:
            self._report.sent += len(lines)
        else:
            self._not_sent(lines, _words(error))

    def _not_sent(self, lines: list[int], error: str) -> None:
        report = self._report
        report.error = report.error or error
        report.unanswered += len(lines)
        report.first_unanswered = min(lines[0], report.first_unanswered or lines[0])


async def replay(
    producer: AIOKafkaProducer,
    topic: str,
    lines: Iterable[Line | Refused],
    *,
    speed: float | None = None,
    on_progress: Callable[[ReplayReport], None] = lambda report: None,
) -> ReplayReport:
    """Sends `lines` to `topic` and tells what became of them; a refused line is counted, a failure ends the replay.

    `speed`: event time passes so many times as fast as time; None = as fast as Kafka takes it. A line without a time
    goes together with the one before it. `on_progress` is called at every turn of the loop.
    """
    report = ReplayReport()
    sender = BatchSender(producer, topic, len(await producer.partitions_for(topic)), report)
    pace = _Pace(speed, sender) if speed is not None else None
    began = _now()
    for count, line in enumerate(lines, start=1):
        if isinstance(line, Refused):
            report.refused[line.reason] += 1
            report.examples.setdefault(line.reason, line)
        else:
            if pace is not None and line.time_ms is not None:
                await pace.wait_until(line.time_ms)
            while (full := sender.pack(line)) is not None:
                await sender.send(full)
        if count % LINES_PER_TURN == 0:
            report.seconds = _now() - began
            on_progress(report)
            await asyncio.sleep(0)
        if report.error is not None:
            break
    await sender.finish()
    report.seconds = _now() - began
    on_progress(report)
    return report


async def send_items(producer: AIOKafkaProducer, topic: str, items: Iterable[Item]) -> int:
    """Sends a catalogue and returns its number of items when Kafka has them all. Raises KafkaError."""
    answers = []
    for item in items:
        key, value = encode_item(item)
        answers.append(await producer.send(topic, value, key))
    await asyncio.gather(*answers)
    return len(answers)


@asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer for `replay`: acks=all, batches of half a megabyte. Raises KafkaError without Kafka."""
    producer = AIOKafkaProducer(
        client_id=f"{settings.app}-replay",
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_batch_size=BATCH_BYTES,
        max_request_size=16 * BATCH_BYTES,
        **client_kwargs(settings),
    )
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


class _Pace:
    """Waits until an event is due, and hands over what is packed meanwhile."""

    def __init__(self, speed: float, sender: BatchSender) -> None:
        self._speed = speed
        self._sender = sender
        self._began = _now()
        self._first_ms: int | None = None

    async def wait_until(self, time_ms: int) -> None:
        self._first_ms = time_ms if self._first_ms is None else self._first_ms
        due = self._began + (time_ms - self._first_ms) / 1000 / self._speed
        while (wait := due - _now()) > 0:
            await self._sender.flush()
            await _sleep(min(wait, PACED_FLUSH_S))


def _words(error: BaseException) -> str:
    text = str(error)
    return text if type(error).__name__ in text else f"{type(error).__name__}: {text}"
