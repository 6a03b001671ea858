"""Fault 7: the broker restarts, is killed, or is away for a minute."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reco_stream.kafka_server import KafkaServer
from tests.fault.cluster import Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run
from tests.fault.workers import wait_until

pytestmark = pytest.mark.tier2

BROKER_ERRORS = ("aiokafka", "Node", "KafkaConnectionError", "NodeNotReady", "RequestTimedOut", "RebalanceInProgress")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaServer]:
    """A Kafka of this test's own."""
    quick = {"group.min.session.timeout.ms": "1000"}
    with KafkaServer(tmp_path / "broker", settings=quick, die_with_parent=True) as server:
        yield server


@pytest.mark.parametrize(("how", "away_s"), [("stop", 0), ("kill", 0), ("kill", 60)])
def test_broker_away(how: str, away_s: float, broker: KafkaServer, make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(broker.bootstrap, partitions=3)
    workers = [cluster.worker(name).start() for name in "ab"]
    pids = [worker.pid for worker in workers]
    with Trickle(cluster, 200):
        cluster.drain()
        for worker in workers:
            worker.wait_ready()
        began = time.monotonic()
        broker.stop() if how == "stop" else broker.kill()
        for worker in workers:  # answered or not, it must not break what comes after
            worker.post(
                "/events", {"user_id": "u2", "item_id": "i1", "event_type": "view", "timestamp": 1_700_000_000}, 1
            )
        if away_s:
            wait_until(lambda: not any(worker.ready() for worker in workers), "no worker is ready in the outage")
        while time.monotonic() - began < away_s:
            assert all(worker.get("/livez")[0] == 200 for worker in workers), cluster.tails()
            time.sleep(1)
        broker.start()
        outage_s = time.monotonic() - began
    took = cluster.drain()
    for worker in workers:
        worker.wait_ready()
    run.served_after(time.monotonic() - began - outage_s)
    # Events over HTTP are taken again, by each worker's own producer.
    for worker in workers:
        event = {"user_id": "u1", "item_id": "i1", "event_type": "view", "timestamp": 1_700_000_000}
        wait_until(lambda worker=worker, event=event: worker.post("/events", event)[0] == 202, "takes events")  # type: ignore[misc]
    run.note(f"{outage_s:.0f} s without a broker, drained {took:.1f} s after the load ended")
    assert [worker.pid for worker in workers if worker.running] == pids, cluster.tails()
    cluster.finish(expected_errors=BROKER_ERRORS)
