"""What `reco evaluate` ranks by is what a worker ranks by: in one process, and against a worker on a real Kafka."""

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reco_stream.domain.context import Context
from reco_stream.domain.recommender import Recommender
from reco_stream.evaluation.log import Logged
from reco_stream.evaluation.run import world_of
from reco_stream.evaluation.systems import OURS, World
from reco_stream.evaluation.time_travel import Plan, TimeTravel
from reco_stream.evaluation.topic import read_topic
from reco_stream.evaluation.worker_tables import WorkerTables
from reco_stream.event_files import Line
from reco_stream.events import RawEvent, encode_event
from reco_stream.local_workers import Worker, wait_until_ready
from reco_stream.ports import free_ports
from reco_stream.replay import open_producer, replay
from reco_stream.settings import Settings
from reco_stream.settings_loader import load_settings
from reco_stream.topics import create_topics
from reco_stream.worker_api import post
from tables.rules import TableRules
from tests.evaluation.logs import START_MS, chained_log

CONTEXTS = 200
PARTITIONS = 3
EQUAL_WITHIN_S = 15.0
WEIGHTS = {
    "unseen": {"session_knn": 0.7, "sequence": 0.4, "rules": 0.2, "co_view": -0.3, "transitive": 0.1, "freshness": 0.2},
    "repeats": {"session_knn": 0.9, "rules": 0.3, "support": 0.1, "repeat_newest": -1.0, "repeat_any": 0.5},
}


def tables(recommender: Recommender, with_items: bool = True) -> WorkerTables:
    return WorkerTables(recommender, TableRules(), {"cart": 5.0}, with_items)


def seen(item: str, second: int, kind: str = "view", user: str = "u", named: str | None = None) -> Logged:
    return Logged(f"{user}/{named}", user, item, kind, START_MS + second * 1_000, named)


def test_a_session_is_indexed_as_it_is_published() -> None:
    recommender = Recommender()
    tables(recommender).apply([seen("a", 0), seen("b", 1), seen("a", 2), seen("c", 1_700), seen("d", 9_000)])
    index = recommender.index
    assert sorted(index.items_of(key) for key in index.session_keys()) == [["b", "a", "c"], ["d"]]
    assert sorted(index.session_keys()) == [f"u\0{START_MS}\0", f"u\0{START_MS + 9_000_000}\0"]


def test_named_sessions_of_one_user_stay_apart() -> None:
    recommender = Recommender()
    tables(recommender).apply([seen("a", 0, named="s1"), seen("b", 1, named="s2"), seen("c", 2, named="s1")])
    assert sorted(map(recommender.index.items_of, recommender.index.session_keys())) == [["a", "c"], ["b"]]


def test_items_count_by_the_weight_of_the_type() -> None:
    found = tables(Recommender())
    found.apply([seen("a", 0), seen("b", 1, "cart")])
    assert found.items.popular("all", START_MS + 9_000, 5, frozenset()) == [("b", 5.0), ("a", 1.0)]
    assert [pair.item for pair in found.items.neighbours("a", START_MS + 9_000, 5)] == ["b"]


def test_items_stay_empty_unless_wanted() -> None:
    found = tables(Recommender(), with_items=False)
    found.apply([seen("a", 0), seen("b", 1)])
    assert len(found.items) == 0


def test_users_are_divided_among_partitions_and_added_up_again() -> None:
    events = chained_log(100)
    one, four = (WorkerTables(Recommender(), TableRules(), {}, True, partitions) for partitions in (1, 4))
    for found in (one, four):
        found.apply(events)
    now_ms = events[-1].time_ms
    assert four.items.popular("all", now_ms, 50, frozenset()) == one.items.popular("all", now_ms, 50, frozenset())
    assert len({partition for partition, rows in enumerate(four._rows) if rows.stream_time_ms}) == 4


# -- against a worker -------------------------------------------------------------------------------------------------


class Replayed(NamedTuple):
    """A worker that has taken in a log, and the settings that it has."""

    settings: Settings
    worker: Worker


def lines() -> Iterator[Line]:
    """Repeats, several types, sessions with and without names, some longer than 50 items; the last item is new."""
    kinds = random.Random(3)
    log = chained_log(450, items=120, seed=3)
    log.append(Logged("s-last", "u-last", "finale", "view", log[-1].time_ms + 1_000))
    for number, event in enumerate(log, start=1):
        raw = RawEvent(
            item_id=event.item,
            event_type=kinds.choice(["view", "view", "view", "cart", "purchase"]),
            user_id=event.user,
            session_id=event.session if int(event.session.strip("s-lat") or 0) % 3 else None,
            timestamp=event.time_ms,
        )
        yield Line(number, *encode_event(raw), event.time_ms)


@pytest.fixture
def replayed(kafka: Any, tmp_path: Path) -> Iterator[Replayed]:
    environment = {
        "RECO_BROKER": kafka.bootstrap,
        "RECO_APP": f"equal-{uuid.uuid4().hex[:8]}",
        "RECO_PARTITIONS": str(PARTITIONS),
        "RECO_TIME": "stream",
        "RECO_CANARY_S": "0",
        "RECO_FUSION_WEIGHTS": json.dumps(WEIGHTS),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
    asyncio.run(send(settings))
    (port,) = free_ports(1)
    worker = Worker(port, tmp_path, {**os.environ, **environment})
    try:
        wait_until_ready([worker], 60.0)
        yield Replayed(settings, worker)
    finally:
        worker.stop()


async def send(settings: Settings) -> None:
    await create_topics(settings)
    async with open_producer(settings) as producer:
        assert (await replay(producer, settings.topic("events"), lines())).complete


@pytest.mark.kafka
def test_online_equals_offline(replayed: Replayed) -> None:
    """Once everything is published, 200 random contexts get the same lists online as from `reco evaluate`."""
    log = asyncio.run(read_topic(replayed.settings)).log
    world = world_of(replayed.settings, (OURS,))
    TimeTravel(log.events, world, Plan(test_from=len(log.events))).run()
    contexts = random_contexts(sorted({event.item for event in log.events}))
    wanted = [offline(world, items, bool(number % 2), log.events[-1].time_ms) for number, items in contexts]
    deadline = time.monotonic() + EQUAL_WITHIN_S
    while (found := answers(replayed.worker, contexts)) != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == wanted
    assert len(log.events) > 1_500
    assert sum(len(answer) == 20 for answer in wanted) > 0.9 * CONTEXTS
    assert len({tuple(answer) for answer in wanted}) > 0.9 * CONTEXTS


def random_contexts(items: list[str]) -> list[tuple[int, list[str]]]:
    chance = random.Random(5)
    names = [*items, "never seen"]
    return [(number, chance.choices(names, k=chance.randint(1, 12))) for number in range(CONTEXTS)]


def offline(world: World, items: list[str], exclude_seen: bool, now_ms: int) -> list[str]:
    context = Context.of([(item, "view", now_ms) for item in items], now_ms, session_gap_ms=1)
    return world.systems[OURS](context, 20, frozenset(items) if exclude_seen else frozenset())


def answers(worker: Worker, contexts: list[tuple[int, list[str]]]) -> list[list[str]]:
    return [asked(worker, items, bool(number % 2)) for number, items in contexts]


def asked(worker: Worker, items: list[str], exclude_seen: bool) -> list[str]:
    question = {"items": items, "count": 20, "exclude_seen": exclude_seen}
    found = post(worker.url, "/recommendations/session", json.dumps(question).encode())["recommendations"]
    return [entry["item_id"] for entry in found]
