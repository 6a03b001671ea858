"""What is published of one event, in values and bytes, as the rate of events grows on a fixed catalogue.

Method. One worker, 12 partitions; `--before` events make the state, so the catalogue is known. Then, for each rate,
events of one partition of the twelve at a twelfth of the rate, as in benchmarks/scale_out.py: publications are by
partition, so one event makes as many bytes as at the whole rate, which this machine could not apply. From the first
event until 12 s after the last is applied (rows that moved little wait for 10 s) the growth of the published topics on
Kafka is divided by the events sent: every worker fetches and takes in these bytes. Beside it the simulation of
benchmarks/broadcast_model.py, with all twelve partitions and the same events. The baseline is the lowest rate.

Run: python -m benchmarks.broadcast [--log events.csv.gz] [--rates 1000 3000 10000] [--json FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.broadcast_model import PUBLISH_S, Broadcast, Simulation
from benchmarks.command import options, with_kafka
from benchmarks.inputs import FIRST_MS, of_partitions, stamped
from benchmarks.live import SETTLED_AFTER_S, STATE_AGE_S, STATE_SPAN_S, System, hour_of, running
from benchmarks.report import emit, table
from reco_stream.engine_settings import table_rules
from reco_stream.event_files import Line
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings import Settings


def at_rate(system: System, lines: Sequence[Line], rate: float) -> dict[str, float]:
    """Publications of these lines, sent at that rate."""
    before = system.look()
    system.send(lines, rate)
    waited_s = system.catch_up()
    system.idle_cpu(SETTLED_AFTER_S)
    window = system.look().since(before)
    return {
        "rate": rate,
        "values": window.records / len(lines),
        "bytes": window.bytes / len(lines),
        "cpu_us": window.cpu_s / len(lines) * 1e6,
        "late_s": waited_s,
    }


def simulated(state: Sequence[Line], lines: Sequence[Line], rate: float, arguments: argparse.Namespace) -> Broadcast:
    """The same in the simulation, but for settling: what waits at the end is published there too."""
    shared = {name.removeprefix("RECO_").lower(): value for name, value in hour_of(arguments.seconds).items()}
    settings = Settings.model_validate({"partitions": arguments.partitions, **shared})
    simulation = Simulation(settings.partitions, PUBLISH_S, settings.event_rules(), table_rules(settings))
    simulation.run(stamped(state, len(state) / STATE_SPAN_S, FIRST_MS), len(state))
    return simulation.run(stamped(lines, rate, FIRST_MS + int(1000 * STATE_AGE_S)), rate)


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    events = inputs.log_file(arguments.log) if arguments.log else inputs.long_tail(arguments.most, arguments.items)
    state = list(islice(events, arguments.before))
    rest = list(events)
    found: list[dict[str, Any]] = []
    for rate in arguments.rates:
        count = int(rate * arguments.seconds)
        part = list(islice(of_partitions(rest, arguments.partitions, 1), count // arguments.partitions))
        with running(kafka, folder, 1, arguments.partitions, hour_of(arguments.seconds)) as system:
            system.make_state(state)
            one: dict[str, Any] = at_rate(system, part, rate / arguments.partitions)
        model = simulated(state, rest[:count], rate, arguments)
        found.append({**one, "rate": rate, "simulated": asdict(model)})
        print(json.dumps(found[-1]), flush=True)
    first = found[0]["bytes"]
    rows = [
        [
            f"{one['rate']:,.0f}",
            one["values"],
            one["simulated"]["values"],
            one["bytes"],
            one["simulated"]["bytes"],
            one["bytes"] / first,
            one["bytes"] * one["rate"] / 1e6,
        ]
        for one in found
    ]
    header = ["events/s", "values/event", "simulated", "bytes/event", "simulated", "of the lowest rate's", "MB/s"]
    settings = {name: str(value) for name, value in vars(arguments).items()}
    emit("broadcast", table(header, rows), {"arguments": settings, "rates": found}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--log", type=Path, help="event log, as `reco replay` reads it; none: the long tail")
    parser.add_argument("--items", type=int, default=5_000, help="items of the long tail")
    parser.add_argument("--most", type=int, default=800_000, help="events of the long tail")
    parser.add_argument("--before", type=int, default=100_000, help="events that make the state")
    parser.add_argument("--rates", type=float, nargs="+", default=[1_000, 10_000, 30_000])
    parser.add_argument("--seconds", type=float, default=12.0, help="how long each rate is kept")
    parser.add_argument("--partitions", type=int, default=12)
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
