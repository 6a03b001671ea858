"""Fault 11: a part of the local state is gone, or belongs to another changelog."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.fault.cluster import Cluster
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run


def with_state(make_cluster: MakeCluster) -> tuple[Cluster, Path]:
    """A cluster whose one worker has applied events and was stopped; and the folder of its stores."""
    cluster = make_cluster(partitions=3)
    cluster.produce(900)
    worker = cluster.worker().start()
    worker.wait_ready()
    cluster.drain()
    assert worker.stop() == 0
    return cluster, worker.data_dir / cluster.settings.state_name


def test_partition_folder_deleted(make_cluster: MakeCluster, run: Run) -> None:
    cluster, stores = with_state(make_cluster)
    before = len(cluster.worker().restored())
    shutil.rmtree(stores / "partition-0001")
    cluster.produce(300)
    run.served_after(cluster.worker().start().wait_ready())
    restored = sorted(cluster.worker().restored()[before:])
    # The lost one reads its changelog from the beginning, the others find nothing new but the fence.
    assert restored[:2] == [0, 0]
    assert restored[2] > 100
    cluster.finish()


def test_changelog_made_anew(make_cluster: MakeCluster, run: Run) -> None:
    cluster, _ = with_state(make_cluster)
    cluster.recreate_changelog()
    cluster.produce(300)
    run.served_after(cluster.worker().start().wait_ready())
    assert cluster.worker().log().count("lies beyond the changelog's end") == cluster.settings.partitions
    cluster.finish()


def test_store_of_an_older_changelog_that_has_grown_past_it(make_cluster: MakeCluster, run: Run) -> None:
    """The hard case: the new changelog is already longer than the store's position, so offsets look right."""
    cluster, _ = with_state(make_cluster)
    cluster.recreate_changelog()
    other = cluster.worker("other").start()
    other.wait_ready()
    cluster.produce(3_000)
    cluster.drain()
    assert other.stop() == 0
    run.served_after(cluster.worker().start().wait_ready())
    cluster.finish()
