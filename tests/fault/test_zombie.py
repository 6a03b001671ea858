"""Fault 6: a worker is frozen for longer than its session lasts, and wakes up as a zombie."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from reco_stream.engine.errors import EXIT_FAILED
from tests.fault.clients import Witness
from tests.fault.cluster import SESSION_TIMEOUT_S, Trickle
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run
from tests.fault.workers import Worker, wait_until

FENCED = "a newer owner has claimed this partition"


def frozen(worker: Worker) -> bool:
    """True when the process is stopped by a signal."""
    state = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


@pytest.mark.tier2
def test_zombie_that_nobody_fences_is_found(make_cluster: MakeCluster, run: Run) -> None:
    """The verdict can fail: without the fence, the late write of a zombie is a difference."""
    cluster = make_cluster(partitions=1)
    zombie, heir = cluster.worker("zombie"), cluster.worker("heir")
    cluster.produce(1_500)
    zombie.start(hooks={"freeze": {"at": "checkpoint.folded", "nth": 6}, "no_fence": {}})
    wait_until(lambda: frozen(zombie), lambda: f"the worker is frozen\n{zombie.log_tail()}")
    heir.start(hooks={"no_fence": {}}).wait_ready()
    cluster.drain()
    assert heir.stop() == 0
    zombie.signal(signal.SIGCONT)
    assert zombie.wait_for_exit() == EXIT_FAILED, zombie.log_tail()
    assert "somebody else writes this changelog" in zombie.log()
    with pytest.raises(AssertionError, match="written by an older owner"):
        cluster.assert_no_foreign_record()
    with pytest.raises(AssertionError, match="differences"):
        cluster.verify(published=False)
    run.note("both workers without a fence: the verdict says that rows differ, and who wrote behind the fence")


@pytest.mark.parametrize("at", ["idle", "checkpoint.folded", "checkpoint.sent"])
def test_zombie(at: str, make_cluster: MakeCluster, run: Run) -> None:
    # Kafka's shortest by default for the one that is asked when it wakes up: RECO promises nothing for shorter ones.
    session_s = 6.0 if at == "idle" else SESSION_TIMEOUT_S
    cluster = make_cluster(partitions=2, RECO_SESSION_TIMEOUT_S=str(session_s))
    cluster.compact_hard()
    zombie, heir = cluster.worker("zombie"), cluster.worker("heir")
    cluster.produce(600)
    zombie.start(hooks=None if at == "idle" else {"freeze": {"at": at, "nth": 6}})
    witness = None
    if at == "idle":
        zombie.wait_ready()
        cluster.drain()
        witness = Witness(zombie, heir, 2)
        zombie.signal(signal.SIGSTOP)
    wait_until(lambda: frozen(zombie), lambda: f"the worker is frozen\n{zombie.log_tail()}")
    froze = time.monotonic()
    heir.start()
    with Trickle(cluster, 100):
        heir.wait_ready()
        run.served_after(time.monotonic() - froze)
        time.sleep(max(0.0, froze + 2 * session_s - time.monotonic()))
        zombie.signal(signal.SIGCONT)
        while witness is not None and zombie.running and not zombie.ready():
            witness.look()
        wait_until(lambda: not zombie.running or zombie.ready(), lambda: f"it joins again\n{zombie.log_tail()}")
    assert zombie.running, zombie.log_tail()
    run.note("it was fenced and joined again" if FENCED in zombie.log() else "it joined again before it wrote")
    cluster.finish()
    records, offsets = cluster.wait_compacted()
    run.note(f"changelog compacted to {records} records of {offsets} offsets, then rebuilt")
    shutil.rmtree(heir.data_dir)
    heir.start()
    heir.wait_ready()
    cluster.finish()
