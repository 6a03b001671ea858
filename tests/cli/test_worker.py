"""`reco worker`: settings and topics are checked, then the worker runs."""

import asyncio
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner, Result

import reco_stream.app
from reco_stream.cli import build
from reco_stream.kafka_server import KafkaServer
from reco_stream.ports import free_ports
from reco_stream.settings import Settings


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which a worker was run; none really runs."""
    runs: list[Settings] = []
    monkeypatch.setattr(reco_stream.app, "run_worker", runs.append)
    return runs


@pytest.mark.kafka
def test_a_worker_runs_once_the_topics_are_there(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: list[Settings]
) -> None:
    monkeypatch.setenv("RECO_BROKER", kafka.bootstrap)
    monkeypatch.setenv("RECO_APP", f"worker-{uuid.uuid4().hex[:8]}")
    missing = reco("worker")
    assert missing.exit_code == 78
    assert "missing" in missing.stderr
    assert started == []

    assert reco("topics", "create").exit_code == 0
    result = reco("worker", "--web-port", "7077", "--data-dir", str(tmp_path))
    assert result.exit_code == 0, result.output
    (settings,) = started
    assert (settings.web_port, settings.data_dir) == (7077, tmp_path)


def test_wrong_settings_are_exit_code_78(monkeypatch: pytest.MonkeyPatch, started: list[Settings]) -> None:
    monkeypatch.setenv("RECO_RECENT_LIMIT", "none")
    result = reco("worker", "--web-port", "70000")
    assert result.exit_code == 78
    assert "RECO_WEB_PORT is 70000" in result.stderr
    assert "RECO_RECENT_LIMIT is 'none'" in result.stderr
    assert started == []


def test_no_kafka_is_exit_code_69(monkeypatch: pytest.MonkeyPatch, started: list[Settings]) -> None:
    monkeypatch.setenv("RECO_BROKER", f"127.0.0.1:{free_ports(1)[0]}")
    assert reco("worker").exit_code == 69
    assert started == []


@pytest.mark.kafka
def test_a_worker_that_stopped_is_taken_away_with_leave(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch, started: list[Settings]
) -> None:
    app = f"worker-{uuid.uuid4().hex[:8]}"
    for name, value in {"RECO_BROKER": kafka.bootstrap, "RECO_APP": app, "RECO_INSTANCE_ID": "reco-0"}.items():
        monkeypatch.setenv(name, value)
    assert reco("topics", "create").exit_code == 0
    asyncio.run(be_a_member_for_a_moment(Settings(broker=kafka.bootstrap, app=app), "reco-0"))
    first, second = reco("worker", "--leave"), reco("worker", "--leave")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "removed reco-0 from the group" in first.stdout
    assert "has no member reco-0" in second.stderr
    assert started == []


async def be_a_member_for_a_moment(settings: Settings, name: str) -> None:
    """A static member says nothing when it stops."""
    async with AIOKafkaConsumer(
        settings.topic("events"),
        bootstrap_servers=settings.broker,
        group_id=settings.state_name,
        group_instance_id=name,
    ):
        pass
