"""Faults 9 and 10: the disk is full, read-only, or gives back other bytes; somebody else holds the store."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reco_stream.engine.errors import EXIT_FAILED, EXIT_REFUSED
from tests.fault.cluster import Cluster
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run

pytestmark = pytest.mark.tier2

FULL_MB = 24


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 24 MB at `folder`; needs the right to mount."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL_MB}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes zeros until nothing is left."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        any(file.write(bytes(1 << 12)) == 0 for _ in iter(int, 1))


def test_disk_full(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2)
    worker = cluster.worker()
    with small_disk(worker.data_dir):
        worker.start()
        worker.wait_ready()
        cluster.produce(500)
        cluster.drain()
        filler = worker.data_dir / "filler"
        fill(filler)
        cluster.produce(1_500)
        code = worker.wait_for_exit()
        assert code == EXIT_FAILED, worker.log_tail()
        (line,) = [line for line in worker.log().splitlines() if "CRITICAL" in line]
        assert str(worker.data_dir) in line
        assert "bytes are free there" in line
        run.killed()
        run.note(line.split("CRITICAL ", 1)[1].replace(str(worker.data_dir), "DATA_DIR")[:160].replace("|", "/"))
        cluster.run.lag(cluster.behind())
        filler.unlink()
        run.served_after(worker.start().wait_ready())
        cluster.finish(expected_errors=(line,))


def test_file_limit(make_cluster: MakeCluster, run: Run) -> None:
    """The same without the right to mount: no file may grow beyond 64 kB."""
    cluster = make_cluster(partitions=1)
    cluster.produce(3_000)
    worker = cluster.worker().start(hooks={"file_limit": {"bytes": 65_536}})
    assert worker.wait_for_exit() == EXIT_FAILED, worker.log_tail()
    run.killed()
    assert "File too large" in worker.log()
    run.served_after(worker.start().wait_ready())
    cluster.finish(expected_errors=("File too large", "the catalogue's content failed and is started again"))


def with_files(cluster: Cluster) -> list[Path]:
    """Applies events, stops the worker and returns the data files of its stores, the largest first."""
    cluster.produce(3_000)
    worker = cluster.worker().start()
    worker.wait_ready()
    cluster.drain()
    assert worker.stop() == 0
    stores = worker.data_dir / cluster.settings.state_name
    return sorted(stores.glob("partition-*/*.sst"), key=lambda path: -path.stat().st_size)


@pytest.mark.parametrize("where", ["middle", "end"])
def test_damaged_file(where: str, make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=2)
    file = with_files(cluster)[0]
    content = bytearray(file.read_bytes())
    for at in range(len(content) // 8, len(content) // 2) if where == "middle" else range(-20, 0):
        content[at] ^= 0x55
    file.write_bytes(content)
    worker = cluster.worker()
    cluster.produce(2_000)
    worker.start()
    if where == "middle":  # found by the first event that needs the block; the next start mends it
        assert worker.wait_for_exit() == 75, worker.log_tail()
        run.killed()
        worker.start()
    run.served_after(worker.wait_ready())
    assert "is damaged" in worker.log()
    assert "fold_failed" not in worker.log()
    cluster.finish(expected_errors=("is damaged",))


def test_store_held_by_another_process(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=1)
    with_files(cluster)
    holder = cluster.worker().start()
    holder.wait_ready()
    thief = cluster.worker("thief")
    # The group gives the only partition to one of them: the thief, when the holder is frozen out of the group.
    thief.data_dir = holder.data_dir
    holder.signal(signal.SIGSTOP)
    thief.start()
    assert thief.wait_for_exit() == EXIT_REFUSED, thief.log_tail()
    assert "each worker needs its own RECO_DATA_DIR" in thief.log()
    holder.kill()
    run.killed()
    cluster.produce(500)
    run.served_after(holder.start().wait_ready())
    del cluster.workers["thief"]
    cluster.finish()


def test_read_only_disk(make_cluster: MakeCluster, run: Run) -> None:
    cluster = make_cluster(partitions=1)
    worker = cluster.worker()
    with small_disk(worker.data_dir):
        with_files(cluster)
        subprocess.run(["mount", "-o", "remount,ro", str(worker.data_dir)], check=True)
        worker.start()
        assert worker.wait_for_exit() != 0
        assert "Read-only file system" in worker.log()
        run.killed()
        subprocess.run(["mount", "-o", "remount,rw", str(worker.data_dir)], check=True)
        cluster.produce(500)
        run.served_after(worker.start().wait_ready())
        cluster.finish(expected_errors=("Read-only file system",))
