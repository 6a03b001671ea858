"""How fast `reco replay` sends, against aiokafka's `send` with a future for every event.

Run: `.venv/bin/python benchmarks/replay.py [FILE]`. Without a file it makes up 300,000 events. Kafka runs on the same
machine and shares its cores; the CPU column is this process alone.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from aiokafka import AIOKafkaProducer

from reco_stream.event_files import EventFile, Line, write_events
from reco_stream.events import parse_event
from reco_stream.kafka_server import KafkaServer
from reco_stream.replay import open_producer, replay
from reco_stream.sample_data import SampleSize, sample_events
from reco_stream.settings import Settings
from reco_stream.topics import create_topics

EVENTS = 300_000
MAX_WAITING = 10_000  # futures of the baseline that are open at a time


async def one_by_one(producer: AIOKafkaProducer, topic: str, lines: Iterable[object]) -> int:
    """The baseline: `send` for every event, waiting when too many are on their way."""
    waiting: list[asyncio.Future[object]] = []
    sent = 0
    for line in lines:
        assert isinstance(line, Line)
        waiting.append(await producer.send(topic, line.value, line.key))
        sent += 1
        if len(waiting) == MAX_WAITING:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    return sent


async def in_batches(producer: AIOKafkaProducer, topic: str, lines: Iterable[object]) -> int:
    """What `reco replay` does."""
    report = await replay(producer, topic, lines)  # type: ignore[arg-type]
    assert report.complete, report
    return report.sent


async def measure(settings: Settings, path: Path) -> None:
    await create_topics(settings)
    rules = settings.event_rules()
    baseline = 0.0
    for name, send in (("send, one by one (baseline)", one_by_one), ("reco replay", in_batches)):
        file = EventFile(path, lambda event: parse_event(event, int(time.time() * 1000), rules))
        async with open_producer(settings) as producer:
            wall, cpu = time.perf_counter(), time.process_time()
            sent = await send(producer, settings.topic("events"), file)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        baseline = baseline or sent / wall
        ratio = sent / wall / baseline
        print(f"{name:<28} {sent / wall:>9,.0f} events/s  {cpu / sent * 1e6:5.1f} us CPU/event  x {ratio:.1f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv.gz"
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            write_events(path, sample_events(SampleSize(events=EVENTS), seed=1))
        with KafkaServer(Path(folder) / "kafka", die_with_parent=True) as kafka:
            asyncio.run(measure(Settings(broker=kafka.bootstrap), path))


if __name__ == "__main__":
    main()
