"""Fault 8: the network between a worker and the brokers is cut, in both directions or in one, or is slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault.clients import Witness
from tests.fault.cluster import Cluster, Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.kafka_cluster import LinkedKafka
from tests.fault.network import Link, Way, Weather
from tests.fault.report import Run
from tests.fault.workers import Worker, wait_until

pytestmark = pytest.mark.tier2

# What aiokafka says of brokers that do not answer.
CUT_OFF = ("aiokafka", "KafkaConnectionError", "RequestTimedOut")


@pytest.fixture
def link(run: Run) -> Iterator[Link]:
    link = Link(run.seed)
    yield link
    link.close()


@pytest.fixture
def broker(tmp_path: Path, link: Link) -> Iterator[LinkedKafka]:
    """A Kafka of this test's own, half of whose clients come through the link."""
    server = LinkedKafka(tmp_path / "broker", link.port)
    with server:
        link.connect(server.behind_link)
        yield server


def two_workers(cluster: Cluster, link: Link) -> tuple[Worker, Worker]:
    """A worker behind the link and one beside it; each owns partitions."""
    far = cluster.worker("far").start(RECO_BROKER=link.bootstrap)
    near = cluster.worker("near").start()
    for worker in (far, near):
        worker.wait_ready()
    wait_until(lambda: bool(far.applied() and near.applied()), "both workers own partitions")
    return far, near


@pytest.mark.parametrize(("ways", "session_s", "cut_s"), [("both", 8, 16), ("both", 8, 30), ("answers", 8, 30)])
def test_cut_off(
    ways: str, session_s: int, cut_s: float, broker: LinkedKafka, link: Link, make_cluster: MakeCluster, run: Run
) -> None:
    cluster = make_cluster(broker.bootstrap, partitions=4, RECO_SESSION_TIMEOUT_S=str(session_s))
    directions: dict[str, tuple[Way, ...]] = {"both": ("up", "down"), "answers": ("down",)}
    with Trickle(cluster, 200):
        far, near = two_workers(cluster, link)
        cluster.drain()
        witness = Witness(far, near, 4)
        witness.look()
        link.cut(*directions[ways])
        began = time.monotonic()
        while len(near.applied()) < 4:
            witness.watch(0.2)
            assert time.monotonic() - began < 120, cluster.tails()
        run.served_after(time.monotonic() - began)
        witness.watch(began + cut_s - time.monotonic())
        assert not far.ready(), "ready while it is cut off"
        link.heal()
        wait_until(lambda: not far.running or len(far.applied()) > 0, lambda: f"it joins again\n{far.log_tail()}")
        assert far.running, far.log_tail()
        cluster.drain()
    assert witness.kinds["owner"] > 0
    assert witness.kinds["standby, stale"] > 0
    run.note(f"session {session_s} s, cut for {cut_s:g} s ({ways}); answers meanwhile: {dict(witness.kinds)}")
    cluster.finish(expected_errors=CUT_OFF)


def test_slow_network(broker: LinkedKafka, link: Link, make_cluster: MakeCluster, run: Run) -> None:
    """200 ms, give or take 100, in each direction, and 2 % of the segments lost."""
    env: dict[str, Any] = {"RECO_SESSION_TIMEOUT_S": "10", "RECO_HEARTBEAT_S": "3", "RECO_BATCH_MAX_EVENTS": "1000"}
    cluster = make_cluster(broker.bootstrap, partitions=12, **env)
    far, near = two_workers(cluster, link)
    generation = far.generation()
    seconds = []
    for weather in (Weather(), Weather(0.2, 0.1, 0.02)):
        link.weather = weather
        records = cluster.load.take(30_000)
        began = time.monotonic()
        cluster.send(records)
        cluster.drain(180)
        seconds.append(time.monotonic() - began)
    clean, slow = seconds
    run.note(f"30,000 events in {clean:.1f} s over a clean link, in {slow:.1f} s over the slow one; no rebalance")
    assert far.generation() == near.generation() == generation
    cluster.finish()
