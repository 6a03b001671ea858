"""Content with several workers: one of them encodes a text, all have its vector, and the share of a dead one moves."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.fault.cluster import Cluster
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run
from tests.fault.workers import Worker, wait_until

THINGS = ("lamp of glass", "oak table", "garden chair")


def content(worker: Worker) -> dict[str, Any]:
    found: dict[str, Any] = (worker.get("/health")[1] or {"catalogue": {"content": {}}})["catalogue"]["content"]
    return found


def has(worker: Worker, vectors: int) -> bool:
    found = content(worker)
    return (found.get("vectors"), found.get("waiting"), found.get("stage")) == (vectors, 0, "idle")


def similar(worker: Worker, item: str) -> list[str]:
    found = worker.get(f"/items/{item}/similar?count=3")[1]["items"]
    return sorted(one["item_id"] for one in found)  # equal texts come in any order


def encoded(cluster: Cluster) -> Counter[str]:
    """How often each item's vector was sent since the topic began."""
    topic = cluster.settings.topic("vectors")
    keys = [record.key for number in range(cluster.settings.partitions) for record in cluster.read(topic, number)]
    return Counter(key.decode() for key in keys if not key.startswith(b"\0"))


def test_vectors_are_shared_and_the_share_of_a_killed_worker_moves(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=4)
    first, second = cluster.worker("a").start(), cluster.worker("b").start()
    for worker in (first, second):
        worker.wait_ready()
    items = [{"item_id": f"i{n}", "title": f"{THINGS[n % 3]} number {n}"} for n in range(40)]
    assert first.post("/items", items)[0] == 200
    wait_until(lambda: all(has(worker, 40) for worker in (first, second)), lambda: f"vectors\n{cluster.tails()}")
    assert content(first)["model"] == content(second)["model"]
    assert similar(first, "i3") == similar(second, "i3")
    assert all(int(item[1:]) % 3 == 0 for item in similar(first, "i3"))

    first.kill()
    assert second.post("/items", [{"item_id": f"n{n}", "title": f"{THINGS[n % 3]}, new"} for n in range(12)])[0] == 200
    wait_until(lambda: has(second, 52), lambda: f"vectors of new items: {content(second)}\n{cluster.tails()}")
    before = encoded(cluster)
    first = cluster.worker("a").start()
    first.wait_ready()
    wait_until(lambda: has(first, 52), lambda: f"vectors after the restart: {content(first)}\n{cluster.tails()}")
    assert encoded(cluster) == before  # it read them all
    assert similar(first, "n0") == similar(second, "n0")
    run.note(f"{sum(before.values())} vectors sent for {len(before)} items")
