from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from web.forward import HOPS_HEADER, Forwarder, was_forwarded


class Peer:
    """Another worker: remembers what it was sent, and drops the first `drops` connections."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes, Mapping[str, str]]] = []
        self.drops = 0
        self.hangs = False

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((request.method, request.raw_path, body, request.headers))
        if self.hangs:
            await asyncio.Event().wait()
        if self.drops:
            self.drops -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=b'{"ok":1}', status=201, content_type="application/json")


@pytest.fixture
async def peer() -> AsyncIterator[tuple[Peer, str]]:
    peer = Peer()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", peer.handle)
    server = TestServer(app)
    await server.start_server()
    yield peer, str(server.make_url("")).rstrip("/")
    await server.close()


@pytest.fixture
async def forwarder() -> AsyncIterator[Forwarder]:
    forwarder = Forwarder()
    yield forwarder
    await forwarder.close()


async def test_method_body_query_and_chosen_headers_are_sent_on(peer: tuple[Peer, str], forwarder: Forwarder) -> None:
    other, url = peer

    async def handle(request: web.Request) -> web.Response:
        reply = await forwarder.forward(request, url)
        assert reply is not None
        return reply.response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    client = TestClient(TestServer(app))
    await client.start_server()
    headers = {"X-Request-Id": "r1", "Authorization": "secret", "Content-Type": "application/json"}
    response = await client.put("/a%2Fb?q=%26x", data=b"body", headers=headers)
    assert (response.status, await response.read(), response.content_type) == (201, b'{"ok":1}', "application/json")
    await client.close()
    [(method, path, body, sent)] = other.seen
    assert (method, path, body) == ("PUT", "/a%2Fb?q=%26x", b"body")
    assert (sent[HOPS_HEADER], sent["X-Request-Id"], sent["Content-Type"]) == ("1", "r1", "application/json")
    assert "Authorization" not in sent


@pytest.mark.parametrize(("drops", "status"), [(1, 201), (2, None)])
async def test_a_broken_connection_is_tried_once_more(
    peer: tuple[Peer, str], forwarder: Forwarder, drops: int, status: int | None
) -> None:
    other, url = peer
    other.drops = drops
    reply = await forwarder.ask("GET", url, "/x")
    assert (reply.status if reply is not None else None) == status
    assert len(other.seen) == 2


async def test_what_may_have_been_received_is_not_repeated(peer: tuple[Peer, str], forwarder: Forwarder) -> None:
    other, url = peer
    other.drops = 1
    assert await forwarder.ask("POST", url, "/x", body=b"{}") is None
    assert len(other.seen) == 1


async def test_a_worker_that_hangs_is_given_up(peer: tuple[Peer, str]) -> None:
    other, url = peer
    other.hangs = True
    forwarder = Forwarder(timeout_s=0.05)
    assert await forwarder.ask("GET", url, "/x") is None
    assert len(other.seen) == 1
    await forwarder.close()


async def test_a_worker_that_is_gone_is_no_error(forwarder: Forwarder, unused_tcp_port: int) -> None:
    assert await forwarder.ask("GET", f"http://127.0.0.1:{unused_tcp_port}", "/x") is None
    assert await forwarder.ask("GET", "no url at all", "/x") is None


async def test_a_dead_worker_does_not_fill_the_log(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    forwarder = Forwarder(clock=lambda: now)
    for time_s, lines in ((100.0, 1), (100.9, 1), (101.0, 2)):
        now = time_s
        await forwarder.ask("GET", f"http://127.0.0.1:{unused_tcp_port}", "/x")
        assert caplog.text.count("did not answer") == lines
    await forwarder.close()


async def test_a_silent_worker_is_asked_once_in_half_a_second(peer: tuple[Peer, str]) -> None:
    other, url = peer
    other.hangs = True
    now = 100.0
    forwarder = Forwarder(timeout_s=0.02, clock=lambda: now)
    for time_s, asked in ((100.0, 1), (100.0, 2), (100.1, 2), (100.4, 2), (100.6, 3), (100.7, 3)):
        now = time_s
        assert await forwarder.ask("GET", url, "/x") is None
        assert len(other.seen) == asked
    other.hangs = False
    now = 101.2
    assert await forwarder.ask("GET", url, "/x") is not None
    assert await forwarder.ask("GET", url, "/x") is not None
    await forwarder.close()


async def test_a_worker_that_refuses_connections_is_asked_again_at_once(
    forwarder: Forwarder, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    for _ in range(4):
        assert await forwarder.ask("GET", url, "/x") is None
    app = web.Application()
    app.router.add_get("/x", Peer().handle)
    server = TestServer(app, port=unused_tcp_port)
    await server.start_server()
    assert await forwarder.ask("GET", url, "/x") is not None
    await server.close()


async def test_closing_twice_is_fine(peer: tuple[Peer, str], forwarder: Forwarder) -> None:
    await forwarder.ask("GET", peer[1], "/x")
    await forwarder.close()
    await forwarder.close()


def test_the_hop_header_marks_a_forwarded_request() -> None:
    assert was_forwarded(make_mocked_request("GET", "/", headers={HOPS_HEADER: "1"}))
    assert not was_forwarded(make_mocked_request("GET", "/"))
