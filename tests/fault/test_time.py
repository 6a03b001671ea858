"""Faults 13 and 16: clocks that are wrong, and rules that are slow."""

from __future__ import annotations

import time

import pytest

from reco_stream.domain.partitioner import partition_of
from tests.fault.cluster import SESSION_TIMEOUT_S, Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.load import FAR_FUTURE_MS
from tests.fault.report import Run

pytestmark = pytest.mark.tier2


@pytest.mark.parametrize(("skew_s", "jump_after_s"), [(-3_600, 0), (3_600, 0), (3_600, 8), (-3_600, 8), (172_800, 8)])
def test_clock_is_wrong(skew_s: float, jump_after_s: float, make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2)
    hooks = {"clock": {"skew_s": skew_s, "jump_after_s": jump_after_s}}
    wrong = cluster.worker("wrong").start(hooks=hooks)
    with Trickle(cluster, 200):
        wrong.wait_ready()
        cluster.send([cluster.load.event(timestamp=0), cluster.load.event(timestamp=1)])
        cluster.send([cluster.load.bad("future") for _ in range(5)])
        time.sleep(jump_after_s)
        right = cluster.worker("right").start()
        right.wait_ready()
        wrong.kill()
        run.killed()
        run.served_after(wrong.start(hooks=hooks).wait_ready())
    report = cluster.finish()
    assert report.refused >= 5
    assert "future_timestamp" in "".join(worker.log() for worker in cluster.workers.values())
    run.note(
        f"one of two clocks off by {skew_s:g} s, from {jump_after_s:g} s after the start on; events of 1970, of 2100"
    )
    assert time.time() * 1000 < FAR_FUTURE_MS


def test_slow_rule(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=3)
    worker = cluster.worker().start(hooks={"slow": {"item": "slow", "seconds": 0.03}})
    worker.wait_ready()
    cluster.produce(2_000)
    cluster.drain()
    steady_mb = worker.rss_mb()
    generation = worker.generation()
    victim = partition_of("sloth", 3)
    slow = [cluster.load.event(item_id="slow", user_id="sloth", event_id=None) for _ in range(600)]
    cluster.send(slow)
    others = [sent for sent in cluster.load.take(3_000) if sent.partition != victim]
    cluster.send(others)
    began, peak_mb, slow_left, others_left = time.monotonic(), steady_mb, [len(slow)], [len(others)]
    while behind := cluster.behind():
        run.lag(behind)
        peak_mb = max(peak_mb, worker.rss_mb())
        applied = worker.applied()
        if len(applied) == 3:
            left = {number: end - 1 - applied[number] for number, end in cluster.ends.items()}
            slow_left.append(left.pop(victim))
            others_left.append(sum(left.values()))
        assert time.monotonic() - began < 180, worker.log_tail()
        time.sleep(0.2)
    took = time.monotonic() - began
    half = next(at for at, left in enumerate(slow_left) if left <= len(slow) / 2)
    done = 1 - others_left[half] / len(others)
    run.note(f"{len(slow)} events of 0.03 s: done in {took:.0f} s; the others were done by {done:.0%} at half of it")
    run.note(f"{steady_mb:.0f} MB before, {peak_mb:.0f} MB at most")
    assert done > 0.25
    assert peak_mb < 1.5 * steady_mb
    assert worker.generation() == generation
    cluster.finish()


def test_rule_slower_than_the_session(make_cluster: MakeCluster, run: Run) -> None:
    """One event takes three session timeouts: the heartbeat goes on, nobody else takes over."""
    cluster = make_cluster(partitions=2)
    worker = cluster.worker().start(hooks={"slow": {"item": "slow", "seconds": 3 * SESSION_TIMEOUT_S}})
    worker.wait_ready()
    other = cluster.worker("other").start()
    other.wait_ready()
    generation = worker.generation()
    cluster.send([cluster.load.event(item_id="slow", user_id=user, event_id=None) for user in ("u1", "u2", "u3", "u4")])
    cluster.produce(1_000)
    cluster.drain()
    assert worker.generation() == generation
    run.note("no rebalance")
    cluster.finish()
