"""The partition store on a real RocksDB: one flush is all or nothing, and position and rows are never apart."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco_stream.engine.errors import StoreDamaged, StoreFailed, StoreLocked
from reco_stream.engine.marker import MARKER_KEY, Marker, encode_marker
from reco_stream.engine.store import PartitionStore, StoreResources, free_bytes

RESOURCES = StoreResources(8 << 20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "app" / "partition-0000", RESOURCES)
    store.open()
    yield store
    store.close()


def reopened(store: PartitionStore) -> PartitionStore:
    store.close()
    again = PartitionStore(store.path, RESOURCES)
    again.open()
    return again


def test_new_store_is_empty_and_before_the_first_offset(store: PartitionStore) -> None:
    assert store.position == -1
    assert store.marker() == Marker()
    assert store.get(b"ra") is None
    assert list(store.scan(b"r")) == []


def test_write_survives_reopening_with_its_position(store: PartitionStore) -> None:
    marker = Marker(applied=7, version=3)
    store.write([(b"ra", b"1"), (b"rb", b"2"), (MARKER_KEY, encode_marker(marker))], 12)
    store.write([(b"ra", None)], 13)
    again = reopened(store)
    assert (again.position, again.marker()) == (13, marker)
    assert (again.get(b"ra"), again.get(b"rb")) == (None, b"2")
    again.close()


def test_time_of_the_last_write_is_known_without_reopening(store: PartitionStore) -> None:
    """A store that has just been filled is not old: recovery would build it anew at every assignment."""
    before = time.time()
    store.write([(b"ra", b"1")], 0)
    assert before - 0.001 <= store.written_at <= time.time()
    again = reopened(store)
    assert again.written_at == store.written_at
    again.close()


def test_scan_is_ascending_within_prefix_and_bound(store: PartitionStore) -> None:
    store.write([(key, key) for key in (b"xb", b"w", b"xa", b"x", b"xc", b"y")], 0)
    assert [key for key, _ in store.scan(b"x")] == [b"x", b"xa", b"xb", b"xc"]
    assert [key for key, _ in store.scan(b"x", b"xb")] == [b"x", b"xa"]


def test_unfinished_scan_does_not_keep_the_lock(store: PartitionStore) -> None:
    store.write([(b"xa", b""), (b"xb", b"")], 0)
    for key, _ in store.scan(b"x"):
        assert key == b"xa"
        break
    reopened(store).close()


def test_closing_twice_is_no_error_and_using_it_then_is(store: PartitionStore) -> None:
    was_open = store.is_open
    store.close()
    store.close()
    assert (was_open, store.is_open) == (True, False)
    with pytest.raises(RuntimeError, match="partition-0000 is closed"):
        store.get(b"ra")


def test_second_process_is_refused(store: PartitionStore) -> None:
    with pytest.raises(Exception, match=r"(?i)lock"):
        PartitionStore(store.path, RESOURCES).open()


def test_wipe_leaves_a_new_store(store: PartitionStore) -> None:
    store.write([(b"ra", b"1")], 5)
    store.wipe()
    assert not store.path.exists()
    assert (store.position, store.written_at) == (-1, 0.0)
    store.open()
    assert (store.position, store.get(b"ra")) == (-1, None)


def test_size_grows_with_the_rows(store: PartitionStore) -> None:
    empty = store.size_bytes()
    store.write([(b"r%d" % i, os.urandom(1000)) for i in range(1000)], 0)
    store.flush()
    assert store.size_bytes() > empty + 500_000


def test_free_bytes_is_what_the_file_system_says(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path) <= os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_blocks


def test_stores_share_one_cache_and_one_bound(tmp_path: Path) -> None:
    resources = StoreResources(8 << 20)
    stores = [PartitionStore(tmp_path / str(number), resources) for number in range(4)]
    for store in stores:
        store.open()
        store.write([(b"r%d" % i, os.urandom(2_000)) for i in range(1_000)], 0)
        store.flush()
    for _ in range(2):
        for store in stores:
            for i in range(1_000):
                store.get(b"r%d" % i)
    assert 0 < resources.cache.get_usage() <= 16 << 20
    for store in stores:
        store.close()


def test_a_store_that_existed_uses_the_shared_cache_too(tmp_path: Path) -> None:
    rows = [(b"r%d" % i, os.urandom(1_000)) for i in range(4_000)]
    store = PartitionStore(tmp_path / "0", StoreResources(16 << 20))
    store.open()
    store.write(rows, 0)
    store.close()
    resources = StoreResources(16 << 20)
    store = PartitionStore(tmp_path / "0", resources)
    store.open()
    before = resources.cache.get_usage()
    assert all(store.get(key) == row for key, row in rows)
    assert resources.cache.get_usage() - before < 1 << 20, "a look-up leaves its block behind"
    assert dict(store.scan(b"r")) == dict(rows)
    assert resources.cache.get_usage() - before > 2 << 20
    store.close()


WRITES_AND_DIES = """
import os, signal, sys
from pathlib import Path
from reco_stream.engine.store import PartitionStore, StoreResources
store = PartitionStore(Path(sys.argv[1]), StoreResources(8 << 20))
store.open()
for position in range(int(sys.argv[2])):
    store.write([(b"r%04d" % i, b"%d" % position) for i in range(position % 10 * 50, 2_500)], position)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("writes", [1, 8, 20])
def test_killed_process_leaves_the_rows_of_one_position(tmp_path: Path, writes: int) -> None:
    path = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", WRITES_AND_DIES, str(path), str(writes)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = PartitionStore(path, RESOURCES)
    store.open()
    last = store.position
    assert 0 <= last < writes
    first_kept = last % 10 * 50  # of the rows before, each is as an earlier write left it
    rows = list(store.scan(b"r"))
    assert len(rows) == 2_500
    assert all(value == b"%d" % last for key, value in rows if int(key[1:]) >= first_kept)
    assert all(int(value) <= last for _, value in rows)
    store.close()


def test_what_is_held_is_read_before_it_is_on_disk(store: PartitionStore) -> None:
    store.write([(b"ra", b"1"), (b"rb", b"1")], 0)
    store.flush()
    store.write([(b"ra", b"2"), (b"rb", None)], 1)
    on_disk = PartitionStore(store.path, RESOURCES)
    on_disk._db = store._opened()
    assert (store.get(b"ra"), store.get(b"rb"), store.position) == (b"2", None, 1)
    assert (on_disk.get(b"ra"), on_disk.get(b"rb")) == (b"1", b"1")
    store.flush()
    assert (on_disk.get(b"ra"), on_disk.get(b"rb")) == (b"2", None)
    assert (store.get(b"ra"), store.get(b"rb")) == (b"2", None)


def test_what_is_held_for_long_is_flushed_when_asked(store: PartitionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("reco_stream.engine.store.time.monotonic", lambda: now)
    for position in range(2):
        store.write([(b"ra", b"%d" % position)], position)
        now += 0.6
        assert store._read(b"ra") is None
    store.flush_old()
    assert store._read(b"ra") == b"1"
    store.write([(b"ra", b"2")], 2)
    store.flush_old()
    assert store._read(b"ra") == b"1"


def test_many_rows_are_not_held(store: PartitionStore) -> None:
    store.write([(b"r%d" % i, b"1") for i in range(3_000)], 0)
    assert store._read(b"r0") == b"1"


def test_closing_leaves_the_disk_as_it_was_at_one_moment(store: PartitionStore) -> None:
    store.write([(b"ra", b"1"), (b"rb", b"1")], 4)
    store.flush()
    store.write([(b"ra", b"2")], 5, settled=False)
    again = reopened(store)
    assert (again.get(b"ra"), again.get(b"rb"), again.position) == (b"1", b"1", 4)
    again.close()


def test_closing_a_full_disk_says_so_and_releases_the_lock(
    store: PartitionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.write([(b"ra", b"1")], 0)

    def full(records: object) -> None:
        raise StoreFailed("no space")

    monkeypatch.setattr(store, "_write_through", full)
    again = reopened(store)
    assert "no space; what it lacks will be read from the changelog" in caplog.text
    assert (again.get(b"ra"), again.position) == (None, -1)
    again.close()


KEYS = st.sampled_from([b"ra", b"rb", b"s", b"sa", b"s\xff", b"t"])
WRITES = st.lists(st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=4), max_size=8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITES)
def test_behaves_like_a_dictionary(store: PartitionStore, writes: list[list[tuple[bytes, bytes | None]]]) -> None:
    store.wipe()
    store.open()
    model: dict[bytes, bytes] = {}
    for position, records in enumerate(writes):
        store.write(records, position)
        for key, value in records:
            model.pop(key, None)
            if value is not None:
                model[key] = value
        assert store.position == position
    for prefix in (b"r", b"s", b"t"):
        assert list(store.scan(prefix)) == sorted(item for item in model.items() if item[0][:1] == prefix)
    assert list(store.scan(b"s", b"sa")) == sorted(item for item in model.items() if b"s" <= item[0] < b"sa")


MANY_ROWS = [(b"r%04d" % n, Random(n).randbytes(100)) for n in range(1000)]


def flip_a_byte(store: PartitionStore, at: int) -> None:
    """Damages the largest data file."""
    file = max(store.path.glob("*.sst"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)


def test_damage_found_by_a_read_is_remembered_and_mended_by_the_next_opening(store: PartitionStore) -> None:
    store.write(MANY_ROWS, 41)
    store.close()
    flip_a_byte(store, 50_000)  # in the middle: opening does not look there
    broken = PartitionStore(store.path, RESOURCES)
    broken.open()
    with pytest.raises(StoreDamaged, match="built anew"):
        any(broken.get(key) is None for key, _ in MANY_ROWS)
    broken.close()
    again = PartitionStore(store.path, RESOURCES)
    again.open()
    assert (again.position, again.get(b"r0000")) == (-1, None)
    again.close()
    assert not list(store.path.parent.glob("*.damaged"))


def test_damage_found_by_a_scan_is_no_shorter_scan(store: PartitionStore) -> None:
    store.write(MANY_ROWS, 41)
    store.close()
    flip_a_byte(store, 50_000)
    broken = PartitionStore(store.path, RESOURCES)
    broken.open()
    with pytest.raises(StoreDamaged):
        list(broken.scan(b"r"))
    broken.close()


def test_damage_found_by_opening_is_mended_at_once(store: PartitionStore, caplog: pytest.LogCaptureFixture) -> None:
    store.write(MANY_ROWS, 41)
    store.close()
    flip_a_byte(store, -10)  # the file's magic number
    again = reopened(store)
    assert (again.position, again.get(b"r0000")) == (-1, None)
    assert "is damaged" in caplog.text
    again.write([(b"ra", b"1")], 0)
    again.close()


def test_second_opener_is_told_to_use_a_folder_of_its_own(store: PartitionStore) -> None:
    with pytest.raises(StoreLocked, match="RECO_DATA_DIR"):
        PartitionStore(store.path, RESOURCES).open()
    store.write([(b"ra", b"1")], 0)  # and has done no harm


def test_folder_that_cannot_be_made_is_named_with_the_free_space(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("a file where a folder should be")
    with pytest.raises(StoreFailed, match=r"cannot open .*partition-0000.* bytes are free"):
        PartitionStore(tmp_path / "app" / "partition-0000", RESOURCES).open()
