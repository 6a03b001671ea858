"""The local Kafka: real servers, started, stopped and killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from reco_stream.kafka_server import KafkaServer, KafkaServerError, running_bootstrap, running_pid

pytestmark = pytest.mark.kafka


async def create(topic: str, **client: Any) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def send(topic: str, value: bytes, **client: Any) -> None:
    async with AIOKafkaProducer(acks="all", **client) as producer:
        await producer.send_and_wait(topic, value)


async def read(topic: str, count: int, **client: Any) -> list[bytes | None]:
    async with AIOKafkaConsumer(group_id=None, auto_offset_reset="earliest", **client) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]


def test_data_survives_stop_and_kill(tmp_path: Path) -> None:
    settings = {"broker.session.timeout.ms": "1000"}  # so long one that was killed is taken to be there; 9 s by default
    with KafkaServer(tmp_path / "kafka", settings=settings, die_with_parent=True) as server:
        client = {"bootstrap_servers": server.bootstrap}
        asyncio.run(create("kept", **client))
        asyncio.run(send("kept", b"1", **client))
        server.stop()
        assert not server.alive
        server.start()
        asyncio.run(send("kept", b"2", **client))
        server.kill()
        assert not server.alive
        server.start()
        assert asyncio.run(read("kept", 2, **client)) == [b"1", b"2"]
    assert [path.name for path in tmp_path.iterdir()] == ["kafka"]


def test_another_process_sees_and_stops_a_server(tmp_path: Path) -> None:
    with KafkaServer(tmp_path, die_with_parent=True) as server:
        other = KafkaServer(tmp_path)
        assert other.alive
        assert other.pid == server.pid == running_pid(tmp_path)
        assert running_bootstrap(tmp_path) == server.bootstrap
        other.start()  # nothing to do
        assert other.pid == server.pid
        os.kill(server.pid or 0, signal.SIGSTOP)  # a frozen server can be stopped too
        other.stop()
        assert not server.alive
    assert running_pid(tmp_path) is None
    assert running_bootstrap(tmp_path) is None


def test_a_foreign_process_id_is_not_taken_for_the_server(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text(f'{{"pid": {os.getpid()}, "bootstrap": "127.0.0.1:1"}}')
    assert running_pid(tmp_path) is None
    KafkaServer(tmp_path).stop()  # must not end this test run


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_sasl_users_get_in_and_others_do_not(kafka: KafkaServer, mechanism: str) -> None:
    client = {
        "bootstrap_servers": kafka.sasl_bootstrap,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "reco",
        "sasl_plain_password": kafka.users["reco"],
    }
    topic = f"sasl-{mechanism}"
    await create(topic, **client)
    await send(topic, b"hello", **client)
    assert await read(topic, 1, **client) == [b"hello"]
    stranger = AIOKafkaProducer(**client | {"sasl_plain_password": "guess"})
    with pytest.raises(KafkaConnectionError):
        await stranger.start()
    await stranger.stop()


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path, settings={"listeners": "NONSENSE://127.0.0.1:1"}, die_with_parent=True)
    with pytest.raises(KafkaServerError, match=r"(?s)formatting .* failed.*NONSENSE"):
        server.start()
    late = KafkaServer(tmp_path / "late", settings={"num.io.threads": "0"}, die_with_parent=True)
    (tmp_path / "late" / "data").mkdir(parents=True)
    (tmp_path / "late" / "data" / "meta.properties").touch()  # as if formatted, so that the server itself is reached
    with pytest.raises(KafkaServerError, match=r"(?s)Kafka ended while starting:.*num.io.threads"):
        late.start()


def test_a_server_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path, die_with_parent=True)
    with pytest.raises(KafkaServerError, match=r"was not ready after 0 s"):
        server.start(timeout_s=0)
    assert not server.alive


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from reco_stream.kafka_server import KafkaServer
KafkaServer(Path({str(tmp_path)!r}), die_with_parent=True).start()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    server = KafkaServer(tmp_path)
    assert (tmp_path / "running.json").exists()
    while server.alive:  # SIGKILL is on its way
        os.sched_yield()
    assert not server.alive


@pytest.mark.parametrize(("name", "password"), [('a"b', "x"), ("a", 'x";'), ("", "x"), ("a b", "x")])
def test_a_user_that_would_break_the_file_is_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ValueError, match=r"must be of letters, digits"):
        KafkaServer(tmp_path, users={name: password}).properties()
