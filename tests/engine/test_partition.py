"""The life of one partition on fakes: what it recovers, refuses, applies and publishes."""

import asyncio

import pytest

from reco_stream.engine import partition as module
from reco_stream.engine.errors import Fenced, FingerprintMismatch, LogTruncated
from reco_stream.engine.marker import FENCE_KEY, MARKER_KEY, RULES_KEY, Marker, encode_marker
from reco_stream.engine.partition import Phase
from reco_stream.engine.published import unseal
from tests.engine.fakes import FakeDisk, MemoryStore
from tests.engine.partition_world import CHANGELOG, STATS, World, applied, events, published, row, until

# -- claim, fence, recover, prove, seek ------------------------------------------------------------------------------


async def test_new_partition_fences_proves_and_starts_at_the_logs_beginning(world: World) -> None:
    world.log = (3, 9)
    partition = await world.running(world.partition())
    keys = [record.key for record in world.broker.logs[CHANGELOG, 0].records]
    assert keys == [FENCE_KEY, RULES_KEY, MARKER_KEY]
    assert world.starts == [3]
    assert (partition.phase, partition.end_at_assignment) == (Phase.RUNNING, 9)
    marker = world.newest_marker()
    assert (marker.applied, marker.baseline, marker.fingerprint) == (2, 3, "rules")
    assert marker.source_id == "id of app.events"
    assert partition.marker == marker


async def test_restarted_partition_goes_on_behind_what_it_applied(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a", "b")
    await world.stopped()
    partition.store.close()
    again = await world.running(world.partition())
    assert (world.starts, world.restores, row(again)) == ([0, 2], [], b"ab")
    await applied(again, "c", first=2)
    assert row(again) == b"abc"


async def test_what_a_killed_process_held_is_read_from_the_changelog(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a")
    partition.store.flush()
    on_disk = partition.store.position
    await applied(partition, "b", first=1)
    await world.stopped()
    again = await world.running(world.partition())
    assert (world.starts, row(again)) == ([0, 2], b"ab")
    assert on_disk < world.restores[0][0]


async def test_lost_disk_is_restored_from_the_changelog(world: World) -> None:
    await applied(await world.running(world.partition()), "a", "b")
    await world.stopped()
    world.disk = FakeDisk()
    again = await world.running(world.partition())
    assert (world.starts, row(again)) == ([0, 2], b"ab")
    assert world.restores[-1][0] == world.restores[-1][1]


async def test_versions_grow_with_every_owner(world: World) -> None:
    versions = []
    for _ in range(3):
        await world.running(world.partition())
        versions.append(world.newest_marker().version)
        await world.stopped()
    assert versions == sorted(set(versions))


async def test_version_grows_even_when_the_broker_hands_out_a_lower_producer_id(world: World) -> None:
    await world.running(world.partition())
    first = world.newest_marker()
    await world.stopped()
    world.broker.forget("app-0")
    world.broker._next_id = 1
    await world.running(world.partition())
    second = world.newest_marker()
    assert second.producer_id < first.producer_id
    assert second.version > first.version


async def test_zombie_whose_producer_id_was_forgotten_is_fenced(world: World) -> None:
    zombie = await world.running(world.partition())
    await applied(zombie, "a")
    world.broker.forget("app-0")
    world.disk = FakeDisk()
    await world.running(world.partition())
    await zombie.submit(events("b", first=1))
    with pytest.raises(Fenced):
        await world.tasks[0]
    assert world.newest_marker().applied == 0


async def test_owner_fenced_while_it_recovers_never_runs(world: World) -> None:
    async def overtake(name: str) -> None:
        if name == "fetch":
            world.on_gate = None
            await world.append((FENCE_KEY, b"newer"))

    await applied(await world.running(world.partition()), "a")
    await world.stopped()
    world.disk, world.on_gate = FakeDisk(), overtake
    partition = world.partition()
    with pytest.raises(Fenced):
        await world.running(partition)
    assert partition.phase is Phase.RECOVERING


async def test_store_beyond_the_changelogs_end_is_built_anew(world: World, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(world.config.store_path(0), world.disk)
    store.open()
    store.write([(b"told", b"of another changelog")], 700)
    store.close()
    partition = await world.running(world.partition())
    assert row(partition, b"told") is None
    assert "is at changelog offset 700 and it lies beyond the changelog's end (0): building it anew" in caplog.text


async def test_other_rules_are_refused_with_what_differs(world: World) -> None:
    await applied(await world.running(world.partition()), "a")
    await world.stopped()
    other = world.partition(fingerprint="other", rules={"half life": "9 days", "window": "30 days"})
    with pytest.raises(FingerprintMismatch) as refused:
        await world.running(other)
    for said in (
        "partition 0 of app",
        "(half life: found 7 days, wanted 9 days; limit: found 100, wanted nothing; window: found nothing, wanted 30",
        "reco rebuild",
    ):
        assert said in str(refused.value)


@pytest.mark.parametrize(
    ("log", "what"),
    [((5, 50), "3 events that were not applied are gone"), ((0, 1), "the topic was made anew")],
    ids=["retention passed us", "log ends before us"],
)
async def test_log_without_the_next_event_is_refused(world: World, log: tuple[int, int], what: str) -> None:
    await applied(await world.running(world.partition()), "a", "b")
    await world.stopped()
    world.log = log
    with pytest.raises(LogTruncated, match=what):
        await world.running(world.partition())


async def test_truncated_log_is_skipped_when_allowed_and_the_marker_says_so_at_once(world: World) -> None:
    await applied(await world.running(world.partition()), "a", "b")
    await world.stopped()
    world.log = (5, 50)
    partition = await world.running(world.partition(truncated_log="skip"))
    assert (world.starts[-1], world.skipped, partition.marker.applied) == (5, 3, 4)


async def test_log_that_was_made_anew_is_known_by_its_id(world: World) -> None:
    await world.append((MARKER_KEY, encode_marker(Marker(applied=1, fingerprint="rules", source_id="another"))))
    with pytest.raises(LogTruncated, match="made anew"):
        await world.running(world.partition())


async def test_cached_rows_are_kept_when_nobody_else_has_written(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a")
    await world.stopped()
    await world.running(partition)
    reads = partition.store.get
    seen: list[bytes] = []
    partition.store.get = lambda key: seen.append(key) or reads(key)  # type: ignore[func-returns-value,method-assign]
    await applied(partition, "b", first=1)
    assert (row(partition), seen.count(b"tk")) == (b"ab", 1)  # read by this line, not by the fold


async def test_cached_rows_are_forgotten_when_another_owner_has_written(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a")
    await world.stopped()
    marker = Marker(applied=1, version=2 << 40, fingerprint="rules")
    await world.append((b"tk", b"aX"), (MARKER_KEY, encode_marker(marker)))
    await world.running(partition)
    await applied(partition, "c", first=2)
    assert row(partition) == b"aXc"


async def test_recovery_cancelled_after_its_last_row_leaves_no_old_row_in_the_cache(world: World) -> None:
    """The next assignment finds nothing left to restore, and must not take that for nothing foreign."""
    partition = await world.running(world.partition())
    await applied(partition, "a")
    await world.stopped()
    marker = Marker(applied=1, version=2 << 40, fingerprint="rules")
    await world.append((b"tk", b"aX"), (MARKER_KEY, encode_marker(marker)))
    bounds, asked = world.bounds, asyncio.Event()

    async def never(partition: int) -> tuple[int, int]:
        asked.set()
        await asyncio.Event().wait()
        return 0, 0

    world.bounds = never  # type: ignore[method-assign]
    world.tasks.append(asyncio.create_task(partition.own()))
    await asked.wait()
    await world.stopped()
    world.bounds = bounds  # type: ignore[method-assign]
    await world.running(partition)
    await applied(partition, "c", first=2)
    assert row(partition) == b"aXc"


async def test_checkpoint_cancelled_in_flight_is_recovered_or_folded_again(world: World) -> None:
    """Whether the batch got through or not: either way each event counts once."""
    for stage in (f"append to {CHANGELOG}", f"append to {CHANGELOG} answered"):
        partition = await world.running(world.partition())
        applied_before = partition.marker.applied
        stuck = asyncio.Event()

        async def hold(name: str, stage: str = stage, stuck: asyncio.Event = stuck) -> None:
            if name == stage:
                stuck.set()
                await asyncio.Event().wait()

        world.on_gate = hold
        await partition.submit(events("a", first=applied_before + 1))
        await stuck.wait()
        world.on_gate = None
        await world.stopped()
        await world.running(partition)
        if partition.marker.applied == applied_before:
            await applied(partition, "a", first=applied_before + 1)
        await world.stopped()
    assert world.changelog()[b"tk"] == b"aa"
    assert world.processor.aborts >= 2


# -- running ---------------------------------------------------------------------------------------------------------


async def test_batches_are_applied_in_order_and_observed(world: World) -> None:
    partition = await world.running(world.partition())
    for first, value in enumerate("abcd"):
        await partition.submit(events(value, first=first))
    await until(lambda: partition.marker.applied == 3)
    assert (row(partition), world.checkpoints) == (b"abcd", [1, 1, 1, 1])


async def test_refused_events_go_to_the_dead_letters(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a", "bad", "b")
    assert (row(partition), world.rejected) == (b"ab", [1])


async def test_no_more_than_two_batches_wait(world: World) -> None:
    stuck = asyncio.Event()

    async def hold(name: str) -> None:
        if "answered" in name:
            await stuck.wait()

    partition = await world.running(world.partition())
    world.on_gate = hold
    has_room = [partition.has_room]
    for first in range(3):
        await partition.submit(events("a", first=first))
        await asyncio.sleep(0)
    has_room.append(partition.has_room)
    assert has_room == [True, False]
    waiting = asyncio.create_task(partition.submit(events("a", first=3)))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    stuck.set()
    await waiting
    await until(lambda: partition.marker.applied == 3)


async def test_gap_left_by_retention_is_noticed_while_running(world: World) -> None:
    partition = await world.running(world.partition(truncated_log="skip"))
    await applied(partition, "a")
    world.log = (5, 50)
    await applied(partition, "b", first=6)
    assert (world.skipped, row(partition)) == (4, b"ab")


async def test_gap_left_by_retention_stops_the_partition_unless_allowed(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a")
    world.log = (5, 50)
    await partition.submit(events("b", first=5))
    with pytest.raises(LogTruncated, match="4 events"):
        await world.tasks[-1]


async def test_gap_inside_the_log_is_no_loss(world: World) -> None:
    """A producer's transaction leaves control records, which nobody is given."""
    partition = await world.running(world.partition())
    await applied(partition, "a")
    await applied(partition, "b", first=2)
    assert (world.skipped, row(partition)) == (0, b"ab")


async def test_idle_owner_rewrites_its_marker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the broker forgets its epoch after a day, and with it whom it has fenced."""
    monkeypatch.setattr(module, "IDLE_MARKER_S", 0.01)
    partition = await world.running(world.partition())
    await applied(partition, "a")
    end = world.broker.logs[CHANGELOG, 0].end
    await until(lambda: world.broker.logs[CHANGELOG, 0].end > end + 2)
    assert world.newest_marker().applied == 0
    assert world.checkpoints == [1], "an idle marker is no checkpoint of events"
    await applied(partition, "b", first=1)
    assert row(partition) == b"ab"


# -- publication -----------------------------------------------------------------------------------------


async def test_changed_rows_are_published_while_it_runs(world: World) -> None:
    partition = await world.running(world.partition())
    world.tasks.append(asyncio.create_task(partition.publish_forever()))
    await applied(partition, "a")
    await until(lambda: published(world) == {b"tk": b"a"})
    stamp, _ = unseal(world.broker.logs[STATS, 0].last_values()[b"tk"])
    assert (stamp.version, stamp.applied) == (partition.marker.version, 0)


async def test_what_a_crash_left_unpublished_is_published_by_the_next_owner(world: World) -> None:
    await applied(await world.running(world.partition()), "a")
    await world.stopped()
    again = await world.running(world.partition())
    world.tasks.append(asyncio.create_task(again.publish_forever()))
    await until(lambda: published(world) == {b"tk": b"a"})


async def test_what_was_published_is_not_published_again_after_the_next_checkpoint(world: World) -> None:
    partition = await world.running(world.partition())
    await applied(partition, "a")
    assert partition.publisher is not None
    await partition.publisher.flush()
    await partition.submit(events("b", first=1, key="other"))
    await until(lambda: partition.marker.applied == 1)
    await world.stopped()
    again = await world.running(world.partition())
    assert again.publisher is not None
    assert list(again.publisher._pending) == [b"tother"]
