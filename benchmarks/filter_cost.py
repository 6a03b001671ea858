"""CPU of ranking under a filter in a large catalogue, in one process without Kafka or HTTP.

    python -m benchmarks.filter_cost --items 1000000 [--file items.jsonl] [--events 100000]

The made-up shop (`benchmarks/shop.py`) is put into the local catalogue, a long-tail log into the read model of items;
then questions of people with five items are ranked (`web.rules.rank`, ranker `blend`), first without a filter, which is
the baseline. For each filter: the CPU of making its set, how many items pass, and the CPU of a question after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.command import options
from benchmarks.inputs import long_tail
from benchmarks.report import emit, table
from benchmarks.shop import shop_items
from reco_stream.catalogue import Catalogue, encode_item
from reco_stream.catalogue.scenarios import Scenarios
from reco_stream.catalogue.selection import Selections
from reco_stream.domain.blend import Blend
from reco_stream.domain.ranker import Query, RecentItem
from reco_stream.domain.rules import NO_FILTER, Filter, Rules
from reco_stream.engine.table import MemoryRows, Table
from reco_stream.events import decode_event
from reco_stream.settings import Settings
from tables.co_view import CO_VIEW
from tables.fold import fold_event
from tables.item_model import ItemModel
from tables.popularity import POPULARITY
from tables.rules import TableRules
from web.popular import popular
from web.rules import Asked, rank

COUNT = 10
QUESTIONS = 300
FILTERS = {
    "no filter": Rules(),
    "category, 1 %": Rules(categories=("c7",)),
    "tag, 0.1 %": Rules(tags=("rare",)),
    "price, 1 %": Rules(price_max=2),
    "expression, 0.1 %": Rules(where='price > 10.0 && price < 200.0 && "rare" in tags'),
    "in stock, 98 %": Rules(in_stock=True),
}
Row = list[Any]


def catalogue_of(file: Path | None, count: int) -> Catalogue:
    catalogue = Catalogue()
    lines: Iterator[bytes] = (encode_item(item)[1] for item in shop_items(count))
    if file is not None:
        lines = iter(file.open("rb"))
    for number, line in zip(range(count), lines, strict=False):
        catalogue.update(f"i{number}", line)
    return catalogue


def read_model(events: int, items: int) -> tuple[ItemModel, int]:
    rules, rows, event_rules = TableRules(), MemoryRows(), Settings().event_rules()
    for line in long_tail(events, items):
        fold_event(rows, decode_event(line.key, line.value, line.time_ms or 0, event_rules), rules)
    model = ItemModel(rules, time.monotonic)
    tables: tuple[Table[Any], ...] = (POPULARITY, CO_VIEW)
    for key, row in rows.snapshot().items():
        for kind in tables:
            if key[:1] == kind.prefix:
                model.update(kind, 0, key[1:].decode(), row, (1, 1), rows.stream_time_ms)
    return model, rows.stream_time_ms


def cost(ask: Callable[[int], int]) -> Row:
    """Return p50 and p99 of the CPU of a question in ms, and the fewest items of an answer."""
    times, counts = [], []
    for number in range(QUESTIONS):
        began = time.thread_time()
        counts.append(ask(number))
        times.append((time.thread_time() - began) * 1000)
    return [*np.percentile(times, [50, 99]).tolist(), min(counts)]


def measured(services: Any, rules: Rules, now_ms: int, items: int) -> Row:
    began = time.thread_time()
    size: int | str = "all"
    if rules.filter != NO_FILTER:
        wanted: Filter = rules.filter
        services.selections.get(wanted)
        while services.selections.advance():
            pass
        size = len(services.selections.get(wanted).items)
    made_s = time.thread_time() - began
    blend = Blend(services.items)

    def ask(number: int) -> int:
        recent = [RecentItem(f"i{(number * 977 + k * 31) % items}", 1.0, now_ms) for k in range(5)]
        query = Query(recent, COUNT, now_ms, exclude_seen=True)
        return len(rank(services, blend, query, Asked(rules=rules)).items)

    return [made_s, size, *cost(ask)]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--file", type=Path, help="the shop as JSON lines, as `catalogue_scale --file` leaves it")
    arguments = parser.parse_args()
    catalogue = catalogue_of(arguments.file, arguments.items)
    items, now_ms = read_model(arguments.events, arguments.items)
    services: Any = SimpleNamespace(
        catalogue=catalogue,
        selections=Selections(catalogue),
        items=items,
        scenarios=Scenarios(None),
        settings=Settings(),
        state=SimpleNamespace(read_models_ready=True, read_models_behind_s=0.0),
        now_ms=lambda: now_ms,
        title_of=catalogue.title_of,
    )
    rows = [[name, *measured(services, rules, now_ms, arguments.items)] for name, rules in FILTERS.items()]
    for name, category in (("/popular", None), ("/popular, category, 1 %", "c8")):
        found = cost(lambda number, category=category: len(popular(services, category, "30d", COUNT).items))  # type: ignore[misc]
        rows.append([name, 0.0, "all" if category is None else len(catalogue.members(category)), *found])
    header = ["what", "set made, s of CPU", "items that pass", "CPU p50 ms", "CPU p99 ms", "fewest items of 10"]
    emit("filter_cost", table(header, rows), {"header": header, "rows": rows}, arguments.json)


if __name__ == "__main__":
    main()
