"""The estimate: what follows from what, and that the points it reckons with are those of the simulation."""

from dataclasses import replace
from itertools import pairwise

import pytest

from reco_stream.capacity import COSTS, LEAST_PARTITIONS, PUBLISHED, Load, item_bytes, plan, published

SMALL = Load(users=100_000, items=10_000, events_per_s=1_000, queries_per_s=200)


def test_less_is_published_of_an_event_the_more_often_an_item_has_one() -> None:
    for (low, *_), (high, *_) in pairwise(PUBLISHED):
        middle = (low * high) ** 0.5
        for before, between, after in zip(published(low), published(middle), published(high), strict=True):
            assert before > between > after
            assert between == pytest.approx((before + after) / 2)


def test_a_small_shop_needs_one_worker_that_knows_all_items() -> None:
    found = plan(SMALL)
    assert (found.processes, found.partitions, found.parts, found.breaks) == ({"workers": 1}, LEAST_PARTITIONS, 1, ())


def test_workers_grow_with_the_load_and_partitions_with_the_workers() -> None:
    fewer, more = plan(SMALL), plan(replace(SMALL, queries_per_s=20_000))
    assert more.processes["workers"] > 10 * fewer.processes["workers"]
    assert more.partitions >= 2 * more.processes["workers"]
    assert more.partitions % LEAST_PARTITIONS == 0


@pytest.mark.parametrize("rate", [100.0, 10_000.0, 1_000_000.0])
def test_no_process_is_busier_than_planned(rate: float) -> None:
    found = plan(replace(SMALL, events_per_s=rate, items=100_000))
    assert found.read_cores <= COSTS.reading
    if "workers" in found.processes:
        spent = found.read_cores + (found.fold_cores + found.query_cores) / found.processes["workers"]
    else:
        spent = found.read_cores + found.query_cores / found.processes["answering"]
        assert found.fold_cores / found.processes["folding"] <= COSTS.busy - COSTS.idle
    assert spent <= COSTS.busy - COSTS.idle + 1e-9


def test_what_is_too_much_for_one_worker_is_named_worst_first_and_divided() -> None:
    found = plan(Load(users=10e6, items=1e6, events_per_s=50_000, queries_per_s=1_000, memory_bytes=200e9))
    assert found.parts > 1
    assert list(found.processes) == ["folding", "merging", "answering"]
    assert found.breaks[0].startswith("CPU to read")
    found = plan(replace(SMALL, items=1e6, memory_bytes=1e9))
    assert found.breaks[0].startswith("memory")
    assert found.memory_bytes <= 1e9


def test_a_hundred_times_the_load_needs_some_hundred_times_the_processes() -> None:
    large = Load(users=10e6, items=1e6, events_per_s=50_000, queries_per_s=1_000)
    larger = replace(large, users=1e9, items=100e6, events_per_s=5e6, queries_per_s=100_000)
    for kind, count in plan(larger).processes.items():
        assert 50 < count / plan(large).processes[kind] < 400


def test_rows_of_items_are_full_where_events_are_many_and_as_many_as_events_where_they_are_few() -> None:
    many = replace(SMALL, items=1_000)
    assert item_bytes(many, COSTS, 12) == pytest.approx(12 * many.items * COSTS.item_row_bytes)
    few = replace(SMALL, items=1e12)
    events = few.events_per_s * few.days * 86_400
    assert item_bytes(few, COSTS, 12) == pytest.approx(2 * events * COSTS.item_event_bytes, rel=0.01)


def test_copies_and_days_are_on_kafkas_disk() -> None:
    once = plan(replace(SMALL, replication=1)).kafka_disk_bytes
    assert plan(SMALL).kafka_disk_bytes == pytest.approx(3 * once)
    assert plan(replace(SMALL, days=60.0)).kafka_disk_bytes > 1.5 * plan(SMALL).kafka_disk_bytes
