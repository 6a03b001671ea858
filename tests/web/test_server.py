from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from reco_stream.processes import allow_open_files
from tests.web.conftest import Server
from web.server import Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class QuickServer(Server):
    limits = {"head_timeout_s": 0.1}  # noqa: RUF012  # a test's constant


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/", hello)
    client = TestClient(QuickServer(app))
    await client.start_server()
    assert client.port is not None
    yield client.port
    await client.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_in_our_form_and_not_logged(
    port: int, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read()
    assert answer[8:13] == b" 400 "  # in HTTP/1.0, as nobody knows what the client speaks
    assert b'{"error":{"code":"bad_request"' in answer
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    writer.close()


async def test_a_head_that_does_not_end_is_cut_off(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_drops_of_a_head_do_not_win_time(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.create_task(reader.read())
    writer.write(b"GET / HTTP/1.1\r\n")
    while not ended.done():
        writer.write(b"A: b\r\n")
        await asyncio.sleep(0.01)
    assert b"200 OK" not in await ended
    writer.close()


async def test_a_connection_is_kept_between_requests(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(HELLO)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        await asyncio.sleep(0.15)  # longer than a head may take: nothing was begun
    writer.close()


async def test_many_idle_connections_do_not_starve_the_others(port: int) -> None:
    allow_open_files()  # as a worker does: both ends of each connection are ours here
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for _ in range(20):  # not all at once: the queue of connections to accept holds 128
        idle += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(100)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HELLO)
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
    for _, other in [*idle, (reader, writer)]:
        other.close()
        await other.wait_closed()


async def test_a_request_in_flight_is_finished_when_the_server_stops() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        began.set()
        await may_end.wait()
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", slow)
    runner = Runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HELLO)
    await began.wait()
    stopped = asyncio.create_task(runner.cleanup())
    assert await idle_reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    may_end.set()
    assert (await reader.read()).endswith(b"hello")
    await stopped
    writer.close()
    idle_writer.close()
