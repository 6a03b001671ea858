"""Recommendations and ingestion over HTTP: requests a second, CPU a request, latency at a constant rate.

    python -m benchmarks.serving --log events.jsonl.gz

One worker with the state of a log. The load generator (http_load.py) runs in a process of its own beside it, so on two
cores client, broker and worker share: CPU a request is the worker's own, wall time is an upper bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.http_load import Result, closed_loop, get, in_turn, open_loop, post
from benchmarks.inputs import load, log_file, long_tail
from benchmarks.measure import cpu_seconds
from benchmarks.report import emit, table
from reco_stream import worker_api
from reco_stream.event_files import Line
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker, wait_until_ready, worker_environment
from reco_stream.ports import free_ports
from reco_stream.settings import Settings

CONNECTIONS = 8
BATCH = 500
APPLIED_WITHIN_S = 600.0
Row = list[Any]


def caught_up(worker: Worker) -> None:
    """Returns when the worker has applied everything. Raises TimeoutError."""
    deadline = time.monotonic() + APPLIED_WITHIN_S
    while sum(found["lag_records"] for found in worker_api.get(worker.url, "/health")["partitions"]):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{worker.url} has not applied everything within {APPLIED_WITHIN_S:g} s")
        time.sleep(0.2)


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


def sending(worker: Worker, lines: Sequence[Line], arguments: argparse.Namespace) -> list[Row]:
    """Events over HTTP, each acknowledged by Kafka, until all are applied."""
    rows: list[Row] = []
    for name, size in (("events in batches of 500", BATCH), ("single events", 1)):
        bodies = [
            post("/events", b"[" + b",".join(line.value for line in lines[at : at + size]) + b"]")
            for at in range(0, min(len(lines), 200 * size), size)
        ]
        before = cpu_seconds(worker.pid)
        result = asyncio.run(closed_loop(worker.url, in_turn(bodies), CONNECTIONS, arguments.seconds))
        began = time.perf_counter()
        caught_up(worker)
        applied_s = time.perf_counter() - began
        rows.append(row(f"{name}, applied {applied_s:.1f} s after the last", worker, before, result, size))
    return rows


def ingest_forever(url: str, bodies: list[bytes], per_second: float) -> None:
    asyncio.run(open_loop(url, in_turn(bodies), per_second / BATCH, 3600.0, CONNECTIONS))


def asking_under_load(
    worker: Worker, users: Sequence[str], lines: Sequence[Line], arguments: argparse.Namespace
) -> list[Row]:
    """The open loop again while another process sends events at a constant rate."""
    bodies = [
        post("/events", b"[" + b",".join(line.value for line in lines[at : at + BATCH]) + b"]")
        for at in range(0, len(lines), BATCH)
    ]
    sender = multiprocessing.get_context("spawn").Process(
        target=ingest_forever, args=(worker.url, bodies, arguments.ingest), daemon=True
    )
    sender.start()
    questions = in_turn([get(f"/recommendations?user_id={user}") for user in users])
    rows: list[Row] = []
    try:
        time.sleep(3.0)
        for rate in arguments.rates:
            before = cpu_seconds(worker.pid)
            result = asyncio.run(open_loop(worker.url, questions, rate, arguments.seconds))
            name = f"open loop, {rate}/s, {arguments.ingest:,} events/s come in (CPU of both)"
            rows.append(row(name, worker, before, result))
    finally:
        sender.terminate()
        sender.join()
    return rows


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"serving-{uuid.uuid4().hex[:8]}")
    lines = list(
        log_file(arguments.log, arguments.events)
        if arguments.log
        else long_tail(arguments.events or 200_000, arguments.items)
    )
    asyncio.run(load(settings, iter(lines)))
    environment = {**worker_environment(settings.broker, settings.app), "RECO_TIME": "stream", "RECO_CANARY_S": "0"}
    worker = Worker(free_ports(1)[0], folder, environment)
    try:
        wait_until_ready([worker], APPLIED_WITHIN_S)
        caught_up(worker)
        users = sorted({json.loads(line.value).get("user_id") or "" for line in lines[-50_000:]} - {""})
        random.Random(1).shuffle(users)
        rows = asking(worker, users, arguments)
        rows += asking_under_load(worker, users, lines, arguments)
        caught_up(worker)
        rows += sending(worker, lines, arguments)
    finally:
        worker.stop()
    header = ["load", "a second", "worker CPU us each", "p50 ms", "p90 ms", "p99 ms", "refused"]
    emit("serving", table(header, rows), {"header": header, "rows": rows, "events": len(lines)}, arguments.json)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--events", type=int, help="at most so many events of the log; events of the long tail")
    parser.add_argument("--items", type=int, default=50_000, help="items of the long tail")
    parser.add_argument("--rates", type=int, nargs="*", default=[500, 1000], help="requests a second, open loop")
    parser.add_argument("--ingest", type=int, default=10_000, help="events a second beside the requests")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--json", type=Path, help="folder for the figures")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaServer(Path(folder) / "kafka", heap="1g", die_with_parent=True) as kafka,
    ):
        run(arguments, kafka, Path(folder))


if __name__ == "__main__":
    main()
