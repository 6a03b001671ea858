"""From "the event is on the topic" to "it is applied", while the worker has nothing else to do.

Method. Our engine under Faust owns all partitions of an empty topic. One event after the other is sent, acks=all, with
a random pause of 50 to 150 ms before each, to users of all partitions. The clock starts when the broker acknowledges
the event, and stops when the engine counts it: folded, acknowledged in the changelog, and written to the store (a
number in a mapped file, looked at every 0.2 ms). The baseline is a bare aiokafka consumer in this process on the same
topic, whose fetch waits as long: the time until it holds the event. Percentiles over `--events`.

Run: python -m benchmarks.idle_latency [--json FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import inputs
from benchmarks.command import options, with_kafka
from benchmarks.contenders import Baseline, Log, Running
from benchmarks.report import emit, table
from reco_stream.kafka_clients import client_kwargs
from reco_stream.kafka_server import KafkaServer
from reco_stream.replay import open_producer
from reco_stream.settings import Settings

WARM_UP = 20
LOOK_EVERY_S = 0.0002
FETCH_MAX_WAIT_MS = 10  # as in reco_stream/engine/delivery.py
PERCENTILES = (50, 95, 99)


async def applied(running: Running, wanted: int) -> None:
    while running.done() < wanted:
        await asyncio.sleep(LOOK_EVERY_S)


async def arrival(consumer: AIOKafkaConsumer) -> float:
    await consumer.getone()
    return time.perf_counter()


async def measure(settings: Settings, running: Running, events: int) -> dict[str, list[float]]:
    """Milliseconds of each event, for the engine and for the bare consumer."""
    topic = settings.topic("events")
    lines = list(inputs.long_tail(events, 10_000))
    found: dict[str, list[float]] = {"engine: applied": [], "bare consumer: received": []}
    consumer = AIOKafkaConsumer(**client_kwargs(settings), group_id=None, fetch_max_wait_ms=FETCH_MAX_WAIT_MS)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(settings.partitions)])
        await consumer.seek_to_end()
        async with open_producer(settings) as producer:
            for number, line in enumerate(lines, 1):
                await asyncio.sleep(random.uniform(0.05, 0.15))
                received = asyncio.create_task(arrival(consumer))
                await (await producer.send(topic, line.value, line.key))
                sent = time.perf_counter()
                await applied(running, number)
                found["engine: applied"].append(time.perf_counter() - sent)
                found["bare consumer: received"].append(await received - sent)
    finally:
        await consumer.stop()
    return {name: [max(seconds, 0.0) * 1e3 for seconds in times[WARM_UP:]] for name, times in found.items()}


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app="bench", partitions=arguments.partitions)
    log = Log(settings, asyncio.run(inputs.load(settings, iter(()))))
    with contextmanager(Baseline("engine", "engine_only").start)(log, 1, folder) as running:
        time.sleep(arguments.settle)
        found = asyncio.run(measure(settings, running, arguments.events + WARM_UP))
    rows = [
        [name, *(float(np.percentile(times, at)) for at in PERCENTILES), max(times)] for name, times in found.items()
    ]
    text = table(["milliseconds after the acknowledgement", *(f"p{at}" for at in PERCENTILES), "largest"], rows)
    emit("idle_latency", text, {"milliseconds": found}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--settle", type=float, default=15.0, help="seconds for the worker to own its partitions")
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
