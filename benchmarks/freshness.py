"""How long until an event shows in recommendations, idle and at half load: its own user's, and other people's.

Method. Workers, 12 partitions, a prefix of the log as state. What this machine can take is measured first: a stretch of
the log is sent as fast as it goes, and events applied a second until the last one are the capacity. Then the canary
(reco_stream/canary.py: pairs of items never seen together before, over HTTP, polled every 5 ms) does its rounds while
nothing else happens (the baseline), and again while another process sends the log at half of the capacity. Nearest-rank
quantiles of all rounds. Client, sender, broker and workers share the machine.

Run: python -m benchmarks.freshness [--log events.csv.gz] [--workers 2] [--json FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.command import options, with_kafka
from benchmarks.live import SETTLED_AFTER_S, System, running
from benchmarks.report import emit, table
from reco_stream.canary import Round, measure
from reco_stream.cli.canary import quantile
from reco_stream.event_files import Line
from reco_stream.kafka_server import KafkaServer

PAUSE_S = 0.05


def capacity(system: System, lines: Sequence[Line]) -> float:
    """Events a second from a backlog, to the last one applied."""
    began = time.monotonic()
    system.send(lines, None)
    system.catch_up()
    return len(lines) / (time.monotonic() - began)


def rows_of(load: str, rounds: Sequence[Round]) -> list[list[Any]]:
    """A row for each way: p50, p99 and maximum in ms."""
    found = []
    for way, values in (("own", [one.own_s for one in rounds]), ("another user's", [one.other_s for one in rounds])):
        values.sort()
        found.append([load, way, *(1000 * quantile(values, share) for share in (0.5, 0.99, 1.0)), len(values)])
    return found


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    state, peak = arguments.before, arguments.events
    total = state + peak + arguments.most
    lines = list(inputs.log_file(arguments.log, total) if arguments.log else inputs.long_tail(total, arguments.items))
    with running(kafka, folder, arguments.workers, arguments.partitions) as system:
        system.make_state(lines[:state])
        most = capacity(system, lines[state : state + peak])
        print(f"capacity: {most:,.0f} events/s", flush=True)
        system.idle_cpu(SETTLED_AFTER_S)
        url = system.workers[-1].url
        rows = rows_of("idle", asyncio.run(measure(url, "idle", arguments.rounds, PAUSE_S)))
        rate = arguments.rate or most / 2
        sender = system.sender(lines[state + peak :], rate)
        before = system.look()
        sender.start()
        try:
            time.sleep(3.0)
            load = f"{rate:,.0f} events/s"
            rows += rows_of(load, asyncio.run(measure(url, "load", arguments.rounds, PAUSE_S)))
            if not sender.is_alive():
                raise RuntimeError(f"the log ended before the rounds: give it more than {total:,} events")
            window, lag = system.look().since(before), system.lag()
        finally:
            sender.terminate()
            sender.join()
    text = table(["load", "whose recommendation", "p50 ms", "p99 ms", "max ms", "rounds"], rows)
    text += f"\n\n{arguments.workers} workers apply {most:,.0f} events/s of a backlog here; under load they took "
    text += f"{window.cpu_s / window.at_s:.2f} cores, and {lag:,} events waited at its end"
    emit("freshness", text, {"rows": rows, "capacity": most, "rate": rate, "lag": lag}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--items", type=int, default=20_000, help="items of the long tail")
    parser.add_argument("--before", type=int, default=60_000, help="events that make the state")
    parser.add_argument("--events", type=int, default=100_000, help="events that the capacity is measured with")
    parser.add_argument("--most", type=int, default=500_000, help="events for the load, at most")
    parser.add_argument("--rate", type=float, help="events/s of the load; none: half of the capacity")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--partitions", type=int, default=12)
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
