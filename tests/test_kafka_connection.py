"""A connection that breaks while it is written to is a KafkaError on uvloop too."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from reco_stream import kafka_connection
from reco_stream.kafka_connection import mend_connections


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
