"""Events a second and CPU an event: our engine against what people would pick instead, on the same topic.

Method. One Kafka on this machine, one topic of events, filled before the first run. Each contender is one process
that reads the topic from its beginning with a fresh state: our engine under Faust without publication and read
models, which the others do not have either; `reco worker` whole, as it is deployed, until it has read back all that
it published; (a) Faust tables changed event by event; (b) Quix Streams exactly-once with its default commit interval;
(c) a bare aiokafka loop that only decodes the JSON. (a) and (b) run the very rules of `tables/` over their own
stores, see benchmarks/baselines. Rounds alternate: every contender once, then again; the table holds medians. A
window begins with the first progress seen and ends with the last event or after `--seconds`; a slow contender so sees
the beginning of the log only, where rows are small, which favours it; so does that its last commit may lie behind the
window. CPU is that of the whole process, all threads (/proc/<pid>/stat), without the broker.

Run: python -m benchmarks.engine_throughput --log events.csv.gz [--quix-python PATH] [--json FOLDER]
Without --log the long-tail shop of benchmarks/inputs.py is made up; --quix-python is an interpreter with
`quixstreams` and `msgspec` (`pip install 'reco-stream[bench]'`).
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from benchmarks import inputs
from benchmarks.command import options, with_kafka
from benchmarks.contenders import Baseline, Contender, Log, Ours, measure
from benchmarks.report import emit, medians, table
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings

ENGINE = "our engine under Faust"
DECODE_PASSES = 4  # one pass over a million events is over in three seconds


def contenders(arguments: argparse.Namespace) -> list[Contender]:
    found: list[Contender] = [Baseline(ENGINE, "engine_only"), Ours()]
    if "quix" not in arguments.without and arguments.quix_python:
        found.append(Baseline("Quix Streams, exactly-once", "quix", arguments.quix_python))
    if "faust" not in arguments.without:
        found.append(Baseline("naive Faust tables", "naive_faust"))
    if "decode" not in arguments.without:
        found.append(Baseline("bare aiokafka loop, decode only", "decode_only", passes=DECODE_PASSES))
    return found


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app="bench", partitions=arguments.partitions)
    if arguments.log is not None:
        name, lines = arguments.log.parent.name or "log", inputs.log_file(arguments.log, arguments.events)
    else:
        name, lines = "long-tail", inputs.long_tail(arguments.events or 1_000_000, arguments.items)
    log = Log(settings, asyncio.run(inputs.load(settings, lines)))
    print(f"{name}: {log.events:,} events in {settings.partitions} partitions", flush=True)
    rounds: dict[str, list[dict[str, float]]] = {}
    for number in range(1, arguments.rounds + 1):
        for contender in contenders(arguments):
            speed = measure(contender, log, number, folder / "run", arguments.seconds)
            figures = {
                "events_per_s": speed.events_per_s,
                "cpu_us_per_event": speed.cpu_us,
                "peak_rss_mb": speed.peak_rss_mb,
                "events": float(speed.events),
            }
            print(number, contender.name, {key: round(value, 1) for key, value in figures.items()}, flush=True)
            rounds.setdefault(contender.name, []).append(figures)
    middle = {contender: medians(figures) for contender, figures in rounds.items()}
    ours = middle[ENGINE]
    header = ["", "events/s", "CPU us/event", "engine is x by events/s", "engine is x by CPU", "peak RSS MB"]
    rows = [
        [
            contender,
            figures["events_per_s"],
            figures["cpu_us_per_event"],
            ours["events_per_s"] / figures["events_per_s"],
            figures["cpu_us_per_event"] / ours["cpu_us_per_event"],
            figures["peak_rss_mb"],
        ]
        for contender, figures in middle.items()
    ]
    found = {"input": name, "events": log.events, "rounds": rounds, "medians": middle}
    emit(f"engine_throughput_{name}", table(header, rows), found, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--events", type=int, help="at most so many events of the log; events of the long tail")
    parser.add_argument("--items", type=int, default=1_000_000, help="items of the long tail")
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="longest window of one run")
    parser.add_argument("--quix-python", help="interpreter that has quixstreams and msgspec; none: without Quix")
    parser.add_argument("--without", nargs="*", default=[], choices=["quix", "faust", "decode"])
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
