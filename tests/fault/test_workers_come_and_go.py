"""Workers restart, join and leave under load: no question stays without an answer, and no figure goes wrong."""

from __future__ import annotations

import re
import signal
import urllib.request

from tests.fault.clients import Clients
from tests.fault.cluster import Cluster, Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run
from tests.fault.workers import Worker, wait_until

USERS = [f"u{number}" for number in range(40)]


def owned(cluster: Cluster) -> dict[str, int]:
    return {worker.name: len(worker.applied()) for worker in cluster.live()}


def knows_items(worker: Worker) -> bool:
    """True when this worker has something to fall back to: half a second after the very first events."""
    return bool((worker.get("/health")[1] or {}).get("read_model_items"))


def generations(log: str) -> list[str]:
    return re.findall(r"generation (\d+): owns", log)


def test_rolling_restart(make_cluster: MakeCluster, run: Run) -> None:
    # Python starts in one to three seconds; ten are the default of RECO_SESSION_TIMEOUT_S.
    cluster = make_cluster(RECO_SESSION_TIMEOUT_S="20")
    workers = [cluster.worker(name).start() for name in ("a", "b")]
    for worker in workers:
        worker.wait_ready()
    wait_until(lambda: all(owned(cluster).values()), "both workers own partitions")
    cluster.produce(500)
    cluster.drain()
    wait_until(lambda: all(map(knows_items, cluster.live())), "what was applied is published and read")
    before = generations(workers[0].log())[-1]
    with Trickle(cluster, 50), Clients(workers, USERS) as clients:
        for worker in workers:
            assert worker.stop() == 0, worker.log_tail()
            run.served_after(worker.start().wait_ready())
    assert clients.failed == []
    assert clients.answered > 100
    for worker in workers:
        assert set(generations(worker.log())[-1:]) == {before}, "a restart within the session timeout moves nothing"
    run.note(f"{clients.answered} answers, {clients.retried} by another worker, {dict(clients.sources)}")
    cluster.finish()


def test_one_three_two(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(RECO_SESSION_TIMEOUT_S="20")
    first, *others = (cluster.worker(name) for name in ("a", "b", "c"))
    first.start().wait_ready()
    cluster.produce(500)
    cluster.drain()
    wait_until(lambda: all(map(knows_items, cluster.live())), "what was applied is published and read")
    with Trickle(cluster, 50), Clients([first, *others], USERS) as clients:
        for worker in others:
            worker.start(RECO_LEAVE_ON_STOP="true")
        wait_until(lambda: sorted(owned(cluster).values()) == [1, 1, 1], "each of three workers has a partition")
        for worker in others:
            worker.wait_ready()
        leaver = others[-1]
        assert leaver.stop() == 0, leaver.log_tail()
        took = wait_until(lambda: sum(owned(cluster).values()) == 3, "two workers have all partitions")
        run.served_after(took)
    assert took < 15, "a member that leaves is not waited for: its session would last 20 s"
    assert clients.failed == []
    run.note(f"{clients.answered} answers, {clients.retried} by another worker, {dict(clients.sources)}")
    cluster.finish()


def forwards(worker: Worker, outcome: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=5) as answer:
        found = re.search(rf'^\w+{{outcome="{outcome}"}} (\S+)$', answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_killed_owner(make_cluster: MakeCluster, run: Run) -> None:
    """Fault 21: the owner dies between the routing and the call. Each is answered, with its own answer."""
    cluster = make_cluster()
    asked, dies = (cluster.worker(name).start() for name in ("a", "b"))
    for worker in (asked, dies):
        worker.wait_ready()
    wait_until(lambda: all(owned(cluster).values()), "both workers own partitions")
    cluster.produce(500)
    cluster.drain()
    wait_until(lambda: all(map(knows_items, cluster.live())), "what was applied is published and read")
    with Trickle(cluster, 50), Clients([asked], USERS) as clients:
        wait_until(lambda: forwards(asked, "answered") > 20, "the owner is asked")
        dies.kill()
        run.killed()
        run.served_after(wait_until(lambda: len(asked.applied()) == 3, "the other worker has all partitions"))
    assert clients.failed == []
    assert set(clients.sources) >= {"owner", "fallback"}
    run.note(f"{clients.answered} answers, {dict(clients.sources)}, the slowest after {clients.slowest_s:.2f} s")
    cluster.finish()


def test_frozen_owner(make_cluster: MakeCluster, run: Run) -> None:
    """Fault 21: a peer that accepts connections and says nothing costs a few questions their time, not each one."""
    cluster = make_cluster(RECO_SESSION_TIMEOUT_S="20")
    asked, frozen = (cluster.worker(name).start() for name in ("a", "b"))
    for worker in (asked, frozen):
        worker.wait_ready()
    wait_until(lambda: all(owned(cluster).values()), "both workers own partitions")
    cluster.produce(500)
    cluster.drain()
    wait_until(lambda: all(map(knows_items, cluster.live())), "what was applied is published and read")
    frozen.signal(signal.SIGSTOP)
    with Clients([asked], USERS) as clients:
        wait_until(lambda: forwards(asked, "not_asked") > 50, "the silent owner is not asked any more")
        silent = forwards(asked, "failed")
        frozen.signal(signal.SIGCONT)
        before = forwards(asked, "answered")
        wait_until(lambda: forwards(asked, "answered") > before, "the owner is asked again")
    assert clients.failed == []
    assert clients.sources["owner"] > 0
    assert silent < forwards(asked, "not_asked")
    run.note(f"{silent:.0f} questions waited for the silent owner, {forwards(asked, 'not_asked'):.0f} did not")
    # mode watches its threads by wall time, and a frozen process has missed some.
    cluster.finish(expected_errors=("Thread keepalive is not responding",))
