"""Which Kafka the demo takes."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from reco_stream.demo import DemoError, broker
from reco_stream.demo.broker import choose_broker, delete_topics, docker_answers
from reco_stream.kafka_server import KafkaServer, running_pid
from reco_stream.settings import Settings
from reco_stream.topics import create_topics


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def silent(text: str) -> None:
    """Nobody listens."""


def test_a_given_kafka_is_used_and_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECO_BROKER", "kafka.example:9092")
    chosen = choose_broker(tmp_path, silent)
    assert (chosen.address, chosen.keeps_data) == ("kafka.example:9092", True)
    chosen.stop()


def test_docker_comes_next(only_path: Path, tmp_path: Path) -> None:
    program(only_path, "docker", f'echo "$@ port=$KAFKA_PORT" >> {tmp_path}/calls')
    chosen = choose_broker(tmp_path, silent)
    host, port = chosen.address.split(":")
    assert (host, chosen.keeps_data) == ("127.0.0.1", False)
    chosen.stop()
    compose = f"compose -p reco-demo -f {broker.COMPOSE_FILE}"
    assert (tmp_path / "calls").read_text().splitlines()[2:] == [
        f"{compose} up --detach --wait kafka port={port}",
        f"{compose} down --volumes port={port}",
    ]


@pytest.mark.parametrize("script", ["exit 1", '[ "$1" = info ]', "exec /nonexistent"])
def test_a_docker_that_does_not_answer_is_passed_over(only_path: Path, tmp_path: Path, script: str) -> None:
    program(only_path, "docker", script)
    assert not docker_answers()
    with pytest.raises(DemoError, match=r"java was not found: install Java 17 .* set RECO_BROKER") as failed:
        choose_broker(tmp_path, silent)
    assert "\n" not in str(failed.value)


def test_a_docker_that_fails_is_told_and_cleaned_up(only_path: Path, tmp_path: Path) -> None:
    program(
        only_path, "docker", f'echo "$@" >> {tmp_path}/calls; case $* in *up*) echo "port taken" >&2; exit 9;; esac'
    )
    with pytest.raises(DemoError, match="docker compose ended with code 9:\nport taken"):
        choose_broker(tmp_path, silent)
    assert (tmp_path / "calls").read_text().endswith("down --volumes\n")


@pytest.mark.kafka
def test_without_docker_it_is_a_local_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "docker_answers", lambda: False)
    said: list[str] = []
    chosen = choose_broker(tmp_path / "kafka", said.append)
    try:
        assert running_pid(tmp_path / "kafka") is not None
        assert "on this machine" in chosen.description
        assert len(said) == 1
    finally:
        chosen.stop()
    assert running_pid(tmp_path / "kafka") is None


@pytest.mark.kafka
async def test_topics_of_one_application_are_deleted(kafka: KafkaServer) -> None:
    mine, other = (Settings(broker=kafka.bootstrap, app=app, partitions=1) for app in ("demo-mine", "demo-other"))
    await create_topics(mine)
    await create_topics(other)
    await delete_topics(mine)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(60):
            while any(topic.startswith(mine.app) for topic in await admin.list_topics()):
                await asyncio.sleep(0.05)
        assert other.topic("events") in await admin.list_topics()
    finally:
        await admin.close()
