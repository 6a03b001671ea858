"""Recommendations over HTTP: requests a second, CPU a request, latency at a constant rate, and the cost of a hop.

    python -m benchmarks.serving --log events.csv.gz --events 400000

A worker with the state of the first events of a log. Before the first request, and again before the requests beside
events and those of the hop, everything is applied, published and read: rows of a backlog are published for up to 10 s
after it, and to take them in was 7 % of the CPU of the requests that came meanwhile. What the worker can take is
measured in the same run: the log's next events are sent as fast as Kafka takes them, and events applied a second until
the last one are the capacity. Half of that comes in while it is asked again: from a process that writes them to Kafka
at a constant rate, as producers do, or (`--over-http`) that posts them to the worker, which then takes the CPU of
requests and producer too. For the hop a second worker shares the partitions: users of the second are asked for there
and at the first, in turns. The load generator (http_load.py) runs in this process, so on two cores client, sender,
broker and worker share: CPU a request is the worker's own, wall time is an upper bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import time
import uuid
from collections.abc import Sequence
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from benchmarks.command import options, with_kafka
from benchmarks.freshness import capacity
from benchmarks.http_load import Result, closed_loop, get, in_turn, open_loop, post
from benchmarks.inputs import load, read_inputs
from benchmarks.live import READY_WITHIN_S, System
from benchmarks.measure import cpu_seconds
from benchmarks.report import emit, table
from reco_stream import worker_api
from reco_stream.domain.partitioner import partition_of
from reco_stream.event_files import Line
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker, stop_workers, wait_until_ready, worker_environment
from reco_stream.ports import free_ports
from reco_stream.settings import Settings

CONNECTIONS = 8
BATCH = 500
STARTED_S = 5.0  # the sender has started by then
Row = list[Any]


def row(name: str, worker: Worker, cpu_before: float, result: Result, events: int = 1) -> Row:
    cpu_us = (cpu_seconds(worker.pid) - cpu_before) / len(result.seconds) / events * 1e6
    bad = sum(count for status, count in result.statuses.items() if not 200 <= status < 300)
    latencies = [result.quantile_ms(share) for share in (0.5, 0.9, 0.99)]
    return [name, result.per_s * events, cpu_us, *latencies, bad]


def asking(worker: Worker, users: Sequence[str], arguments: argparse.Namespace) -> list[Row]:
    """Recommendations: closed loop, then open loop, idle and while events come in."""
    questions = in_turn([get(f"/recommendations?user_id={user}") for user in users])
    rows: list[Row] = []
    asyncio.run(closed_loop(worker.url, questions, CONNECTIONS, 2.0))  # warm: caches, connections
    before = cpu_seconds(worker.pid)
    result = asyncio.run(closed_loop(worker.url, questions, CONNECTIONS, arguments.seconds))
    rows.append(row(f"closed loop, {CONNECTIONS} connections", worker, before, result))
    for rate in arguments.rates:
        before = cpu_seconds(worker.pid)
        result = asyncio.run(open_loop(worker.url, questions, rate, arguments.seconds))
        rows.append(row(f"open loop, {rate}/s, idle", worker, before, result))
    return rows


def ingest_forever(url: str, bodies: list[bytes], per_second: float) -> None:
    asyncio.run(open_loop(url, in_turn(bodies), per_second / BATCH, 3600.0, CONNECTIONS))


def http_sender(url: str, lines: Sequence[Line], per_second: float) -> SpawnProcess:
    """A process, not yet started, that posts the lines again and again."""
    bodies = [
        post("/events", b"[" + b",".join(line.value for line in lines[at : at + BATCH]) + b"]")
        for at in range(0, len(lines), BATCH)
    ]
    context = multiprocessing.get_context("spawn")
    return context.Process(target=ingest_forever, args=(url, bodies, per_second), daemon=True)


def asking_under_load(
    system: System, users: Sequence[str], lines: Sequence[Line], arguments: argparse.Namespace
) -> list[Row]:
    """The open loop again while another process sends events at half of the capacity."""
    worker, peak = system.workers[0], arguments.peak
    per_second = arguments.ingest or capacity(system, lines[:peak]) / 2
    system.settle()
    lines = lines[peak : peak + int(per_second * (len(arguments.rates) * (arguments.seconds + 1) + 2 * STARTED_S))]
    if arguments.over_http:
        sender, way = http_sender(worker.url, lines, per_second), "over HTTP"
    else:
        sender, way = system.sender(lines, per_second, lines[0].time_ms), "from Kafka"
    sender.start()
    questions = in_turn([get(f"/recommendations?user_id={user}") for user in users])
    rows: list[Row] = []
    try:
        time.sleep(STARTED_S)
        for rate in arguments.rates:
            before = cpu_seconds(worker.pid)
            result = asyncio.run(open_loop(worker.url, questions, rate, arguments.seconds))
            cores = (cpu_seconds(worker.pid) - before) / result.wall_s
            name = f"open loop, {rate}/s, {per_second:,.0f} events/s come in {way} (CPU of both: {cores:.2f} cores)"
            rows.append(row(name, worker, before, result))
        if not sender.is_alive():
            raise RuntimeError(f"the log ended before the requests: give it more than {arguments.fresh:,} events")
    finally:
        sender.terminate()
        sender.join()
    return rows


def hop(workers: Sequence[Worker], users: Sequence[str], arguments: argparse.Namespace) -> list[Row]:
    """The same users asked for at their owner and at the other worker, at a rate that leaves both idle."""
    near, owner = workers
    found = worker_api.get(owner.url, "/health")["partitions"]
    mine = {partition["partition"] for partition in found if partition["running"]}
    count = worker_api.get(near.url, "/health")["partitions"]
    partitions = len(count) + len(found)
    theirs = [user for user in users if partition_of(user, partitions) in mine]
    questions = in_turn([get(f"/recommendations?user_id={user}") for user in theirs])
    rows: list[Row] = []
    for name, worker in (("asked at the owner", owner), ("one hop", near)):
        asyncio.run(open_loop(worker.url, questions, arguments.hop_rate, 1.0))  # warm: the pool between the workers
        before = cpu_seconds(worker.pid)
        result = asyncio.run(open_loop(worker.url, questions, arguments.hop_rate, arguments.seconds))
        rows.append(row(f"open loop, {arguments.hop_rate}/s, {name}", worker, before, result))
    return rows


def owns_half(worker: Worker) -> bool:
    """Says whether the partitions are divided and running: two workers own twelve."""
    partitions = worker_api.get(worker.url, "/health")["partitions"]
    return 0 < len(partitions) <= 6 and all(partition["running"] for partition in partitions)


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"serving-{uuid.uuid4().hex[:8]}")
    loaded, fresh = read_inputs(arguments.log, arguments.events, arguments.fresh, arguments.items)
    asyncio.run(load(settings, iter(loaded)))
    environment = {**worker_environment(settings.broker, settings.app), "RECO_TIME": "stream", "RECO_CANARY_S": "0"}
    workers = [Worker(free_ports(1)[0], folder, environment)]
    try:
        wait_until_ready(workers, READY_WITHIN_S)
        system = System(kafka, settings, workers)
        system.settle()
        users = sorted({json.loads(line.value).get("user_id") or "" for line in loaded[-50_000:]} - {""})
        random.Random(1).shuffle(users)
        rows = asking(workers[0], users, arguments)
        rows += asking_under_load(system, users, fresh, arguments)
        workers.append(Worker(free_ports(1)[0], folder, environment))
        wait_until_ready(workers, READY_WITHIN_S)
        while not all(map(owns_half, workers)):
            time.sleep(0.2)
        system.settle()
        rows += hop(workers, users, arguments)
    finally:
        stop_workers(workers)
    header = ["load", "a second", "worker CPU us each", "p50 ms", "p90 ms", "p99 ms", "refused"]
    emit("serving", table(header, rows), {"header": header, "rows": rows, "events": len(loaded)}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--events", type=int, default=200_000, help="events that are loaded before")
    parser.add_argument("--fresh", type=int, default=500_000, help="events after those, at most")
    parser.add_argument(
        "--peak", type=int, default=100_000, help="of these, the ones that the capacity is measured with"
    )
    parser.add_argument("--items", type=int, default=50_000, help="items of the long tail")
    parser.add_argument("--rates", type=int, nargs="*", default=[500, 1000], help="requests a second, open loop")
    parser.add_argument("--ingest", type=float, help="events a second beside the requests; none: half of the capacity")
    parser.add_argument("--over-http", action="store_true", help="they come over HTTP and not from Kafka")
    parser.add_argument("--hop-rate", type=int, default=200, help="requests a second for the hop")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
