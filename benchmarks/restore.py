"""How fast a worker has its state back: rows a second from the changelog, and seconds from kill -9 to answers.

Method, rows: a log is folded once by our engine, which leaves a changelog of real rows (never compacted, so every row
that was ever written is read: the worst case). Then two readers take turns, `--rounds` times each: (a) the engine's
`restore` into empty stores, all partitions at once as after an assignment, and (b) a bare aiokafka consumer that reads
the same topic and drops the records. Rows a second of wall time, CPU of the process with its RocksDB threads; medians.
Both run on uvloop with the garbage collector spared, as a worker does.

Method, kill -9: a `reco worker` with everything applied is killed, and started again at once with its disk kept, as a
supervisor would. The group waits until the dead member's session ends (RECO_SESSION_TIMEOUT_S), because nobody signed
off. Clocked from the kill to the first 200 of /readyz, which is polled every 20 ms.

Run: python -m benchmarks.restore [--log events.csv.gz] [--json FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import inputs
from benchmarks.command import options, with_kafka
from benchmarks.contenders import Baseline, Log
from benchmarks.measure import watch
from benchmarks.report import emit, medians, table
from reco_stream.app import spare_the_garbage_collector
from reco_stream.engine.recovery import restore
from reco_stream.engine.store import PartitionStore, StoreResources
from reco_stream.kafka_clients import client_kwargs
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker, wait_until_ready, worker_environment
from reco_stream.ports import free_ports
from reco_stream.settings import Settings
from reco_stream.topics import create_topics

ENGINE_STATE = 101  # the generation that benchmarks/baselines/engine_only.py folds in its first round
READY_WITHIN_S = 300.0
POLL_S = 0.02


async def ends_of(settings: Settings) -> dict[int, int]:
    """The last offset of each changelog partition; partitions without records are left out."""
    consumer = AIOKafkaConsumer(**client_kwargs(settings), group_id=None)
    await consumer.start()
    try:
        tps = [TopicPartition(settings.changelog_topic, number) for number in range(settings.partitions)]
        return {tp.partition: end - 1 for tp, end in (await consumer.end_offsets(tps)).items() if end}
    finally:
        await consumer.stop()


async def restored(settings: Settings, ends: dict[int, int], folder: Path) -> int:
    """Restores all partitions into empty stores; returns rows read."""
    resources = StoreResources(settings.rocksdb_cache_mb << 20)
    stores = {number: PartitionStore(folder / str(number), resources) for number in ends}
    for store in stores.values():
        store.open()
    kwargs = client_kwargs(settings)
    counts = await asyncio.gather(
        *(restore(stores[number], settings.changelog_topic, number, end, kwargs) for number, end in ends.items())
    )
    for store in stores.values():
        store.close()
    return sum(counts)


async def read(settings: Settings, ends: dict[int, int]) -> int:
    """Reads the changelog with one consumer and drops it; returns rows read."""
    consumer = AIOKafkaConsumer(
        **client_kwargs(settings), group_id=None, enable_auto_commit=False, max_partition_fetch_bytes=8 << 20
    )
    await consumer.start()
    try:
        tps = {TopicPartition(settings.changelog_topic, number): end for number, end in ends.items()}
        consumer.assign(list(tps))
        for tp in tps:
            consumer.seek(tp, 0)
        rows, wanted = 0, sum(end + 1 for end in ends.values())
        while rows < wanted:
            rows += sum(map(len, (await consumer.getmany(timeout_ms=200)).values()))
        return rows
    finally:
        await consumer.stop()


def clocked(work: Callable[[], int]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    rows = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rows_per_s": rows / wall, "cpu_us_per_row": cpu / rows * 1e6, "rows": float(rows)}


def measure_rows(settings: Settings, folder: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Restore and bare reading, taking turns."""
    ends = asyncio.run(ends_of(settings))
    found: dict[str, list[dict[str, float]]] = {"restore": [], "bare aiokafka": []}
    for number in range(1, rounds + 1):
        shutil.rmtree(folder, ignore_errors=True)
        found["restore"].append(clocked(lambda: asyncio.run(restored(settings, ends, folder))))
        found["bare aiokafka"].append(clocked(lambda: asyncio.run(read(settings, ends))))
        print(number, {name: round(figures[-1]["rows_per_s"]) for name, figures in found.items()}, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def measure_kills(settings: Settings, folder: Path, session_timeout_s: float, kills: int) -> list[float]:
    """Seconds from kill -9 to ready, disk kept."""
    asyncio.run(create_topics(settings))
    environment = {
        **worker_environment(settings.broker, settings.app),
        "RECO_PARTITIONS": str(settings.partitions),
        "RECO_STATE": str(settings.state),
        "RECO_SESSION_TIMEOUT_S": str(session_timeout_s),
    }
    port, found = free_ports(1)[0], []
    worker = Worker(port, folder, environment)
    try:
        wait_until_ready([worker], READY_WITHIN_S)
        for number in range(kills):
            time.sleep(3.0)
            killed = time.monotonic()
            os.kill(worker.pid, signal.SIGKILL)
            worker.stop()
            worker = Worker(port, folder, environment)
            while not worker.is_ready():
                time.sleep(POLL_S)
            found.append(time.monotonic() - killed)
            print(f"kill {number + 1}: ready after {found[-1]:.2f} s", flush=True)
    finally:
        worker.stop()
    return found


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    uvloop.install()
    spare_the_garbage_collector()
    settings = Settings(broker=kafka.bootstrap, app="bench", partitions=arguments.partitions)
    lines = (
        inputs.log_file(arguments.log, arguments.events)
        if arguments.log is not None
        else inputs.long_tail(arguments.events or 1_000_000, 1_000_000)
    )
    log = Log(settings, asyncio.run(inputs.load(settings, lines)))
    engine = Baseline("engine", "engine_only")
    (folder / "engine").mkdir()
    with contextmanager(engine.start)(log, 1, folder / "engine") as running:
        watch(running.pid, running.done, log.events, limit_s=3600.0)
    folded = settings.model_copy(update={"state": ENGINE_STATE})
    rows = measure_rows(folded, folder / "stores", arguments.rounds)
    kills = measure_kills(settings, folder / "worker", arguments.session_timeout, arguments.kills)
    middle = {name: medians(figures) for name, figures in rows.items()}
    bare = middle["bare aiokafka"]["rows_per_s"]
    text = table(
        ["", "rows/s", "CPU us/row", "share of the bare reader"],
        [[name, f["rows_per_s"], f["cpu_us_per_row"], f["rows_per_s"] / bare] for name, f in middle.items()],
    )
    if kills:
        beyond = median(kills) - arguments.session_timeout
        text += f"\n\nkill -9 to ready, disk kept: median {median(kills):.2f} s with a session timeout of "
        text += f"{arguments.session_timeout:g} s, {beyond:.2f} s beyond it ({arguments.kills} kills)"
    figures = {"events": log.events, "rows": rows, "kills_s": kills, "session_timeout_s": arguments.session_timeout}
    emit("restore", text, figures, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--events", type=int, help="at most so many events")
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--session-timeout", type=float, default=10.0)
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
