from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from reco_stream import metrics
from tests.web.conftest import Server
from web.limits import Limits
from web.middlewares import errors_in_our_form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[Limits], Awaitable[TestClient[web.Request, web.Application]]]


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    clients: list[TestClient[web.Request, web.Application]] = []

    async def started(limits: Limits) -> TestClient[web.Request, web.Application]:
        middlewares: Any = [errors_in_our_form, limits.middleware()]
        app = web.Application(middlewares=middlewares)
        app.router.add_route("*", "/{tail:.*}", echo)
        client = TestClient(Server(app))
        await client.start_server()
        clients.append(client)
        return client

    yield started
    for client in clients:
        await client.close()


def shed() -> float:
    return metrics.REGISTRY.get_sample_value("http_requests_shed_total") or 0.0


async def test_a_request_in_time_is_served(serve: Serve) -> None:
    client = await serve(Limits())
    response = await client.post("/x", data=b"body")
    assert (response.status, await response.read()) == (200, b"body")


async def test_a_request_that_waited_too_long_is_refused_and_told_when_to_come_back(serve: Serve) -> None:
    client, before = await serve(Limits(max_wait_s=-1.0)), shed()
    response = await client.get("/x")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert (await response.json())["error"]["code"] == "overloaded"
    assert shed() == before + 1
    assert (await client.get("/readyz")).status == 200  # an operator sees the worker all the same


async def test_only_so_many_requests_wait_at_a_time(serve: Serve) -> None:
    client = await serve(Limits(max_in_flight=1))
    arrived, sent = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        arrived.set()
        await sent.wait()
        yield b"b"

    first = asyncio.create_task(client.post("/x", data=slow()))
    await arrived.wait()
    while (response := await client.get("/x")).status == 200:  # the server may not have read the first one yet
        await asyncio.sleep(0)
    assert response.status == 503
    sent.set()
    assert await (await first).read() == b"ab"
    assert (await client.get("/x")).status == 200


async def test_a_body_that_does_not_arrive_is_given_up(serve: Serve) -> None:
    client = await serve(Limits(body_timeout_s=0.05))
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    answer = await reader.read()  # to the end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in answer
    writer.close()


async def test_a_body_that_is_no_chunks_is_refused(serve: Serve) -> None:
    client = await serve(Limits())
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    answer = await reader.readuntil(b"}}")
    assert answer[8:13] == b" 400 "
    assert b'"bad_request"' in answer
    writer.close()
