"""Events over HTTP, each acknowledged by Kafka (acks=all) before its answer, until all are applied.

    python -m benchmarks.ingest_http --log events.csv.gz --events 200000

A worker with the state of the first events of a log takes the next ones in the log's order, in batches and one by one,
on 8 connections that each send again as soon as they are answered. Events a second: answered with 202 until the last
answer, and applied until the last one is. A row begins and ends when the worker has nothing left to do, read models
included (what batches leave behind took two fifths of the CPU of the single events after them), so the worker's CPU is
all that its events cost. Broker and client have the same cores: their CPU is given too, and events a second are a lower
bound. A new broker takes two to six times the CPU for half a minute (its JVM compiles), so the first load is not shown.
What was refused (503) is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.command import options, with_kafka
from benchmarks.http_load import closed_loop, in_turn, post
from benchmarks.inputs import load, read_inputs
from benchmarks.live import READY_WITHIN_S, caught_up
from benchmarks.measure import SETTLED_BELOW, SETTLES_WITHIN_S, cpu_seconds
from benchmarks.report import emit, table
from reco_stream.event_files import Line
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker, wait_until_ready, worker_environment
from reco_stream.ports import free_ports
from reco_stream.settings import Settings

CONNECTIONS = 8
Row = list[Any]


def settle(worker: Worker) -> None:
    """Returns when the worker has applied everything and is idle."""
    caught_up(worker)
    deadline, taken_s = time.monotonic() + SETTLES_WITHIN_S, 1.0
    while taken_s > SETTLED_BELOW and time.monotonic() < deadline:
        began_s = cpu_seconds(worker.pid)
        time.sleep(1.0)
        taken_s = cpu_seconds(worker.pid) - began_s


def measured(
    worker: Worker, kafka: KafkaServer, lines: list[Line], size: int, connections: int, seconds: float
) -> tuple[Row, int]:
    """One row, and how many of the lines were sent."""
    groups = [lines[at : at + size] for at in range(0, len(lines) - size, size)]
    bodies = [post("/events", b"[" + b",".join(line.value for line in group) + b"]") for group in groups]
    settle(worker)
    before = cpu_seconds(worker.pid), cpu_seconds(kafka.pid or 0), time.process_time()
    result = asyncio.run(closed_loop(worker.url, in_turn(bodies), connections, seconds))
    answered = time.perf_counter()
    caught_up(worker)
    applied_s = time.perf_counter() - answered
    settle(worker)
    after = cpu_seconds(worker.pid), cpu_seconds(kafka.pid or 0), time.process_time()
    sent = len(result.seconds) * size
    taken = result.statuses[202] * size
    cpu_us = [(end - begin) / taken * 1e6 for begin, end in zip(before, after, strict=True)]
    bad = sum(count for status, count in result.statuses.items() if status != 202)
    latencies = [result.quantile_ms(share) for share in (0.5, 0.99)]
    name = f"{'single events' if size == 1 else f'batches of {size}'}, {connections} connections"
    speeds = [taken / result.wall_s, taken / (result.wall_s + applied_s)]
    return [name, *speeds, applied_s, *cpu_us, *latencies, bad], sent


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"ingest-{uuid.uuid4().hex[:8]}")
    loaded, fresh = read_inputs(arguments.log, arguments.events, arguments.fresh, arguments.items)
    asyncio.run(load(settings, iter(loaded)))
    environment = {**worker_environment(settings.broker, settings.app), "RECO_TIME": "stream", "RECO_CANARY_S": "0"}
    worker = Worker(free_ports(1)[0], folder, environment)
    rows: list[Row] = []
    try:
        wait_until_ready([worker], READY_WITHIN_S)
        caught_up(worker)
        loads = ((1, 8 * CONNECTIONS), (500, CONNECTIONS), (1, CONNECTIONS), (1, 8 * CONNECTIONS))
        for (size, connections), seconds in zip(loads, (arguments.warm_up, *[arguments.seconds] * 3), strict=True):
            row, sent = measured(worker, kafka, fresh, size, connections, seconds)
            rows.append(row)
            fresh = fresh[sent:] or fresh
    finally:
        worker.stop()
    speeds, cpu = ["answered/s", "applied/s", "applied s after"], ["worker CPU us each", "broker", "client"]
    header = ["events", *speeds, *cpu, "p50 ms", "p99 ms", "refused"]
    figures = {"header": header, "rows": rows[1:], "events": len(loaded)}
    emit("ingest_http", table(header, rows[1:]), figures, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--events", type=int, default=200_000, help="events that are loaded before")
    parser.add_argument("--fresh", type=int, default=600_000, help="at most so many of the following events are sent")
    parser.add_argument("--items", type=int, default=50_000, help="items of the long tail")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds of single events that are not shown")
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
