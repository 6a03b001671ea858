"""What one more worker costs: CPU an event = a + b * workers, and CPU a query, with 1, 2, 4 and 8 workers.

Method. For each number of workers a new application on the same Kafka, 12 partitions. `--before` events of all of them
make the state. Then the CPU of all workers while nothing happens (heartbeats, polls), which is taken off everything
after. Then `--events` more, at a constant rate, until they are applied and published; then questions on 8 connections,
(a) to any worker, which passes them on, and (b) to the user's owner. CPU is that of all workers together: with fewer
cores than workers wall time says nothing.

A slice: these events all belong to one partition of the twelve, at a twelfth of `--rate`. So its owner folds the same
micro-batches whatever the number of workers, and what comes on top with each worker is what every worker pays for every
event of the others (b): reading what is published. And one event costs what it costs at the whole rate, which two cores
could not apply, because publications are by partition. The sample of a very hot item's sessions is taken by the hour
(RECO_SESSIONS_SHARED); the window stands for the hour, with as much less to share. Fitted by least squares; the
baseline is one worker.

Run: python -m benchmarks.scale_out [--log events.csv.gz] [--json FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import inputs
from benchmarks.command import options, with_kafka
from benchmarks.http_load import Request, Result, closed_loop, get, in_turn
from benchmarks.live import SETTLED_AFTER_S, System, hour_of, running
from benchmarks.measure import thread_cpu_seconds
from benchmarks.report import emit, table
from reco_stream.domain.partitioner import partition_of
from reco_stream.event_files import Line
from reco_stream.kafka_server import KafkaServer

CONNECTIONS: Final = 8
IDLE_S: Final = 5.0
ASKED: Final = 20_000  # users of the last so many events


def fit(workers: Sequence[int], costs: Sequence[float]) -> tuple[float, float]:
    """Returns (a, b) of cost = a + b * workers by least squares; two numbers of workers or more.

    >>> tuple(round(value, 6) for value in fit([1, 2, 4], [11.0, 12.0, 14.0]))
    (10.0, 1.0)
    """
    slope, start = np.polyfit(np.asarray(workers, float), np.asarray(costs, float), 1)
    return float(start), float(slope)


def ingest(system: System, lines: Sequence[Line], rate: float, idle: float) -> dict[str, float]:
    """CPU an event above idle, by all workers together, and what was published an event."""
    before = system.look()
    threads = threads_of(system)
    system.send(lines, rate)
    waited_s = system.catch_up()
    system.idle_cpu(SETTLED_AFTER_S)
    window = system.look().since(before)
    rest = sum(after - threads.get(name, 0.0) for name, after in threads_of(system).items() if name != "main")
    return {
        "cpu_us": (window.cpu_s - idle * window.at_s) / len(lines) * 1e6,
        "other_threads_us": rest / len(lines) * 1e6,
        "values": window.records / len(lines),
        "bytes": window.bytes / len(lines),
        "late_s": waited_s,
    }


def threads_of(system: System) -> dict[str, float]:
    """CPU seconds by name of thread, of all workers."""
    found: dict[str, float] = {}
    for worker in system.workers:
        for name, seconds in thread_cpu_seconds(worker.pid).items():
            found[name] = found.get(name, 0.0) + seconds
    return found


def users_of(lines: Sequence[Line]) -> list[str]:
    users = sorted({str(json.loads(line.value).get("user_id") or "") for line in lines[-ASKED:]} - {""})
    random.Random(1).shuffle(users)
    return users


def ask(system: System, users: Sequence[str], idle: float, seconds: float, by_owner: bool) -> dict[str, float]:
    """CPU of all workers above idle for each question, and how long an answer took."""
    owners, workers = system.owners(), system.workers
    shares: dict[str, list[Request]] = {worker.url: [] for worker in workers}
    for number, user in enumerate(users):
        worker = owners[partition_of(user, system.settings.partitions)] if by_owner else workers[number % len(workers)]
        shares[worker.url].append(get(f"/recommendations?user_id={user}"))

    async def all_at_once(length_s: float) -> list[Result]:
        each = max(1, CONNECTIONS // len(workers))
        loops = (closed_loop(url, in_turn(asked), each, length_s) for url, asked in shares.items() if asked)
        return await asyncio.gather(*loops)

    asyncio.run(all_at_once(1.0))  # connections, caches
    before = system.look()
    results = asyncio.run(all_at_once(seconds))
    window = system.look().since(before)
    asked = sum(len(result.seconds) for result in results)
    good = sum(result.statuses[200] for result in results)
    p50_ms = sorted(second for result in results for second in result.seconds)[asked // 2] * 1000
    cpu_s = window.cpu_s - idle * window.at_s
    return {"cpu_us": cpu_s / asked * 1e6, "p50_ms": p50_ms, "failed": float(asked - good)}


def one_count(
    kafka: KafkaServer,
    folder: Path,
    workers: int,
    lines: Sequence[Line],
    rest: Sequence[Line],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    rate = arguments.rate / arguments.partitions
    with running(kafka, folder, workers, arguments.partitions, hour_of(len(rest) / rate)) as system:
        system.make_state(lines)
        idle = system.idle_cpu(IDLE_S)
        users = users_of(lines)
        found = {
            "workers": workers,
            "idle_ms_per_s": idle * 1000 / workers,
            "ingest": ingest(system, rest, rate, idle),
            "any": ask(system, users, idle, arguments.seconds, by_owner=False),
            "owner": ask(system, users, idle, arguments.seconds, by_owner=True),
            "memory_mb": system.memory_mb(),
        }
    print(json.dumps(found), flush=True)
    return found


def summary(found: Sequence[dict[str, Any]]) -> tuple[str, dict[str, float]]:
    """The table, and the fitted line."""
    counts = [one["workers"] for one in found]
    start, slope = fit(counts, [one["ingest"]["cpu_us"] for one in found])
    base = found[0]
    header = ["workers", "CPU us/event", "of one worker's", "values/event", "bytes/event", "CPU us/query, any worker"]
    header += ["of one worker's", "CPU us/query, the owner", "of one worker's", "idle, ms/s a worker", "MB a worker"]
    rows = [
        [
            one["workers"],
            one["ingest"]["cpu_us"],
            one["ingest"]["cpu_us"] / base["ingest"]["cpu_us"],
            one["ingest"]["values"],
            one["ingest"]["bytes"],
            one["any"]["cpu_us"],
            one["any"]["cpu_us"] / base["any"]["cpu_us"],
            one["owner"]["cpu_us"],
            one["owner"]["cpu_us"] / base["owner"]["cpu_us"],
            one["idle_ms_per_s"],
            one["memory_mb"],
        ]
        for one in found
    ]
    text = table(header, rows)
    text += f"\n\nCPU an event = {start:.1f} + {slope:.2f} * workers us; b is {slope / start:.1%} of a"
    return text, {"a_us": start, "b_us": slope}


def endless(arguments: argparse.Namespace) -> Iterator[Line]:
    """The long tail, long enough for a slice."""
    return inputs.long_tail(arguments.before + 2 * arguments.partitions * arguments.events, arguments.items)


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    events = inputs.log_file(arguments.log) if arguments.log is not None else endless(arguments)
    lines = list(islice(events, arguments.before))
    rest = list(islice(inputs.of_partitions(events, arguments.partitions, 1), arguments.events))
    if len(rest) < arguments.events:
        raise ValueError(f"the log has {len(rest)} events of partition 0 after the first {len(lines)}")
    found = [one_count(kafka, folder, count, lines, rest, arguments) for count in arguments.workers]
    text, line = summary(found)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    emit("scale_out", text, {"arguments": settings, "line": line, "counts": found}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--items", type=int, default=20_000, help="items of the long tail")
    parser.add_argument("--before", type=int, default=60_000, help="events that make the state")
    parser.add_argument("--events", type=int, default=40_000, help="events of one partition, measured")
    parser.add_argument("--rate", type=float, default=30_000, help="events/s of all partitions")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each series of questions")
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
