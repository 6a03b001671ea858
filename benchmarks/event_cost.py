"""What one event costs, stage by stage, and so what to remove next.

Method. Our engine under Faust folds a log twice over the same topic, in turn: once as it is, once with a clock around
each stage of the main thread (benchmarks/baselines/instrumented.py; exclusive CPU time of the thread, the clocks' own
cost subtracted). The plain run gives the total and what each thread took; the clocked run splits the main thread. What
is left of it is asyncio, Faust's agent and delivery, the Kafka client's requests. A run of the whole `reco worker`
shows what publication, read models and HTTP add. Medians of `--rounds`; everything is microseconds of CPU an event.

Run: python -m benchmarks.event_cost [--log events.csv.gz] [--json FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import inputs
from benchmarks.command import options, with_kafka
from benchmarks.contenders import Baseline, Contender, Log, Ours, measure
from benchmarks.measure import watch
from benchmarks.report import emit, medians, table
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings

STAGES: Final = (
    "decode events that are not plain",
    "decode and rules",
    "RocksDB read",
    "encode rows",
    "build the RecordBatch",
    "RocksDB write",
    "garbage collector",
)
REST: Final = "rest of the main thread: asyncio, Faust, delivery, Kafka requests"


def costs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def clocked(log: Log, round_number: int, folder: Path, limit_s: float) -> dict[str, float]:
    """One run with clocks; microseconds an event of each stage, of the threads, and in all."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with contextmanager(Baseline("clocked", "instrumented").start)(log, 50 + round_number, folder) as running:
        while not (folder / "costs.json").exists() or not running.done():
            time.sleep(0.05)
        time.sleep(1.0)
        first = costs(folder / "costs.json")
        watch(running.pid, running.done, log.events, limit_s=limit_s)
        time.sleep(1.0)
        last = costs(folder / "costs.json")
    shutil.rmtree(folder)
    events = last["events"] - first["events"]

    def per_event(group: str, name: str) -> float:
        return float(last[group].get(name, 0) - first[group].get(name, 0)) / float(events)

    inside, outside = last["overhead_s"]
    found = {}
    clocks_s = 0.0
    for stage in STAGES:
        calls = per_event("calls", stage)
        clocks_s += calls * (inside + outside)
        found[stage] = (per_event("stages_s", stage) - calls * inside) * 1e6
    # Stages inside the rules take their clocks' cost there.
    found["decode and rules"] -= per_event("calls", "RocksDB read") * outside * 1e6
    for thread in ("consumer thread", "RocksDB's threads", "other threads"):
        found[thread] = per_event("threads_s", thread) * 1e6
    in_all = (last["process_s"] - first["process_s"]) / events - clocks_s
    found[REST] = in_all * 1e6 - sum(found.values())
    found["clocked engine, in all"] = in_all * 1e6
    return found


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app="bench", partitions=arguments.partitions)
    lines = (
        inputs.log_file(arguments.log, arguments.events)
        if arguments.log is not None
        else inputs.long_tail(arguments.events or 500_000, 1_000_000)
    )
    log = Log(settings, asyncio.run(inputs.load(settings, lines)))
    plain: list[Contender] = [Baseline("engine, in all", "engine_only"), Ours("whole worker, in all")]
    rounds: list[dict[str, float]] = []
    for number in range(1, arguments.rounds + 1):
        figures = clocked(log, number, folder / "run", arguments.seconds)
        for contender in plain:
            figures[contender.name] = measure(contender, log, number, folder / "run", arguments.seconds).cpu_us
        rounds.append(figures)
        print(number, {name: round(value, 2) for name, value in figures.items()}, flush=True)
    middle = medians(rounds)
    engine = middle["engine, in all"]
    figures = {**middle, "publication, read models, HTTP": middle["whole worker, in all"] - engine}
    order = [*STAGES, REST, "consumer thread", "RocksDB's threads", "other threads"]
    order += ["clocked engine, in all", "engine, in all", "publication, read models, HTTP", "whole worker, in all"]
    rows = [[name, figures[name], f"{figures[name] / engine:.0%}"] for name in order]
    text = table(["stage", "CPU us/event", "of the engine"], rows)
    emit(f"event_cost_{arguments.name}", text, {"events": log.events, "rounds": rounds}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--name", default="log", help="of the input, for the file of the figures")
    parser.add_argument("--events", type=int, help="at most so many events")
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=120.0, help="longest window of one run")
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
