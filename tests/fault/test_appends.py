"""Fault 19: the broker refuses or loses appends, acknowledges late, or takes none at all; commits fail."""

from __future__ import annotations

from reco_stream.engine.errors import EXIT_FAILED, EXIT_RESTART
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run


def test_appends_lost_refused_and_late(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2, RECO_BATCH_MAX_EVENTS="20")
    cluster.produce(1_200)
    hooks = {"appends": {"lost_every": 5, "refused_every": 7, "late_every": 61, "late_s": 5.0}, "commits": {}}
    worker = cluster.worker().start(hooks=hooks)
    worker.wait_ready()
    cluster.produce(600)
    cluster.finish(expected_errors=("OffsetCommit failed", "CommitFailed", "refused by the test"))
    run.note("every 5th ack lost, every 7th append refused, every 61st ack 5 s late, every commit fails")


def test_no_append_succeeds(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2, RECO_BATCH_MAX_EVENTS="20")
    cluster.produce(600)
    worker = cluster.worker().start(hooks={"appends": {"dead_after": 9, "budget_s": 2.0}})
    assert worker.wait_for_exit() == EXIT_RESTART
    run.killed()
    assert "check the brokers, then start again" in worker.log()
    # What was not acknowledged is not in the store either: both are the fold of the same prefix.
    cluster.verify(published=False)
    run.served_after(cluster.worker().start().wait_ready())
    cluster.finish(expected_errors=("stopping with exit code 75",))


def test_service_of_faust_dies(make_cluster: MakeCluster, run: Run) -> None:
    """A worker of which a part has died must not stay as a process that does nothing."""
    cluster = make_cluster(partitions=2)
    cluster.produce(600)
    worker = cluster.worker().start(hooks={"crash": {"after_s": 4.0}})
    assert worker.wait_for_exit() == EXIT_FAILED
    run.killed()
    run.served_after(cluster.worker().start().wait_ready())
    cluster.finish(expected_errors=("ZeroDivisionError", "Faust failed"))
