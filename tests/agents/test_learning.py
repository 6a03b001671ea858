"""Weights are learned from a sample of live events, and every worker ranks by the sum of all partitions."""

import json
from collections.abc import Iterator
from types import SimpleNamespace

from agents.events import EventProcessor
from agents.learning import Learning, PartitionLearning
from reco_stream.domain.canary_ids import user_id
from reco_stream.domain.partitioner import partition_of
from reco_stream.domain.recommender import Recommender, is_sampled
from reco_stream.engine.published import Stamp
from reco_stream.engine.table import MemoryRows
from reco_stream.events import Event
from reco_stream.settings import Settings
from tables.fold import fold_event
from tables.rules import TableRules
from tests.engine.python_rows import DictStore

NOW_MS = 1_700_000_000_000
GAP_MS = 1_800_000


class Clock:
    """One second later at each look, so that no sample is left out for coming too soon."""

    def __init__(self, step_s: float = 1.0) -> None:
        self.step_s, self.now_s = step_s, 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def learning(clock: Clock | None = None) -> Learning:
    """A ranker that knows 30 sessions of a, then b."""
    recommender = Recommender()
    for number in range(30):
        visits = [("a", "view", NOW_MS - 5_000), ("b", "view", NOW_MS - 4_000)]
        recommender.update_session(f"s{number}", visits, NOW_MS - 4_000)
    return Learning(recommender, GAP_MS, clock or Clock())


def visits(sampled: bool = True) -> Iterator[Event]:
    """People who look at a, then at b; the second event is part of the sample, or not."""
    number = found = 0
    while found < 20:
        number += 1
        second = Event(user=f"u{number}", item="b", type="view", time_ms=NOW_MS + 1_000, weight=1.0)
        if is_sampled(f"{second.user}/{second.time_ms}") is sampled:
            found += 1
            yield Event(user=f"u{number}", item="a", type="view", time_ms=NOW_MS, weight=1.0)
            yield second


def fold(shared: Learning, partition: int, sampled: bool = True) -> PartitionLearning:
    rows, one = MemoryRows(), shared.partition(partition)
    for event in visits(sampled):
        one.before(rows, event)
        fold_event(rows, event, TableRules())
    one.applied()
    return one


def stamp(applied: int) -> Stamp:
    return Stamp(1, applied, NOW_MS)


def test_what_is_learned_here_reaches_every_worker() -> None:
    here, there = learning(), learning()
    fold(here, partition=3)
    values = here.publishable(3, stamp(7))
    assert [key for key, _ in values] == [b"unseen", b"repeats"]
    assert here.publishable(3, stamp(8)) == []
    for key, value in values:
        there.take_in(3, key, value)
        there.take_in(3, key, value)  # a replay changes nothing
    learner = there.recommender.learners["unseen"]
    assert round(learner.samples) == 20
    assert learner.arms()["session_knn"].hit_rate > 0.99


def test_partitions_add_up_and_an_older_value_changes_nothing() -> None:
    here, there = learning(), learning()
    fold(here, partition=0)
    old = here.publishable(0, stamp(1))
    fold(here, partition=1)
    for partition, values in ((0, old), (1, here.publishable(1, stamp(5)))):
        for key, value in values:
            there.take_in(partition, key, value)
    for key, value in old:
        there.take_in(1, key, value)
    assert round(there.recommender.learners["unseen"].samples) == 40


def test_new_owner_goes_on_from_what_the_last_one_published() -> None:
    here, there = learning(), learning()
    fold(here, partition=2)
    for key, value in here.publishable(2, stamp(1)):
        there.take_in(2, key, value)
    assert round(there.partition(2).learners["unseen"].samples) == 20


def test_events_outside_the_sample_or_too_soon_ask_nothing() -> None:
    unsampled = learning()
    fold(unsampled, 0, sampled=False)
    assert unsampled.publishable(0, stamp(1)) == []
    hurried = learning(Clock(step_s=0.001))
    assert 0 < fold(hurried, 0).learners["unseen"].samples < 10


def test_canaries_teach_nothing() -> None:
    shared = learning()
    one = shared.partition(0)
    rows = MemoryRows()
    for number in range(200):
        event = Event(user=user_id("w", 1), item=f"i{number}", type="view", time_ms=NOW_MS + number, weight=1.0)
        one.before(rows, event)
        fold_event(rows, event, TableRules())
    one.applied()
    assert not one.changed


def test_questions_wait_the_longer_the_longer_they_take() -> None:
    """Each look at the clock takes 10 ms here, and so does each question: the next one waits for half a second."""
    slow = learning(Clock(step_s=0.01))
    fold(slow, 0)
    asked = slow.partition(0)
    rows = MemoryRows()
    for event in visits():
        asked.before(rows, event)
        fold_event(rows, event, TableRules())
    asked.applied()
    assert not asked.changed


def test_aborted_micro_batch_teaches_nothing() -> None:
    shared = learning()
    rows, one = MemoryRows(), shared.partition(0)
    for event in visits():
        one.before(rows, event)
        fold_event(rows, event, TableRules())
    one.aborted()
    one.applied()
    assert shared.publishable(0, stamp(1)) == []


def test_processor_asks_before_it_folds() -> None:
    shared = learning()
    first, second = next(zip(visits(), list(visits())[1:], strict=False))
    home = partition_of(first.user, 4)
    one = shared.partition(home)
    processor = EventProcessor(home, 4, Settings().event_rules(), TableRules(), one)
    rows = processor.rows_over(DictStore(), 1 << 20)
    rows.begin(0)
    for event in (first, second):
        assert processor.fold(rows, _record(event)) is None
    processor.applied()
    assert one.changed
    assert round(one.learners["unseen"].samples) == 1


def test_processor_leaves_events_of_the_sample_out_of_its_runs_while_a_question_may_be_put() -> None:
    for clock, left in ((Clock(), 0), (Clock(step_s=0.001), 1)):
        shared = learning(clock)
        sampled = next(event for event in visits() if event.item == "b")
        home = partition_of(sampled.user, 4)
        processor = EventProcessor(home, 4, Settings().event_rules(), TableRules(), shared.partition(home))
        rows = processor.rows_over(DictStore(), 1 << 20)
        rows.begin(0)
        assert processor.fold_plain(rows, [_record(sampled)], 0, 1) == 0
        rows.fold(sampled)
        processor.fold(rows, _record(sampled))  # a question, which the next one has to wait for
        assert processor.fold_plain(rows, [_record(sampled)], 0, 1) == left


def _record(event: Event) -> object:
    body = {"user_id": event.user, "item_id": event.item, "event_type": event.type, "timestamp": event.time_ms}
    return SimpleNamespace(
        key=event.user.encode(),
        value=json.dumps(body).encode(),
        timestamp=event.time_ms,
        topic="t",
        partition=0,
        offset=0,
    )
