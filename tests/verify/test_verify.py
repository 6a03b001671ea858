"""A verification finds what it is there to find: each test breaks one thing in a state that was right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from reco_stream.engine.marker import FENCE_KEY, MARKER_KEY, Fence, encode_fence, encode_marker
from reco_stream.engine.store import PartitionStore, StoreResources
from reco_stream.settings import Settings
from reco_stream.topics import NoSuchTopic
from reco_stream.verify.compare import ABSENT
from reco_stream.verify.verify import DIFFERENCES_SHOWN, verify
from tables.popularity import POPULARITY
from tests.verify.conftest import State

pytestmark = pytest.mark.kafka


def write_store(state: State, data_dir: Path, *, settled: bool = True, changelog_id: str | None = None) -> None:
    """Writes the state as a worker's store and closes it."""
    path = data_dir / state.settings.state_name / "partition-0000"
    store = PartitionStore(path, StoreResources(8 << 20))
    store.open()
    store.changelog_id = state.changelog_id if changelog_id is None else changelog_id
    store.write([*state.rows.items(), (MARKER_KEY, encode_marker(state.marker))], 99, settled=settled)
    store.flush()
    store.close()


async def test_right_state_has_no_difference(state: State, tmp_path: Path) -> None:
    await state.write()
    write_store(state, tmp_path)
    seen: list[tuple[int, int, str]] = []
    report = await verify(
        state.settings, [tmp_path], published=True, on_progress=lambda *progress: seen.append(progress)
    )
    assert (report.exit_code, report.differences, report.unknown) == (0, [], [])
    assert (report.copies, report.rows) == (2, 2 * len(state.rows))
    assert report.events == len(state.events)
    assert report.refused == len(state.letters) > 0
    assert report.duplicates > 0
    assert report.published > 0
    assert report.applied == {0: state.records[-1].offset}
    assert seen[-1][0] == seen[-1][1]


async def test_state_of_nothing_is_right(state: State) -> None:
    report = await verify(state.settings)
    assert (report.exit_code, report.rows, report.applied) == (0, 0, {0: -1})


def change_a_row(state: State) -> None:
    key = next(key for key in state.rows if key[:1] == b"p")
    row = POPULARITY.decode(state.rows[key])
    row.weighted += 1.0
    state.rows[key] = POPULARITY.encode(row)


def drop_a_row(state: State) -> None:
    del state.rows[next(key for key in state.rows if key[:1] == b"c")]


def add_a_row(state: State) -> None:
    state.rows[b"rnobody"] = next(row for key, row in state.rows.items() if key[:1] == b"r")


def lose_an_event(state: State) -> None:
    marker = state.marker
    state.fold(state.events[:-1])
    state.marker = msgspec.structs.replace(marker, stream_time_ms=state.marker.stream_time_ms)


def count_an_event_twice(state: State) -> None:
    marker = state.marker
    plain = next(event for event in state.events if event.event_id is None and not event.negative)
    state.fold([*state.events, plain])
    state.marker = marker


def say_more_than_is_there(state: State) -> None:
    state.fold(state.events[:-3])
    state.marker = msgspec.structs.replace(state.marker, applied=state.records[-1].offset)


def lose_a_dead_letter(state: State) -> None:
    state.letters.pop()


def name_another_stream_time(state: State) -> None:
    state.marker = msgspec.structs.replace(state.marker, stream_time_ms=state.marker.stream_time_ms + 1)


@pytest.mark.parametrize(
    ("break_it", "tables"),
    [
        (change_a_row, {"popularity", "popularity, counted"}),
        (drop_a_row, {"co_view"}),
        (add_a_row, {"recent"}),
        (lose_an_event, {"recent"}),
        (count_an_event_twice, {"popularity", "popularity, counted"}),
        (say_more_than_is_there, {"popularity", "popularity, counted"}),
        (lose_a_dead_letter, {"dead letter"}),
        (name_another_stream_time, {"marker"}),
    ],
)
async def test_wrong_state_is_found(state: State, break_it: Callable[[State], None], tables: set[str]) -> None:
    break_it(state)
    await state.write()
    report = await verify(state.settings)
    assert report.exit_code == 1
    assert report.different >= len(report.differences) > 0
    assert len(report.differences) <= DIFFERENCES_SHOWN
    assert tables <= {difference.table for difference in report.differences}


async def test_store_and_changelog_are_compared_each_at_its_own_marker(state: State, tmp_path: Path) -> None:
    await state.write()
    half = len(state.records) // 2
    offsets = [record.offset for record in state.records]
    good = {event_offset(state, index) for index in range(len(state.events))}
    applied = max(offset for offset in good if offset <= offsets[half])
    events = [event for index, event in enumerate(state.events) if event_offset(state, index) <= applied]
    state.fold(events)
    state.marker = msgspec.structs.replace(state.marker, applied=applied)
    write_store(state, tmp_path)
    assert (await verify(state.settings, [tmp_path])).exit_code == 0


def event_offset(state: State, index: int) -> int:
    """Offset of the n-th good event."""
    refused = {int(key.rsplit(b"/", 1)[1]) for key, _, _ in state.letters}
    offsets: list[int] = [record.offset for record in state.records if record.offset not in refused]
    return offsets[index]


async def test_wrong_store_is_found(state: State, tmp_path: Path) -> None:
    await state.write()
    drop_a_row(state)
    write_store(state, tmp_path)
    report = await verify(state.settings, [tmp_path])
    assert report.different == 1
    assert report.differences[0].where.startswith(str(tmp_path))


@pytest.mark.parametrize("prefix", [b"p", b"s"])
async def test_wrong_published_value_is_found_when_asked_for(state: State, prefix: bytes) -> None:
    keys = [key for key in state.published if key[:1] == prefix]
    state.published[keys[0]] = state.published[keys[1]]
    await state.write()
    assert (await verify(state.settings)).exit_code == 0
    report = await verify(state.settings, published=True)
    assert {difference.table for difference in report.differences} == {"published"}


async def test_session_that_left_its_row_unpublished_is_found(state: State) -> None:
    assert state.left
    state.left.pop()
    await state.write()
    report = await verify(state.settings, published=True)
    assert [(difference.table, difference.found) for difference in report.differences] == [("published", ABSENT)]


async def test_published_session_that_never_was_is_found(state: State) -> None:
    state.published[b"snobody"] = state.left[0][1]
    await state.write()
    report = await verify(state.settings, published=True)
    assert [(difference.table, difference.wanted) for difference in report.differences] == [("published", ABSENT)]


async def test_record_behind_a_newer_owners_fence_is_found(state: State) -> None:
    await state.write()
    await state.changelog(FENCE_KEY, encode_fence(Fence(state.marker.version + 1, "heir")))
    await state.changelog(MARKER_KEY, encode_marker(state.marker))
    report = await verify(state.settings)
    assert report.exit_code == 1
    assert f"behind the fence of {state.marker.version + 1}" in str(report.differences[0])


async def test_marker_that_goes_back_is_found(state: State) -> None:
    later = state.marker
    state.marker = msgspec.structs.replace(state.marker, applied=later.applied + 1)
    await state.write()
    await state.changelog(MARKER_KEY, encode_marker(later))
    report = await verify(state.settings)
    assert "went back" in str(report.differences[0])


async def unknown(settings: Settings, data_dirs: Sequence[Path] = ()) -> str:
    """What a verification says when it can say nothing else."""
    report = await verify(settings, data_dirs)
    assert report.exit_code == 2, report
    return "\n".join(report.unknown)


async def test_log_that_begins_after_the_baseline_says_nothing(kafka: Any, state: State) -> None:
    await state.write()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(state.settings.topic("events"), 0): RecordsToDelete(5)})
    await admin.close()
    assert "now begins at 5" in await unknown(state.settings)


async def test_state_of_other_rules_says_which(state: State) -> None:
    await state.write()
    other = state.settings.model_copy(update={"recent_limit": 7})
    assert "recent_limit: found 50, wanted 7" in await unknown(other)


async def test_marker_of_another_topic_says_nothing(state: State) -> None:
    state.marker = msgspec.structs.replace(state.marker, source_id="0" * 32)
    await state.write()
    assert "made anew" in await unknown(state.settings)


async def test_store_of_another_changelog_says_nothing(state: State, tmp_path: Path) -> None:
    await state.write()
    write_store(state, tmp_path, changelog_id="0" * 32)
    assert "a changelog that was deleted" in await unknown(state.settings, [tmp_path])


async def test_store_that_is_being_restored_says_nothing(state: State, tmp_path: Path) -> None:
    await state.write()
    write_store(state, tmp_path, settled=False)
    assert "being restored" in await unknown(state.settings, [tmp_path])


async def test_folder_without_stores_says_nothing(state: State, tmp_path: Path) -> None:
    await state.write()
    assert "holds no partition" in await unknown(state.settings, [tmp_path])


async def test_app_without_topics_is_named(kafka: Any) -> None:
    with pytest.raises(NoSuchTopic, match=r"nobody\.events"):
        await verify(Settings(broker=kafka.bootstrap, app="nobody", partitions=1))
