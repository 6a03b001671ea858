"""`reco replay`: a log in a file goes to Kafka."""

import asyncio
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.cli.replay import print_report
from reco_stream.event_files import Refused, write_events, write_items
from reco_stream.kafka_server import KafkaServer
from reco_stream.ports import free_ports
from reco_stream.replay import ReplayReport
from reco_stream.sample_data import SampleSize, sample_events, sample_items

SIZE = SampleSize(events=3_000, users=40, items=50, days=2)


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


@pytest.fixture
def app_name(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"replay-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("RECO_BROKER", kafka.bootstrap)
    monkeypatch.setenv("RECO_APP", name)
    monkeypatch.setenv("RECO_PARTITIONS", "2")
    return name


def count(bootstrap: str, topic: str) -> int:
    async def ask() -> int:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
            partitions = [TopicPartition(topic, partition) for partition in (0, 1)]
            return sum((await consumer.end_offsets(partitions)).values())

    return asyncio.run(ask())


@pytest.mark.kafka
def test_events_and_items_go_to_their_topics(kafka: KafkaServer, app_name: str, tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv.gz", sample_events(SIZE, seed=1))
    write_items(tmp_path / "items.csv", sample_items(SIZE, seed=1))
    assert reco("topics", "create").exit_code == 0
    result = reco("replay", str(tmp_path / "events.csv.gz"), "--items", str(tmp_path / "items.csv"))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("sent 50 items\nsent 3,000 events in ")
    assert count(kafka.bootstrap, f"{app_name}.events") == 3_000
    assert count(kafka.bootstrap, f"{app_name}.items") == 50


@pytest.mark.kafka
def test_bad_lines_are_told_and_the_rest_goes_on(kafka: KafkaServer, app_name: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "user_id,item_id,event_type\nu1,i1,view\nu1,i1,addtocart\n,i2,view\nu2,i2,click\n"
    )
    assert reco("topics", "create").exit_code == 0
    result = reco("replay", str(tmp_path / "log.csv"))
    assert result.exit_code == 1
    assert result.stdout.startswith("sent 2 events")
    assert "refused 1 lines: unknown_type, such as line 3: event_type is 'addtocart'; wanted: one of" in result.stderr
    assert "refused 1 lines: missing_user, such as line 4: " in result.stderr
    assert count(kafka.bootstrap, f"{app_name}.events") == 2

    assert reco("replay", str(tmp_path / "log.csv"), "--from-line", "5").exit_code == 0
    assert count(kafka.bootstrap, f"{app_name}.events") == 3


@pytest.mark.kafka
def test_missing_topics_are_exit_code_78(app_name: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,event_type\n")
    result = reco("replay", str(tmp_path / "log.csv"))
    assert result.exit_code == 78
    assert f"{app_name}.events" in result.stderr


def test_no_kafka_is_exit_code_69(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_BROKER", f"127.0.0.1:{free_ports(1)[0]}")
    (tmp_path / "log.csv").write_text("user_id,item_id,event_type\n")
    assert reco("replay", str(tmp_path / "log.csv")).exit_code == 69


@pytest.mark.kafka
def test_a_file_of_another_form_is_exit_code_65(app_name: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("who,what\n")
    assert reco("topics", "create").exit_code == 0
    result = reco("replay", str(tmp_path / "log.csv"))
    assert result.exit_code == 65
    assert "the header is 'who,what'; wanted: also item_id" in result.stderr


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "inf", "nan"])
def test_a_bad_speed_is_refused(tmp_path: Path, speed: str) -> None:
    (tmp_path / "log.csv").touch()
    result = reco("replay", str(tmp_path / "log.csv"), "--speed", speed)
    assert result.exit_code == 2
    assert f"found '{speed}'; wanted: 'max' or a number above 0" in result.stderr


def test_a_failure_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    report = ReplayReport(sent=2_000, unanswered=30, first_unanswered=1_871, error="KafkaTimeoutError: ", seconds=4.0)
    report.refused["bad_id"] = 2
    report.examples["bad_id"] = Refused(9, "bad_id", "item_id has 0 bytes; wanted: 1 to 256")
    print_report(report, Path("log.csv"))
    out, err = capsys.readouterr()
    assert out == "sent 2,000 events in 4.0 s (500 events/s)\n"
    assert "refused 2 lines: bad_id, such as line 9: item_id has 0 bytes" in err
    assert "Kafka failed: KafkaTimeoutError" in err
    assert "reco replay log.csv --from-line 1871" in err
