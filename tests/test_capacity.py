"""The estimate: what follows from what, and that the points it reckons with are those of the simulation."""

from dataclasses import replace
from itertools import pairwise

import pytest

from reco_stream.capacity import COSTS, LEAST_PARTITIONS, PUBLISHED, Load, item_rows, plan, published

SMALL = Load(users=100_000, items=10_000, events_per_s=1_000, queries_per_s=200)


def test_less_is_published_of_an_event_the_more_often_an_item_has_one() -> None:
    for (low, *_), (high, *_) in pairwise(PUBLISHED):
        middle = (low * high) ** 0.5
        for before, between, after in zip(published(low), published(middle), published(high), strict=True):
            assert before > between > after
            assert between == pytest.approx((before + after) / 2)


def test_a_small_shop_needs_one_worker_that_knows_all_items() -> None:
    found = plan(SMALL)
    assert (found.workers, found.partitions, found.shards, found.breaks) == (1, LEAST_PARTITIONS, 1, ())


def test_workers_grow_with_the_load_and_partitions_with_the_workers() -> None:
    fewer, more = plan(SMALL), plan(replace(SMALL, queries_per_s=20_000))
    assert more.workers > 10 * fewer.workers
    assert more.partitions >= 2 * more.workers
    assert more.partitions % LEAST_PARTITIONS == 0


def test_no_worker_is_busier_than_planned() -> None:
    for rate in (100.0, 10_000.0, 1_000_000.0):
        found = plan(replace(SMALL, events_per_s=rate, items=100_000))
        spent = COSTS.idle + found.read_cores + (found.fold_cores + found.query_cores) / found.workers
        assert spent <= COSTS.busy + 1e-9
        assert found.read_cores <= COSTS.reading


def test_what_is_too_much_for_one_worker_is_named_worst_first_and_divided() -> None:
    found = plan(Load(users=10e6, items=1e6, events_per_s=50_000, queries_per_s=1_000, memory_bytes=200e9))
    assert found.shards > 1
    assert found.breaks[0].startswith("CPU to read")
    found = plan(replace(SMALL, items=100e6, days=365.0, memory_bytes=1e9))
    assert found.breaks[0].startswith("memory")
    assert found.memory_bytes <= 1e9


def test_an_item_is_known_to_all_partitions_or_to_as_many_as_it_has_events() -> None:
    assert item_rows(SMALL, 12) == pytest.approx(12 * SMALL.items)
    rare = replace(SMALL, items=1e12)
    assert item_rows(rare, 12) == pytest.approx(rare.events_per_s * rare.days * 86_400, rel=0.01)


def test_copies_and_days_are_on_kafkas_disk() -> None:
    once = plan(replace(SMALL, replication=1)).kafka_disk_bytes
    assert plan(SMALL).kafka_disk_bytes == pytest.approx(3 * once)
    assert plan(replace(SMALL, days=60.0)).kafka_disk_bytes > 1.5 * plan(SMALL).kafka_disk_bytes
