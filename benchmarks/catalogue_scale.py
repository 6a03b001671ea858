"""A large catalogue in one worker: import, memory, recommendations before and after, selective filters, fresh prices.

    python -m benchmarks.catalogue_scale --items 1000000 [--database postgresql://...] [--content]

A worker first answers with the state of a long-tail log and no catalogue: that is the baseline. Then the made-up shop
(`benchmarks/shop.py`) is imported by `reco items import` while the worker runs, and the same questions are asked again,
then with filters that one item in 100 and one in 1,000 passes; in 20 answers of each it is counted how many items come
back. At last items are sold out and come back one by one, each change timed from sending it to the first
recommendations that honour it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import options, with_kafka
from benchmarks.http_load import get, in_turn, open_loop
from benchmarks.inputs import load, long_tail
from benchmarks.live import READY_WITHIN_S, caught_up
from benchmarks.measure import cpu_seconds, memory_mb
from benchmarks.report import emit, table
from benchmarks.shop import shop_items
from reco_stream import worker_api
from reco_stream.catalogue import encode_item
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker, wait_until_ready, worker_environment
from reco_stream.ports import free_ports
from reco_stream.settings import Settings
from web.rules import PARTLY

COUNT = 10  # of 100,000 items or more, so many pass each filter
POLL_S = 0.002
FILTERS = {
    "no filter": {},
    "category, 1 %": {"category": "c7"},
    "tag, 0.1 %": {"tag": "rare"},
    "price, 1 %": {"price_max": "2"},
    "expression, 0.1 %": {"where": 'price > 10.0 && price < 200.0 && "rare" in tags'},
    "in stock, 98 %": {"in_stock": "true"},
}
Row = list[Any]


def asked(
    worker: Worker, name: str, paths: Sequence[str], arguments: argparse.Namespace, expected: int | None = None
) -> Row:
    """Ask once, then until the filter is tried on everything, then at a constant rate; `expected` items are wanted."""
    began = time.perf_counter()
    answer = worker_api.get(worker.url, paths[0])
    first_ms = (time.perf_counter() - began) * 1000
    first = shown(answer)
    while PARTLY in worker_api.get(worker.url, paths[0]).get("notes", ()):
        time.sleep(0.05)
    known_s = time.perf_counter() - began
    counts = {first, *(shown(worker_api.get(worker.url, path)) for path in paths[:20])}
    before = cpu_seconds(worker.pid)
    result = asyncio.run(
        open_loop(worker.url, in_turn([get(path) for path in paths]), arguments.rate, arguments.seconds)
    )
    cpu_us = (cpu_seconds(worker.pid) - before) / len(result.seconds) * 1e6
    bad = sum(count for status, count in result.statuses.items() if status != 200)
    items = f"{min(counts)}" + ("" if expected is None else f" of {expected}")
    latencies = [result.quantile_ms(share) for share in (0.5, 0.99)]
    return [name, first_ms, known_s, *latencies, cpu_us, items, bad]


def shown(answer: Any) -> int:
    return len(answer.get("recommendations", answer.get("items")))


def recommendations(users: Sequence[str], **rules: str) -> list[str]:
    return [f"/recommendations?{urllib.parse.urlencode({'user_id': user, 'count': COUNT, **rules})}" for user in users]


def shop_file(file: Path, count: int) -> Path:
    """Returns the shop as JSON lines, written unless it is there."""
    if not file.exists():
        with file.open("wb") as out:
            out.writelines(encode_item(item)[1] + b"\n" for item in shop_items(count))
    return file


def imported(worker: Worker, file: Path, environment: dict[str, str], count: int) -> list[str]:
    """Imports the shop and waits until the worker has it; returns what to say of it."""
    before, cpu = memory_mb(worker.pid, "VmRSS"), cpu_seconds(worker.pid)
    began = time.monotonic()
    command = [sys.executable, "-m", "reco_stream", "items", "import", str(file)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    said = done.stdout.strip().splitlines()[-1]
    while worker_api.get(worker.url, "/health")["catalogue"]["items"] < count:
        time.sleep(0.2)
    whole_s = time.monotonic() - began
    grown = memory_mb(worker.pid, "VmRSS") - before
    return [
        said,
        f"all in the worker {whole_s:.1f} s after the start ({count / whole_s:,.0f} items/s), "
        f"{(cpu_seconds(worker.pid) - cpu) / count * 1e6:.0f} us of its CPU an item",
        f"worker {before:.0f} MB before, {before + grown:.0f} MB after: {grown * 2**20 / count:.0f} bytes an item",
    ]


def changes(worker: Worker, users: Sequence[str], count: int) -> list[str]:
    """Sells recommended items out and back in; returns what to say of the times until that is honoured."""
    took: list[float] = []
    for number in range(count):
        path = recommendations([users[number % len(users)]], in_stock="true")[0]
        item = worker_api.get(worker.url, path)["recommendations"][0]["item_id"]
        for stock in (0, 5):
            began = time.perf_counter()
            patch(worker, item, {"stock": stock})
            while (item in [one["item_id"] for one in worker_api.get(worker.url, path)["recommendations"]]) != (
                stock > 0
            ):
                time.sleep(POLL_S)
            took.append(time.perf_counter() - began)
    ascending = sorted(took)
    p50, p99 = (ascending[int(len(ascending) * share)] * 1000 for share in (0.5, 0.99))
    most = max(took) * 1000
    return [f"{len(took)} changes of stock, honoured after: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms"]


def patch(worker: Worker, item: str, change: dict[str, Any]) -> None:
    url, body = f"{worker.url}/items/{item}", json.dumps(change).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, method="PATCH"), timeout=10) as answer:
        answer.read()


def run(arguments: argparse.Namespace, kafka: KafkaServer, folder: Path) -> None:
    settings = Settings(broker=kafka.bootstrap, app=f"scale-{uuid.uuid4().hex[:8]}", partitions=4)
    asyncio.run(load(settings, long_tail(arguments.events, arguments.items)))
    environment = {**worker_environment(settings.broker, settings.app), "RECO_CANARY_S": "0", "RECO_TIME": "stream"}
    environment |= {"RECO_PARTITIONS": "4", "RECO_CONTENT": "hashed" if arguments.content else "off"}
    if arguments.database:
        environment["RECO_DATABASE_URL"] = arguments.database
        subprocess.run(
            [sys.executable, "-m", "reco_stream", "db", "migrate"], env={**os.environ, **environment}, check=True
        )
    worker = Worker(free_ports(1)[0], folder, environment)
    try:
        wait_until_ready([worker], READY_WITHIN_S)
        caught_up(worker)
        users = [f"u{number}" for number in range(2_000)]
        random.Random(1).shuffle(users)
        rows = [asked(worker, "before the import", recommendations(users), arguments)]
        file = shop_file(arguments.file or folder / "items.jsonl", arguments.items)
        said = imported(worker, file, environment, arguments.items)
        rows += [
            asked(worker, name, recommendations(users, **rules), arguments, COUNT) for name, rules in FILTERS.items()
        ]
        rows += [
            asked(worker, f"/popular, {name}", [f"/popular?count={COUNT}{query}"], arguments, COUNT)
            for name, query in (("all", ""), ("category, 1 %", "&category=c8"))
        ]
        said += changes(worker, users, arguments.changes)
    finally:
        worker.stop()
    header = ["what", "first ms", "all tried s", "p50 ms", "p99 ms", "worker CPU us", "fewest items", "failed"]
    text = "\n".join([*said, "", table(header, rows)])
    emit("catalogue_scale", text, {"header": header, "rows": rows, "said": said}, arguments.json)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rate", type=int, default=100, help="requests a second, open loop")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--changes", type=int, default=150, help="items that are sold out and come back")
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; none: the topic is the catalogue")
    parser.add_argument("--file", type=Path, help="where the shop is kept for the next run")
    parser.add_argument("--content", action="store_true", help="with vectors of the texts")
    with_kafka(run, parser)


if __name__ == "__main__":
    main()
