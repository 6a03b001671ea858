"""The whole worker, as a process of its own against a real Kafka: HTTP in, exact figures and recommendations out."""

import asyncio
import gc
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reco_stream.app import build_app, spare_the_garbage_collector
from reco_stream.canary import measure
from reco_stream.local_workers import Worker, wait_until_ready
from reco_stream.ports import free_ports
from reco_stream.settings import Settings
from reco_stream.settings_loader import load_settings
from reco_stream.topics import create_topics
from reco_stream.worker_api import get, post

pytestmark = pytest.mark.kafka

READY_WITHIN_S = 60.0
APPLIED_WITHIN_S = 20.0
PARTITIONS = 3


@pytest.fixture
def start_workers(kafka: Any, tmp_path: Path) -> Iterator[Callable[..., list[Worker]]]:
    """Starts workers of a new application, with settings of the test's own; all are stopped at its end."""
    started: list[Worker] = []

    def start(count: int, **environment: str) -> list[Worker]:
        environment = {
            "RECO_BROKER": kafka.bootstrap,
            "RECO_APP": f"app-{uuid.uuid4().hex[:8]}",
            "RECO_PARTITIONS": str(PARTITIONS),
            "RECO_CANARY_S": "0",
        } | environment
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            asyncio.run(create_topics(load_settings()))
        started.extend(Worker(port, tmp_path, {**os.environ, **environment}) for port in free_ports(count))
        wait_until_ready(started, READY_WITHIN_S)
        return started

    yield start
    for worker in started:
        worker.ask_to_stop()
    for worker in started:
        worker.stop()


def send(worker: Worker, *events: dict[str, Any]) -> Any:
    return post(worker.url, "/events", json.dumps(list(events)).encode())


def eventually(read: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first value that `wanted` accepts, or the last one read."""
    deadline = time.monotonic() + APPLIED_WITHIN_S
    while not wanted(found := read()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def view(user: str, item: str, kind: str = "view", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event_type": kind} | more


def test_two_workers_answer_as_one(start_workers: Callable[..., list[Worker]]) -> None:
    one, other = start_workers(2)
    users = [f"u{number}" for number in range(12)]
    answer = send(one, *[view(user, item) for user in users for item in ("lamp", "desk", f"own-{user}")])
    assert (answer["accepted"], answer["rejected"]) == (36, 0)
    check_counts_and_neighbours(one, users[0])
    check_counts_and_neighbours(other, users[0])


def check_counts_and_neighbours(worker: Worker, user: str) -> None:
    stats = eventually(lambda: get(worker.url, "/items/lamp/stats"), lambda found: found["total"]["events"] == 12)
    assert stats["total"] == {"events": 12, "weighted": 12.0, "by_type": {"view": 12}}
    assert sum(stats["applied"].values()) == 36 - PARTITIONS  # the last offset of each partition
    popular = eventually(lambda: get(worker.url, "/popular")["items"], lambda found: len(found) == 10)
    assert {entry["item_id"] for entry in popular[:2]} == {"lamp", "desk"}
    assert get(worker.url, "/items/lamp/similar", count=1)["items"][0]["item_id"] == "desk"
    recent = get(worker.url, f"/users/{user}/recent")["items"]
    assert {entry["item_id"] for entry in recent} == {f"own-{user}", "desk", "lamp"}


def test_unknown_user_gets_what_is_popular_and_hidden_items_stay_away(
    start_workers: Callable[..., list[Worker]],
) -> None:
    (worker,) = start_workers(1)
    send(worker, view("a", "lamp", "purchase"), view("b", "desk"), view("picky", "lamp", "hide"))

    def recommended(user: str) -> list[str]:
        found = get(worker.url, "/recommendations", user_id=user)["recommendations"]
        return [entry["item_id"] for entry in found]

    assert eventually(lambda: recommended("stranger"), lambda found: len(found) == 2) == ["lamp", "desk"]
    assert eventually(lambda: recommended("picky"), lambda found: "lamp" not in found) == ["desk"]


def test_after_a_token_the_answer_has_the_event_whichever_worker_is_asked(
    start_workers: Callable[..., list[Worker]],
) -> None:
    one, other = start_workers(2)
    for number in range(5):
        for worker in (one, other):
            token = send(one, view("me", f"item-{number}"), view("me", f"{number}-{worker.url[-4:]}"))["token"]
            found = get(worker.url, "/recommendations", user_id="me", after=token)
            assert found["source"] == "owner"
            assert found["freshness"]["after_applied"] is True
            recent = get(worker.url, "/users/me/recent")["items"]
            assert [entry["item_id"] for entry in recent[:2]] == [f"{number}-{worker.url[-4:]}", f"item-{number}"]


def test_same_event_id_counts_once_and_a_bad_event_names_its_field(start_workers: Callable[..., list[Worker]]) -> None:
    (worker,) = start_workers(1)
    answer = send(
        worker,
        view("a", "lamp", event_id="e1"),
        view("a", "lamp", event_id="e1"),
        view("a", "lamp", "stare"),
        view("a", "lamp", event_id="e2"),
    )
    assert (answer["accepted"], answer["rejected"]) == (3, 1)
    assert answer["results"][2]["error"]["field"] == "event_type"
    total = eventually(lambda: get(worker.url, "/items/lamp/stats")["total"], lambda found: found["events"] >= 2)
    assert total["events"] == 2


def test_a_canary_measures_and_is_seen_by_nobody(start_workers: Callable[..., list[Worker]]) -> None:
    (worker,) = start_workers(1)
    send(worker, view("a", "lamp"), view("b", "desk"))
    rounds = asyncio.run(measure(worker.url, "test", rounds=2, pause_s=0.0))
    assert all(0 < found.own_s < 20 and 0 < found.other_s < 20 for found in rounds)
    popular = eventually(lambda: get(worker.url, "/popular", window="all")["items"], lambda found: len(found) == 2)
    assert {entry["item_id"] for entry in popular} == {"lamp", "desk"}
    shown = get(worker.url, "/recommendations", user_id="a", count=100)["recommendations"]
    assert {entry["item_id"] for entry in shown} <= {"lamp", "desk"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_every_client_of_a_worker_speaks_sasl(
    kafka: Any, start_workers: Callable[..., list[Worker]], mechanism: str
) -> None:
    (name, password), *_ = kafka.users.items()
    (worker,) = start_workers(
        1,
        RECO_BROKER=kafka.sasl_bootstrap,
        RECO_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        RECO_KAFKA_SASL_MECHANISM=mechanism,
        RECO_KAFKA_SASL_USERNAME=name,
        RECO_KAFKA_SASL_PASSWORD=password,
    )
    send(worker, view("a", "lamp"), view("a", "desk"))
    similar = eventually(lambda: get(worker.url, "/popular", window="all")["items"], lambda found: len(found) == 2)
    assert {entry["item_id"] for entry in similar} == {"lamp", "desk"}
    assert get(worker.url, "/health")["status"] == "ok"
    assert password not in worker.log_file.read_text()


def test_the_garbage_collector_leaves_alone_what_was_loaded_at_start() -> None:
    before = gc.get_threshold()
    try:
        spare_the_garbage_collector()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def test_a_worker_that_is_stopped_before_it_has_started_just_ends(tmp_path: Path) -> None:
    app = build_app(Settings(data_dir=tmp_path))
    await app.on_stop()
    assert not app.engine.partitions
