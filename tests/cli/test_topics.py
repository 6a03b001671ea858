import uuid
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.kafka_server import KafkaServer
from reco_stream.ports import free_ports


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), arguments)


@pytest.fixture
def app_name(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("RECO_BROKER", kafka.bootstrap)
    monkeypatch.setenv("RECO_APP", name)
    monkeypatch.setenv("RECO_PARTITIONS", "2")
    return name


def words(text: str) -> Sequence[str]:
    return text.replace("│", " ").split()


@pytest.mark.kafka
def test_create_then_check(app_name: str) -> None:
    missing = reco("topics", "check")
    assert missing.exit_code == 78
    assert f"{app_name}.events" in words(missing.stderr)
    created = reco("topics", "create")
    assert created.exit_code == 0
    assert created.stdout.splitlines() == [
        f"created {app_name}.events (2 partitions)",
        f"created {app_name}-state-changelog (2 partitions)",
        f"created {app_name}.item-stats (2 partitions)",
        f"created {app_name}.sessions (2 partitions)",
        f"created {app_name}.items (2 partitions)",
        f"created {app_name}.vectors (2 partitions)",
        f"created {app_name}.models (2 partitions)",
        f"created {app_name}.dead-letters (1 partitions)",
        f"all 8 topics of {app_name} are as wanted",
    ]
    assert reco("topics", "check").exit_code == 0


@pytest.mark.kafka
def test_a_mismatch_is_a_table_and_exit_code_78(app_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reco("topics", "create")
    monkeypatch.setenv("RECO_PARTITIONS", "4")
    result = reco("topics", "create")
    assert result.exit_code == 78
    rows = [words(line) for line in result.stderr.splitlines()]
    assert [f"{app_name}.events", "partitions", "2", "4"] in rows
    assert len([row for row in rows if row[1:2] == ["partitions"]]) == 7


@pytest.mark.kafka
def test_a_refused_topic_is_exit_code_78(app_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_REPLICATION", "3")
    result = reco("topics", "create")
    assert result.exit_code == 78
    assert f"Kafka did not create topic {app_name}" in result.stderr


def test_no_kafka_is_exit_code_69(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("RECO_BROKER", broker)
    result = reco("topics", "check")
    assert result.exit_code == 69
    assert f"Kafka at {broker} does not answer" in result.stderr


@pytest.mark.parametrize("command", ["create", "check"])
def test_wrong_settings_are_exit_code_78(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_PARTITIONS", "many")
    result = reco("topics", command)
    assert result.exit_code == 78
    assert "RECO_PARTITIONS is 'many'; wanted: a valid integer" in result.stderr
