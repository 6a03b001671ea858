"""Faults 12 and 20: Kafka removes records, by compaction of the changelog or by retention of the source."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from reco_stream.engine.errors import EXIT_REFUSED
from tests.fault.cluster import Cluster
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run

pytestmark = pytest.mark.tier2

_GAP = re.compile(
    r"\.events\[(\d+)\]: the log begins at (\d+) now: (\d+) events that were not applied are gone, going on"
)


@pytest.mark.parametrize("min_lag_ms", [60_000, 0])
@pytest.mark.parametrize("disk", ["kept", "wiped"])
def test_changelog_compacted_between_crash_and_restart(
    disk: str, min_lag_ms: int, make_cluster: MakeCluster, run: Run
) -> None:
    cluster = make_cluster(partitions=2)
    cluster.compact_hard(min_lag_ms)
    worker = cluster.worker().start(RECO_TESTING="true", RECO_CRASH_AT="checkpoint.sent:25")
    for _ in range(8):  # over seconds, because nobody closes the last segment of a worker that is dead
        cluster.produce(500)
        time.sleep(0.4)
    assert worker.wait_for_exit() == -9, worker.log_tail()
    run.killed()
    if min_lag_ms:
        run.note("compaction waits 60 s: nothing was removed")
    else:
        records, offsets = cluster.wait_compacted()
        run.note(f"compacted to {records} records of {offsets} offsets before the restart")
    if disk == "wiped":
        shutil.rmtree(worker.data_dir)
    run.served_after(worker.start().wait_ready())
    cluster.finish()


class RememberedLog:
    """The source log as it was, without the records that a worker said it had to skip."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._topic = cluster.settings.topic("events")
        self._records: dict[int, dict[int, Any]] = {}

    def remember(self) -> None:
        for partition in range(self._cluster.settings.partitions):
            known = self._records.setdefault(partition, {})
            known.update((record.offset, record) for record in self._cluster.read(self._topic, partition))

    def forget_skipped(self) -> int:
        """Leaves out what the workers' logs say; returns how much that was."""
        skipped = 0
        for worker in self._cluster.workers.values():
            for partition, offset, lost in (map(int, found) for found in _GAP.findall(worker.log())):
                for gone in range(offset - lost, offset):
                    skipped += self._records[partition].pop(gone, None) is not None
        return skipped

    async def bounds(self, partition: int) -> tuple[int, int]:
        return 0, max(self._records[partition], default=-1) + 1

    async def records(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
        known = self._records[partition]
        yield [known[offset] for offset in sorted(known) if start <= offset < end]


@pytest.mark.parametrize("worker_is", ["stopped", "frozen"])
def test_retention_overtakes_the_group(worker_is: str, make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2, RECO_SESSION_TIMEOUT_S="30")
    log, worker = RememberedLog(cluster), cluster.worker().start()
    cluster.produce(600)
    worker.wait_ready()
    cluster.drain()
    if worker_is == "stopped":
        assert worker.stop() == 0
    else:
        worker.signal(signal.SIGSTOP)
    cluster.produce(6_000)
    log.remember()
    applied = {number: marker_offset(cluster, number) for number in range(2)}
    cluster.truncate({number: offset + 2_000 for number, offset in applied.items()})
    if worker_is == "stopped":
        worker.start()
    else:
        worker.signal(signal.SIGCONT)
    assert worker.wait_for_exit() == EXIT_REFUSED, worker.log_tail()
    assert "RECO_TRUNCATED_LOG=skip" in worker.log()
    run.killed()
    run.served_after(worker.start(RECO_TRUNCATED_LOG="skip").wait_ready())
    cluster.drain()
    skipped = log.forget_skipped()
    assert worker.metric("records_skipped_by_retention_total") == skipped > 0
    run.note(f"{skipped} events gone, refused with exit code 78, then skipped and counted")
    log.remember()
    log.forget_skipped()
    cluster.finish(source=log, expected_errors=("the log begins at",))


def test_retention_overtakes_a_worker_that_may_skip(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2, RECO_SESSION_TIMEOUT_S="30", RECO_TRUNCATED_LOG="skip")
    log, worker = RememberedLog(cluster), cluster.worker().start()
    cluster.produce(600)
    worker.wait_ready()
    cluster.drain()
    worker.signal(signal.SIGSTOP)
    cluster.produce(6_000)
    log.remember()
    applied = {number: marker_offset(cluster, number) for number in range(2)}
    cluster.truncate({number: offset + 1_500 for number, offset in applied.items()})
    worker.signal(signal.SIGCONT)
    cluster.drain()
    skipped = log.forget_skipped()
    assert worker.metric("records_skipped_by_retention_total") == skipped > 0
    run.note(f"{skipped} events gone while it ran, skipped and counted")
    cluster.finish(source=log, expected_errors=("the log begins at",))


def marker_offset(cluster: Cluster, partition: int) -> int:
    """The applied offset that the changelog's last marker says."""
    from reco_stream.engine.marker import MARKER_KEY, decode_marker

    records = cluster.read(cluster.settings.changelog_topic, partition)
    return decode_marker([record.value for record in records if record.key == MARKER_KEY][-1]).applied
