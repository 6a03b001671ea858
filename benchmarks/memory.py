"""Memory of one worker that owns twelve partitions and knows a million items.

Method. A log of `--events` events that draw a million items evenly (95 % of them occur in 3 M events) is folded by one
process from an empty state; VmHWM and VmRSS of /proc/<pid>/status are read when the last event is applied. First our
engine without read models, then `reco worker` whole: it holds the popularity, the neighbours and the sessions of all
partitions in memory, whatever it owns.

Run: python -m benchmarks.memory [--json FOLDER]
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks import inputs
from benchmarks.command import options
from benchmarks.contenders import Baseline, Contender, Log, Ours
from benchmarks.measure import memory_mb, watch
from benchmarks.report import emit, table
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings

SETTLE_S = 5.0  # the last published rows come back


def run(contender: Contender, log: Log, folder: Path, limit_s: float) -> dict[str, float]:
    """Folds the whole log; memory when all is applied."""
    folder.mkdir(parents=True)
    with contextmanager(contender.start)(log, 1, folder) as running:
        speed = watch(running.pid, running.done, log.events, limit_s=limit_s)
        time.sleep(SETTLE_S)
        found = {
            "peak_rss_mb": memory_mb(running.pid),
            "rss_mb": memory_mb(running.pid, "VmRSS"),
            "events": float(speed.events),
        }
    shutil.rmtree(folder)
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=900.0, help="longest run")
    arguments = parser.parse_args()
    contenders: list[Contender] = [Baseline("engine without read models", "engine_only"), Ours("reco worker, whole")]
    found: dict[str, dict[str, float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaServer(Path(folder) / "kafka", heap="1g", die_with_parent=True) as kafka,
    ):
        settings = Settings(broker=kafka.bootstrap, app="bench", partitions=arguments.partitions)
        lines = inputs.long_tail(arguments.events, arguments.items, zipf=0.0)
        log = Log(settings, asyncio.run(inputs.load(settings, lines)))
        for contender in contenders:
            found[contender.name] = run(contender, log, Path(folder) / "run", arguments.seconds)
    rows = [[name, figures["events"], figures["peak_rss_mb"], figures["rss_mb"]] for name, figures in found.items()]
    text = table(["", "events", "peak RSS MB", "RSS MB at the end"], rows)
    emit("memory", text, {"items": arguments.items, "runs": found}, arguments.json)


if __name__ == "__main__":
    main()
