"""Fault 7 with three brokers and three copies: the leader of a partition is killed, then the next one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.clients import Clients
from tests.fault.cluster import Cluster, Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.kafka_cluster import ThreeBrokers
from tests.fault.report import Run
from tests.fault.test_brokers import BROKER_ERRORS
from tests.fault.workers import wait_until

pytestmark = pytest.mark.tier2

USERS = [f"u{number}" for number in range(40)]


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[ThreeBrokers]:
    with ThreeBrokers(tmp_path) as three:
        yield three


def leaders(cluster: Cluster, topic: str) -> dict[int, int]:
    """Partition -> node id of its leader, -1 for none."""
    (found,) = cluster.admin(lambda admin: admin.describe_topics([topic]))
    return {partition["partition"]: partition["leader"] for partition in found["partitions"]}


def in_sync(cluster: Cluster) -> bool:
    """True when all three copies of every partition are up to date."""
    found = cluster.admin(lambda admin: admin.describe_topics())
    return all(len(partition["isr"]) == 3 for topic in found for partition in topic["partitions"])


def test_leaders_are_killed(brokers: ThreeBrokers, make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(brokers.bootstrap, partitions=3, RECO_REPLICATION="3")
    workers = [cluster.worker(name).start() for name in "ab"]
    for worker in workers:
        worker.wait_ready()
    cluster.produce(500)
    cluster.drain()
    pids = [worker.pid for worker in workers]
    with Trickle(cluster, 200), Clients(workers, USERS) as clients:
        for topic in (cluster.settings.changelog_topic, cluster.settings.topic("events"), "__consumer_offsets"):
            leader = brokers.node(leaders(cluster, topic)[0])
            sent = sum(cluster.ends.values())
            leader.kill()
            run.killed()
            took = wait_until(lambda: sum(cluster.ends.values()) > sent + 500, "events are taken")  # noqa: B023
            run.served_after(took + cluster.drain())
            run.note(f"leader of {topic.removeprefix(cluster.app)} killed")
            leader.start()
            wait_until(lambda: in_sync(cluster), "all copies are in sync again", 120)
    assert clients.failed == []
    assert [worker.pid for worker in workers if worker.running] == pids, cluster.tails()
    run.note(f"{clients.answered} answers, {clients.retried} by another worker, {dict(clients.sources)}")
    cluster.finish(expected_errors=BROKER_ERRORS)
