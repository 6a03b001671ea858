"""Stores are read as they are on disk, also while their worker runs, and never written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reco_stream.engine.marker import MARKER_KEY, RULES_KEY, Marker, encode_marker
from reco_stream.engine.store import PartitionStore, StoreResources
from reco_stream.verify.copies import Copy, UnreadableCopy, is_held, store_copies, store_copy

WORKER = """
import sys
from pathlib import Path
from reco_stream.engine.store import PartitionStore, StoreResources
store = PartitionStore(Path(sys.argv[1]), StoreResources(8 << 20))
store.open()
for n in range(int(sys.argv[2])):
    store.write([(b"r%d" % n, b"row")], n)
store.flush()
print("ready", flush=True)
sys.stdin.read()
"""


def test_store_of_a_stopped_worker_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "app" / "partition-0003"
    store = PartitionStore(path, StoreResources(8 << 20))
    store.open()
    marker = Marker(applied=4, version=9)
    store.write([(b"ra", b"1"), (MARKER_KEY, encode_marker(marker)), (RULES_KEY, b"\x81\xa1a\xa1b")], 12)
    store.close()
    assert store_copies(tmp_path, "app") == {3: path}
    files = sorted(file.name for file in path.iterdir())
    copy = store_copy(path)
    assert (copy.rows, copy.marker, copy.rules) == ({b"ra": b"1"}, marker, {"a": "b"})
    assert copy.place is not None
    assert copy.place.offset == 12
    assert sorted(file.name for file in path.iterdir()) == files


def test_store_of_a_running_worker_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "partition-0000"
    command = [sys.executable, "-c", WORKER, str(path), "500"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        assert is_held(path)
        copy = store_copy(path)
        assert len(copy.rows) == 500
        assert copy.place is not None
        assert copy.place.offset == 499
        worker.communicate(b"")
    assert worker.returncode == 0
    assert not is_held(path)


def test_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "app" / "partition-0000").mkdir(parents=True)
    with pytest.raises(UnreadableCopy, match="no file LOCK"):
        store_copy(tmp_path / "app" / "partition-0000")
    with pytest.raises(UnreadableCopy, match="RECO_DATA_DIR of a worker of other"):
        store_copies(tmp_path, "other")


def test_damaged_store_is_named_with_the_databases_words(tmp_path: Path) -> None:
    path = tmp_path / "partition-0000"
    store = PartitionStore(path, StoreResources(8 << 20))
    store.open()
    store.close()
    (path / "CURRENT").write_text("nonsense\n")
    with pytest.raises(UnreadableCopy, match=r"partition-0000: .*CURRENT"):
        store_copy(path)


def test_deleted_rows_are_no_rows() -> None:
    copy = Copy("here")
    copy.put(b"ra", b"1")
    copy.put(b"ra", None)
    copy.put(b"rb", None)
    assert copy.rows == {}
