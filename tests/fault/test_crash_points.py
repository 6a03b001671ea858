"""Fault 1: kill -9 at each named crash point, with the disk kept and with the disk wiped."""

from __future__ import annotations

import shutil
import signal
import time
from random import Random

import pytest

from reco_stream.engine.crash import CRASH_POINTS
from tests.fault.cluster import SESSION_TIMEOUT_S, Cluster
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run

EVENTS = 1_500


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_killed_at(point: str, make_cluster: MakeCluster, run: Run) -> None:
    kept, wiped = make_cluster(partitions=2), make_cluster(partitions=2)
    both = (kept, wiped)
    random = Random(run.seed)
    for cluster in both:  # both at a time: most of the time is spent waiting
        cluster.produce(EVENTS)
        _start_and_crash(cluster, point, random)
    for cluster in both:
        assert cluster.worker().wait_for_exit() == -signal.SIGKILL, cluster.tails()
        run.killed()
    if not point.startswith("checkpoint"):  # those points come before there is anything to lose: once more with state
        _crash_in_recovery(both, point, run)
    shutil.rmtree(wiped.worker().data_dir)
    for cluster in both:
        cluster.produce(EVENTS // 3)
    died = time.monotonic()
    for cluster in both:
        cluster.worker().start()
    for cluster in both:
        cluster.worker().wait_ready()
        run.served_after(time.monotonic() - died)
    run.note(f"session timeout {SESSION_TIMEOUT_S:g} s; one application with the disk kept, one with it wiped")
    for cluster in both:
        cluster.finish()


def _start_and_crash(cluster: Cluster, point: str, random: Random) -> None:
    first = point if point.startswith("checkpoint") else "checkpoint.written"
    # Each partition passes once with its rules before the first events.
    nth = random.randint(1, 2) if point in ("checkpoint.published", "checkpoint.left") else random.randint(4, 10)
    cluster.worker().start(RECO_TESTING="true", RECO_CRASH_AT=f"{first}:{nth}")


def _crash_in_recovery(both: tuple[Cluster, Cluster], point: str, run: Run) -> None:
    for cluster in both:
        shutil.rmtree(cluster.worker().data_dir)  # or there would be nothing to recover
        cluster.worker().start(RECO_TESTING="true", RECO_CRASH_AT=point)
    for cluster in both:
        assert cluster.worker().wait_for_exit() == -signal.SIGKILL, cluster.tails()
        run.killed()
