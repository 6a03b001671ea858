"""Faults 2, 3, 4 and 17: workers that come and go at random, in bursts, in the middle of a rebalance or a restore."""

from __future__ import annotations

import os
import time
from random import Random

import pytest

from reco_stream.domain.partitioner import partition_of
from tests.fault.cluster import Cluster, Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.hooked_worker import REVOKED
from tests.fault.report import Run
from tests.fault.workers import Worker, wait_until

pytestmark = pytest.mark.tier2

SESSION_S = 6  # the shortest that Kafka allows by default


def seconds(planned_minutes: float) -> float:
    """How long a scenario runs: as planned, or FAULT_MINUTES."""
    return 60 * float(os.environ.get("FAULT_MINUTES") or planned_minutes)


def watch(cluster: Cluster, pause_s: float) -> None:
    """Waits, and notes the lag on the way."""
    until = time.monotonic() + pause_s
    while time.monotonic() < until:
        cluster.run.lag(cluster.behind())
        time.sleep(min(0.5, max(0.0, until - time.monotonic())))


def test_random_kills(make_cluster: MakeCluster, run: Run) -> None:
    """Kill -9 of one of three each 2 to 10 s, restarted at once."""
    cluster, random = make_cluster(partitions=6), Random(run.seed)
    workers = [cluster.worker(name).start() for name in "abc"]
    with Trickle(cluster, 300):
        cluster.drain()
        ends = time.monotonic() + seconds(5)
        while time.monotonic() < ends:
            watch(cluster, random.uniform(2, 10))
            victim = random.choice(workers)
            victim.kill()
            run.killed()
            victim.start()
            run.served_after(victim.wait_ready())
    drained = cluster.drain()
    run.note(f"drained {drained:.1f} s after the last event")
    report = cluster.finish(half_restored=True)
    # A kill moves partitions twice, and each move can repeat at most one publication of a row.
    assert run.sent_again <= 2 * run.kills * report.published


def owner_answers(asked: Worker, user: str) -> bool:
    """True when the answer is the owner's own, fresh one."""
    status, answer = asked.get(f"/recommendations?user_id={user}&count=3")
    return status == 200 and answer["source"] == "owner" and not answer["stale"]


@pytest.mark.parametrize("how", ["restarted", "taken over", "taken over by a standby"])
def test_serving_again_after_a_kill(how: str, make_cluster: MakeCluster, run: Run) -> None:
    """Kill -9 of one of two with its disk kept: until a user of each of its partitions is answered by an owner."""
    cluster = make_cluster(
        partitions=4, RECO_SESSION_TIMEOUT_S=str(SESSION_S), RECO_STANDBYS="1" if "standby" in how else "0"
    )
    survivor, victim = (cluster.worker(name).start() for name in "ab")
    users = {partition_of(user, 4): user for user in (f"u{number}" for number in range(240))}
    with Trickle(cluster, 200):
        for _ in range(12):
            for worker in (survivor, victim):
                worker.wait_ready()
            wait_until(lambda: len(survivor.applied()) == len(victim.applied()) == 2, "each owns two partitions")
            lost = [users[number] for number in victim.applied()]
            victim.kill()
            run.killed()
            if how == "restarted":
                victim.start()
            took = wait_until(
                lambda asked=lost: all(owner_answers(survivor, user) for user in asked),  # type: ignore[misc]
                lambda: f"the owner answers\n{cluster.tails()}",
            )
            run.served_after(took)
            if how != "restarted":
                victim.start()
    run.note(f"session timeout {SESSION_S} s; {how}")
    cluster.finish()


def test_burst_of_kills(make_cluster: MakeCluster, run: Run) -> None:
    """30 kills 0.1 to 1 s after a start or after being ready: mostly while claiming and recovering."""
    cluster, random = make_cluster(partitions=3), Random(run.seed)
    cluster.produce(6_000)
    worker = cluster.worker().start()
    cluster.drain()
    before = len(worker.restored())
    with Trickle(cluster, 100):
        for _ in range(30):
            worker.kill()
            run.killed()
            worker.start()
            if random.random() < 0.5:
                wait_until(lambda: worker.get("/livez")[0] == 200, "it answers")
            watch(cluster, random.uniform(0.1, 1.0))
    run.served_after(worker.wait_ready())
    # With its disk kept a worker lacks no more than its last batches and the fences in between.
    assert max(worker.restored()[before:], default=0) < 1_500
    cluster.finish()
    offsets = sum(cluster.read(cluster.settings.changelog_topic, number)[-1].offset for number in range(3))
    run.note(f"changelog of {offsets:,} records")
    assert offsets > 10_000


def test_killed_in_the_middle_of_a_restore(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=1)
    cluster.produce(12_000)
    first = cluster.worker("first").start()
    cluster.drain()
    assert first.stop() == 0
    total = cluster.read(cluster.settings.changelog_topic, 0)[-1].offset + 1
    chunks = total // 2_000 // 2
    assert chunks >= 3
    heir = cluster.worker("heir")
    heir.start(RECO_TESTING="true", RECO_CRASH_AT=f"recovery.partly:{chunks}")
    assert heir.wait_for_exit() == -9, heir.log_tail()
    run.killed()
    run.served_after(heir.start().wait_ready())
    again = heir.restored()[-1]
    run.note(f"killed after {chunks} chunks of a changelog of {total:,} records; {again:,} were read after the restart")
    assert again <= 0.55 * total + 2_000
    cluster.finish()


@pytest.mark.parametrize("who", ["revoked", "joining"])
def test_killed_in_the_middle_of_a_rebalance(who: str, make_cluster: MakeCluster, run: Run) -> None:
    """`a` has to give partitions back because `b` joins: one of the two is killed right then."""
    cluster = make_cluster(partitions=4)
    cluster.produce(2_000)
    a, b = cluster.worker("a"), cluster.worker("b")
    with Trickle(cluster, 200):
        for _ in range(3):
            a.start(hooks={"rebalances": {"kill_nth": 1} if who == "revoked" else {}})
            a.wait_ready()
            revocations = a.log().count(REVOKED)
            b.start()
            if who == "revoked":
                assert a.wait_for_exit() == -9
            else:
                wait_until(
                    lambda seen=revocations: a.log().count(REVOKED) > seen,  # type: ignore[misc]
                    "a gives its partitions back",
                )
                b.kill()
                b.start()
            run.killed()
            run.served_after(_survivor(cluster).wait_ready())
            cluster.drain()
            for worker in cluster.live():
                worker.stop()
        a.start()
    cluster.finish()


def _survivor(cluster: Cluster) -> Worker:
    return cluster.live()[-1]


def test_rebalance_storm(make_cluster: MakeCluster, run: Run) -> None:
    """One of three is replaced each 1 to 5 s, in an orderly way or not."""
    # With caches of 256 MB in all memory would fill for all of the ten minutes, and a leak could hide in that.
    cluster = make_cluster(partitions=6, RECO_ROW_CACHE_MB="8", RECO_ROCKSDB_CACHE_MB="16")
    random = Random(run.seed)
    stayer = cluster.worker("stayer").start()
    others = [cluster.worker(name).start() for name in "bc"]
    sizes: list[tuple[int, int]] = []
    with Trickle(cluster, 200):
        cluster.drain()
        ends = time.monotonic() + seconds(10)
        while time.monotonic() < ends:
            victim = random.choice(others)
            if victim.running:
                if random.random() < 0.5:
                    victim.kill()
                    run.killed()
                else:
                    victim.stop()
            watch(cluster, random.uniform(1, 5))
            if not victim.running:
                victim.start()
            sizes.append((stayer.open_files(), round(stayer.rss_mb())))
    began = time.monotonic()
    cluster.drain()
    run.served_after(time.monotonic() - began)
    quarter = max(1, len(sizes) // 4)
    # In the first quarter caches and read models fill.
    quarters = [sizes[at : at + quarter] for at in (quarter, len(sizes) - quarter)]
    early, late = (tuple(map(max, zip(*part, strict=True))) for part in quarters)
    run.note(f"files and MB of the one that stays: at most {early} in the second quarter, {late} in the last")
    cluster.finish(half_restored=True)
    assert "LOCK" not in "".join(worker.log() for worker in cluster.workers.values())
    assert late[0] <= early[0] * 1.1 + 20
    assert late[1] <= early[1] * 1.1 + 30
