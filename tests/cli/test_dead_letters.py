import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.cli.dead_letters import printable
from reco_stream.dead_letters import dead_letter_record
from reco_stream.events import BadEvent, Reason
from reco_stream.kafka_server import KafkaServer
from reco_stream.settings_loader import load_settings
from reco_stream.topics import create_topics

GOOD = b'{"user_id":"u1","item_id":"i1","event_type":"view"}'


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["dead-letters", *arguments])


@pytest.fixture
def events_topic(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The events topic of an application of its own."""
    monkeypatch.setenv("RECO_BROKER", kafka.bootstrap)
    monkeypatch.setenv("RECO_APP", f"letters-{uuid.uuid4().hex[:8]}")
    monkeypatch.setenv("RECO_PARTITIONS", "2")
    asyncio.run(create_topics(load_settings()))
    return load_settings().topic("events")


def bury(topic: str, offset: int, reason: Reason, key: bytes | None, value: bytes | None) -> None:
    record = ConsumerRecord(topic, 0, offset, 1_600_000_000_000, 0, key, value, None, 0, 0, headers=[])

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=load_settings().broker) as producer:
            letter_key, letter_value, headers = dead_letter_record(record, BadEvent(reason, f"[red]why {offset}\x1b"))
            topic = load_settings().topic("dead-letters")
            await producer.send_and_wait(topic, letter_value, key=letter_key, headers=headers)

    asyncio.run(send())


@pytest.mark.kafka
def test_list_show_replay(events_topic: str) -> None:
    bury(events_topic, 1, "wrong_partition", b"u1", GOOD)
    bury(events_topic, 2, "null_key", None, GOOD)
    bury(events_topic, 3, "not_utf8", b"u1", b"\xff\x1b")
    bury(events_topic, 3, "not_utf8", b"u1", b"\xff\x1b")
    sources = [f"{events_topic}/0/{offset}" for offset in (1, 2, 3)]

    listed = reco("list")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [row[:1] + row[2:] for row in rows] == [
        [sources[0], "wrong_partition", "open", str(len(GOOD)), r"[red]why 1\x1b"],
        [sources[1], "null_key", "open", str(len(GOOD)), r"[red]why 2\x1b"],
        [sources[2], "not_utf8", "open", "2", r"[red]why 3\x1b"],
    ]
    assert listed.stderr == "refused records: 3 (1 not_utf8, 1 null_key, 1 wrong_partition), shown: 3\n"
    assert reco("list", "--limit", "1").stdout.split("\t")[0] == sources[2]
    assert reco("list", "--reason", "null_key").stdout.split("\t")[0] == sources[1]

    shown = reco("show", sources[2])
    assert "__streams.errors.offset: 3\n" in shown.stdout
    assert shown.stdout.endswith("value: \\xff\\x1b\n")
    assert reco("show", sources[0]).stdout.endswith(f"value: {GOOD.decode()}\n")

    replayed = reco("replay")
    assert replayed.exit_code == 1
    assert replayed.stdout == "sent again: 1, still refused: 2\n"
    assert f"{sources[1]} is still refused: null_key: " in replayed.stderr
    rekeyed = reco("replay", sources[0], sources[1], "--rekey")
    assert (rekeyed.exit_code, rekeyed.stdout) == (0, "sent again: 1, still refused: 0\n")
    assert reco("list").stdout.split("\t")[0] == sources[2]
    states = [line.split("\t")[3] for line in reco("list", "--all").stdout.splitlines()]
    assert states == ["replayed", "replayed", "open"]


@pytest.mark.kafka
def test_an_unknown_source_is_named(events_topic: str) -> None:
    assert reco("list").stderr == "refused records: 0 (none), shown: 0\n"
    shown = reco("show", "x/0/0")
    assert (shown.exit_code, shown.stderr) == (
        1,
        "no dead letter of x/0/0; `reco dead-letters list --all` lists them\n",
    )
    replayed = reco("replay", "x/0/0")
    assert (replayed.exit_code, replayed.stderr) == (1, "no dead letter of x/0/0\n")


@pytest.mark.kafka
@pytest.mark.parametrize("command", [["list"], ["show", "x/0/0"], ["replay"]])
def test_a_missing_topic_is_exit_code_78(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("RECO_BROKER", kafka.bootstrap)
    monkeypatch.setenv("RECO_APP", "none-here")
    result = reco(*command)
    assert result.exit_code == 78
    assert "topic none-here.dead-letters does not exist" in result.stderr


def test_what_strangers_sent_cannot_steer_the_terminal() -> None:
    assert printable("é\x1b[31m\n".encode()) == r"é\x1b[31m\n"
    assert printable(b"\xff\n") == r"\xff\n"
