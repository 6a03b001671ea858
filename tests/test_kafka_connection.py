"""A connection that breaks while it is written to is a KafkaError on uvloop too, and none is left open by anybody."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from reco_stream import kafka_connection
from reco_stream.engine.changelog import BrokerLink
from reco_stream.engine.read_model import ReadModelReader
from reco_stream.engine.recovery import changelog_reader
from reco_stream.engine.tasks import to_the_end
from reco_stream.kafka_connection import mend_connections
from reco_stream.producer import Producer


async def _write_after_the_end(send: Callable[..., Any]) -> None:
    """Sends a request on a connection whose transport is closed, as the loop does when the broker is gone."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port, request_timeout_ms=1000)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection._reader, connection._writer, connection._versions = reader, writer, {3: (0, 1)}
    connection._read_task = asyncio.create_task(reader.read())
    await connection._read_task
    writer.close()
    await writer.wait_closed()
    try:
        send(connection, MetadataRequest([]))
    finally:
        server.close()
        await server.wait_closed()


def on_uvloop(send: Callable[..., Any]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_write_after_the_end(send))


def test_aiokafka_still_needs_it() -> None:
    """When this fails, a new version has mended it by itself."""
    with pytest.raises(RuntimeError, match="closed"):
        on_uvloop(kafka_connection._send)


def test_a_broken_connection_is_a_kafka_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaConnection, "send", AIOKafkaConnection.send)  # put back at the end
    mend_connections()
    mend_connections()
    with pytest.raises(KafkaConnectionError, match=r"Connection at 127\.0\.0\.1:\d+ broken"):
        on_uvloop(AIOKafkaConnection.send)


# -- whoever is cancelled, wherever: no connection is left open --------------------------------------------------------


class CancelledAt:
    """Awaits `work`, and cancels the task that does so when it waits for the `nth` time; `met` once it has."""

    def __init__(self, work: Awaitable[None], nth: int) -> None:
        self._work = work
        self._left = nth
        self.met = False

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._work.__await__()
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                awaited = next(steps) if cancelled is None else steps.throw(cancelled)
            except StopIteration:
                return
            self._left -= 1
            if self._left == 0:
                self.met = task.cancel()
            cancelled = None
            try:
                yield awaited
            except asyncio.CancelledError as error:
                cancelled = error


Work = Callable[[str, str], Awaitable[None]]


async def bare_client(broker: str, topic: str) -> None:
    client = AIOKafkaClient(bootstrap_servers=broker)
    try:
        await client.bootstrap()
    finally:
        await client.close()


async def recovery(broker: str, topic: str) -> None:
    async with changelog_reader(TopicPartition(topic, 0), 0, {"bootstrap_servers": broker}) as reader:
        await reader.getmany(timeout_ms=1)


class Done(Exception):
    pass


class ReadOnce(ReadModelReader):
    async def _check_ready(self, consumer: AIOKafkaConsumer) -> None:
        raise Done


async def read_model(broker: str, topic: str) -> None:
    with suppress(Done):
        await ReadOnce({"bootstrap_servers": broker}, {topic: lambda *record: None}).run()


async def changelog(broker: str, topic: str) -> None:
    link = BrokerLink({"bootstrap_servers": broker}, [topic])
    try:
        await link.start()
    finally:
        await to_the_end(link.stop())  # as a worker that stops while it starts


async def producer(broker: str, topic: str) -> None:
    kafka = Producer({"bootstrap_servers": broker})
    try:
        await kafka.start()
    finally:
        await to_the_end(kafka.stop())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConnection]:
    """All connections that are made from now on, by clients that are mended."""
    monkeypatch.setattr(AIOKafkaConnection, "send", AIOKafkaConnection.send)
    mend_connections()
    found: list[AIOKafkaConnection] = []
    connect = AIOKafkaConnection.connect

    async def noted(self: AIOKafkaConnection) -> Any:
        found.append(self)
        return await connect(self)

    monkeypatch.setattr(AIOKafkaConnection, "connect", noted)
    return found


async def left_open(work: Work, broker: str, topic: str, opened: list[AIOKafkaConnection]) -> dict[int, int]:
    """Connections left open, by the place where `work` was cancelled: each place where it waits, in turn."""
    found: dict[int, int] = {}
    for nth in range(1, 100):
        opened.clear()
        cancelled = CancelledAt(work(broker, topic), nth)
        with suppress(asyncio.CancelledError):
            await asyncio.create_task(_wait_for(cancelled))
        if not cancelled.met:
            assert nth > 2
            return found
        still_open = [connection for connection in opened if connection.connected()]
        for connection in still_open:
            connection.close()
        if still_open:
            found[nth] = len(still_open)
    raise AssertionError("it never ended")


async def _wait_for(cancelled: CancelledAt) -> None:
    await cancelled


@pytest.mark.kafka
@pytest.mark.parametrize("work", [bare_client, recovery, read_model, changelog, producer])
async def test_cancelled_client_leaves_no_connection(work: Work, kafka: Any, opened: list[AIOKafkaConnection]) -> None:
    topic = f"t-{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    assert await left_open(work, kafka.bootstrap, topic, opened) == {}


@pytest.mark.kafka
async def test_aiokafka_still_leaves_one(
    kafka: Any, opened: list[AIOKafkaConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this fails, a new version has mended it by itself."""
    monkeypatch.setattr(AIOKafkaConnection, "send", kafka_connection._send)
    assert list((await left_open(bare_client, kafka.bootstrap, "", opened)).values()) == [1]
