"""The points that `reco capacity` reckons with: what is published of an event, by how often an item has events.

Method. The simulation of benchmarks/broadcast_model.py with one partition of twelve and a long tail of items
(benchmarks/inputs.py), warmed with 12 events an item. How many changes a publication takes together depends on how
often one item has events in one partition, so that is varied. The hour's sample of sessions is that of twelve
partitions, scaled to the window. With the figures of benchmarks/broadcast.py and scale_out.py (`--measured`: their
folder) it prints measured beside predicted: values and bytes an event, and CPU an event by the number of workers.

Run: python -m benchmarks.capacity [--measured FOLDER] [--json FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.broadcast_model import PUBLISH_S, Simulation
from benchmarks.command import options
from benchmarks.inputs import FIRST_MS, long_tail, stamped
from benchmarks.live import STATE_AGE_S, STATE_SPAN_S
from benchmarks.report import emit, table
from reco_stream.capacity import COSTS, published
from reco_stream.engine_settings import table_rules
from reco_stream.settings import Settings

ITEMS: Final = 5_000
PARTITIONS: Final = 12
# Events of an item and partition a second, and how long they are watched: rows that moved little wait for 10 s.
WINDOWS_S: Final = {0.001: 120.0, 0.01: 60.0, 0.1: 40.0, 1.0: 20.0}


def points() -> list[dict[str, Any]]:
    """What is published of one event at each of the frequencies."""
    settings = Settings(partitions=PARTITIONS)
    rules = table_rules(settings)
    counts = [int(often * ITEMS * seconds) for often, seconds in WINDOWS_S.items()]
    warm = 12 * ITEMS
    lines = long_tail(warm + sum(counts), ITEMS)
    simulation = Simulation(1, PUBLISH_S, settings.event_rules(), rules)
    simulation.run(stamped(islice(lines, warm), warm / STATE_SPAN_S, FIRST_MS), warm)
    now_s, found = FIRST_MS / 1000 + STATE_AGE_S, []
    for (often, seconds), count in zip(WINDOWS_S.items(), counts, strict=True):
        simulation.rules = replace(rules, sessions_shared=max(1, round(rules.sessions_shared * seconds / 3600)))
        rate = often * ITEMS
        one = simulation.run(stamped(islice(lines, count), rate, int(1000 * now_s)), rate)
        found.append({**asdict(one), "events_per_item_s": often})
        now_s += 3_600.0  # the next window begins an hour of its own
    return found


def beside(measured: Path) -> list[list[Any]]:
    """Measured beside predicted: (what, measured, predicted, predicted / measured)."""
    rows: list[list[Any]] = []
    if (file := measured / "broadcast.json").exists():
        for one in json.loads(file.read_text())["rates"]:
            for name in ("values", "bytes"):
                what = f"{name} published of an event at {one['rate']:,.0f} events/s"
                rows.append([what, one[name], one["simulated"][name]])
    if (file := measured / "scale_out.json").exists():
        for one in json.loads(file.read_text())["counts"]:
            predicted = COSTS.event_us + one["workers"] * one["ingest"]["values"] * COSTS.value_us
            rows.append([f"CPU us an event, {one['workers']} workers", one["ingest"]["cpu_us"], predicted])
    return [[*row, row[2] / row[1]] for row in rows]


def run(arguments: argparse.Namespace) -> None:
    found = points()
    text = _points_table(found)
    compared = beside(arguments.measured) if arguments.measured is not None else []
    if compared:
        text += "\n\n" + table(["", "measured", "predicted", "ratio"], compared)
    emit("capacity", text, {"points": found, "compared": compared}, arguments.json)


def _points_table(found: Sequence[dict[str, Any]]) -> str:
    header = ["events/s an item and partition", "values/event", "bytes/event", *found[0]["kinds"], "in reco capacity"]
    return table(
        header,
        [
            [
                f"{one['events_per_item_s']:g}",
                one["values"],
                one["bytes"],
                *(one["kinds"].get(kind, 0.0) for kind in found[0]["kinds"]),
                "{:.2f} values, {:.0f} bytes".format(*published(one["events_per_item_s"])),
            ]
            for one in found
        ],
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--measured", type=Path, help="folder with broadcast.json and scale_out.json")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
