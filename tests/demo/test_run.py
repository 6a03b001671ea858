"""The demo as people run it: in a process of its own, against a real Kafka, with real workers."""

import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from reco_stream.demo import DemoError
from reco_stream.demo.run import Demo, State, ask_state, busiest_user
from reco_stream.events import RawEvent
from reco_stream.kafka_server import KafkaServer
from reco_stream.local_workers import Worker
from reco_stream.ports import free_ports, is_port_free
from reco_stream.sample_data import DAY_MS, SampleSize
from reco_stream.worker_api import ApiError

EVENTS = 2_000


def start(kafka: KafkaServer, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "reco_stream", "demo", "--events", str(EVENTS), "--folder", str(folder), *options]
    environment = {**os.environ, "RECO_BROKER": kafka.bootstrap, "RECO_PARTITIONS": "3", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_live(demo: subprocess.Popen[str]) -> str:
    """What the demo printed up to its live events."""
    text = ""
    assert demo.stdout is not None
    for line in demo.stdout:
        text += line
        if line.startswith("Live"):
            return text
    pytest.fail(f"no live events:\n{text}{demo.stderr.read() if demo.stderr else ''}")


def workers_of(demo: subprocess.Popen[str]) -> list[int]:
    """Process ids of the demo's workers."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, parent, command in rows if int(parent) == demo.pid and command.endswith("worker")]


def ports_in(text: str) -> list[int]:
    line = next(line for line in text.splitlines() if line.startswith("Workers"))
    return [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", line)]


def demo_topics(kafka: KafkaServer) -> set[str]:
    async def ask() -> set[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            return {topic for topic in await admin.list_topics() if re.match(r"demo-\d", topic)}
        finally:
            await admin.close()

    return asyncio.run(ask())


@pytest.mark.kafka
def test_once_prints_recommendations_and_leaves_nothing_behind(kafka: KafkaServer, tmp_path: Path) -> None:
    demo = start(kafka, tmp_path / "demo", "--once")
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 0, out + err
    assert f"Sent      {EVENTS:,} events" in out
    user = re.search(r"^(\S+) looked at lately$", out, re.MULTILINE)
    assert user is not None
    assert len(re.findall(r"^ +(?:\d+ (?:s|min|h|d) ago|now)  (?:view|click|cart|purchase|rating) ", out, re.M)) >= 3
    assert re.search(rf"^Recommended to {user[1]} \([\d.]+ ms, owner, model \w+\)$", out, re.MULTILINE)
    assert len(re.findall(r"^ +\d\. \S.+ \d\.\d{3}  \S", out, re.MULTILINE)) == 5
    assert len(ports_in(out)) == 2
    assert all(map(is_port_free, ports_in(out)))
    assert demo_topics(kafka) == set()


@pytest.mark.kafka
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_live_events_go_on_until_a_signal_stops_everything(
    kafka: KafkaServer, tmp_path: Path, how: signal.Signals
) -> None:
    demo = start(kafka, tmp_path / "demo")
    text = until_live(demo)
    assert len(workers_of(demo)) == 2
    demo.send_signal(how)
    out, err = demo.communicate(timeout=120)
    assert demo.returncode == 0, text + out + err
    assert "Stopping after" in out
    assert all(map(is_port_free, ports_in(text)))
    assert demo_topics(kafka) == set()


@pytest.mark.kafka
def test_a_dead_worker_ends_the_demo_with_its_log(kafka: KafkaServer, tmp_path: Path) -> None:
    demo = start(kafka, tmp_path / "demo")
    text = until_live(demo)
    os.kill(workers_of(demo)[0], signal.SIGKILL)
    _, err = demo.communicate(timeout=120)
    assert demo.returncode == 69
    assert re.search(
        r"^error: the worker on http://127\.0\.0\.1:\d+ was killed by signal 9; the end of \S+:$", err, re.M
    )
    assert all(map(is_port_free, ports_in(text)))
    assert demo_topics(kafka) == set()


def test_a_folder_is_for_one_demo_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DemoError, match="another demo runs in"):
            Demo(folder, SampleSize(events=10), once=True, say=print).run()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(DemoError, match="is not empty and no demo made it"):
        Demo(tmp_path, SampleSize(events=10), once=True, say=print).run()
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_a_demo_empties_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_BROKER", f"127.0.0.1:{free_ports(1)[0]}")
    folder = tmp_path / "demo"
    for old in ("", "worker-6066.log", "kafka"):
        with pytest.raises(Exception, match="bootstrap"):
            Demo(folder, SampleSize(events=10), once=True, say=print).run()
        assert [file.name for file in folder.iterdir()] == [".reco-demo"]
        (folder / "kafka").mkdir()
        (folder / "worker-6066.log").write_text(old)


def test_a_kafka_that_does_not_answer_stops_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_BROKER", f"127.0.0.1:{free_ports(1)[0]}")
    said: list[str] = []
    terminate = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Exception, match="bootstrap"):
        Demo(tmp_path / "demo", SampleSize(events=10), once=True, say=said.append).run()
    assert said[0].endswith("(from RECO_BROKER)")
    assert signal.getsignal(signal.SIGTERM) is terminate


class StandIn(Worker):
    """A worker that answers what it was made with; None: not at all."""

    def __init__(self, url: str) -> None:
        self.url = url

    def check(self) -> None:
        """It never ends."""


@pytest.fixture
def health(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], list[Worker]]:
    """Makes workers of what each shall answer to /health; an exception is raised."""

    def make(answers: dict[str, object]) -> list[Worker]:
        def get(url: str, path: str) -> object:
            answer = answers[url]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr("reco_stream.demo.run.get", get)
        return [StandIn(url) for url in answers]

    return make


def part(partition: int, applied: int, lag: int, running: bool = True) -> dict[str, object]:
    return {"partition": partition, "applied": applied, "lag_records": lag, "running": running}


def test_the_state_is_the_sum_over_workers(health: Callable[[dict[str, object]], list[Worker]]) -> None:
    workers = health(
        {
            "one": {"read_model_items": 7, "partitions": [part(0, 9, 1), part(1, -1, 0)]},
            "two": {"read_model_items": 5, "partitions": [part(2, 4, 2), part(3, 99, 0, running=False)]},
        }
    )
    assert ask_state(workers) == State(partitions=3, applied=15, lag=3, known_items=5)


def test_a_worker_that_does_not_answer_has_nothing(health: Callable[[dict[str, object]], list[Worker]]) -> None:
    workers = health(
        {"one": {"read_model_items": 7, "partitions": [part(0, 9, 0)]}, "two": ApiError("two", None, "timed out")}
    )
    assert ask_state(workers) == State(partitions=1, applied=10, lag=0, known_items=0)


def test_the_busiest_user_of_the_last_day_with_an_account() -> None:
    def event(user: str | None, item: str, time_ms: int) -> RawEvent:
        return RawEvent(item_id=item, event_type="view", user_id=user, session_id="s", timestamp=time_ms)

    old = [event("u1", f"i{n}", n) for n in range(9)]
    day = [event(None, f"i{n}", 3 * DAY_MS + n) for n in range(9)]
    day += [event("u2", "i1", 3 * DAY_MS + 10), event("u2", "i1", 3 * DAY_MS + 11)]
    day += [event("u4", "i1", 3 * DAY_MS + 12), event("u4", "i2", 3 * DAY_MS + 13)]
    day += [event("u3", "i3", 3 * DAY_MS + 14), event("u3", "i2", 3 * DAY_MS + 15)]
    assert busiest_user(old + day) == "u3"
    with pytest.raises(DemoError, match="no user"):
        busiest_user(day[:9])
