from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient

from reco_stream.processes import allow_open_files
from tests.web.conftest import Server
from web.encoding import Answer
from web.server import Round, Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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


async def test_a_connection_stays_open_after_an_answer_at_once() -> None:
    app = web.Application()
    client = TestClient(QuickServer(app, {"/": lambda _: b"at once"}))
    await client.start_server()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    for pause_s in (0.0, 0.05, 0.3):  # the time for a head is 0.1 s
        await asyncio.sleep(pause_s)
        writer.write(HELLO)
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"at once")).startswith(b"HTTP/1.1 200 ")
    writer.write(HELLO[:10])
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await client.close()


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


class AnsweringServer(QuickServer):
    def __init__(self, app: web.Application) -> None:
        super().__init__(app, {"/": lambda query: b"now" if "wait" not in query else None})


@pytest.fixture
async def answering() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/", hello)
    client = TestClient(AnsweringServer(app))
    await client.start_server()
    assert client.port is not None
    yield client.port
    await client.close()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (HELLO, b"now"),
        (b"GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"now"),
        (b"GET /?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"hello"),  # the answer needs time
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"hello"),
        (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", b"hello"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", b"hello"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", b"hello"),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"hello"),
    ],
)
async def test_only_plain_questions_are_answered_at_once(answering: int, sent: bytes, body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", answering)
    # After an answer the server's end is certainly idle: a new one may not have begun to wait.
    writer.write(b"GET /?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"hello")
    writer.write(sent)
    assert (await reader.readuntil(body)).count(b"HTTP/1.") >= 1
    writer.close()


async def test_what_is_answered_at_once_has_the_head_of_any_other_answer(answering: int) -> None:
    async with ClientSession() as session:
        heads = []
        for path in ("/?wait=1", "/"):
            async with session.get(f"http://127.0.0.1:{answering}{path}") as response:
                body = await response.read()
                assert response.headers["Content-Length"] == str(len(body))
                heads.append((response.status, response.version, [*response.headers], response.headers["Server"]))
    assert [*map(sorted, (head[2] for head in heads))] == [["Content-Length", "Content-Type", "Date", "Server"]] * 2
    assert heads[0][0] == heads[1][0]
    assert heads[0][3] == heads[1][3]


async def test_requests_that_come_together_are_answered_in_their_order(answering: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", answering)
    asked = [b"GET /?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n", HELLO] * 40  # more than the parser hands over at a time
    writer.write(b"".join(asked))
    found = b""
    while found.count(b"HTTP/1.1 200 OK") < 80 or not found.endswith((b"hello", b"now")):
        found += await reader.read(65536)
    for _ in range(100):  # and afterwards one by one
        writer.write(HELLO)
        assert (await reader.readuntil(b"now")).startswith(b"HTTP/1.1 200 OK")
    writer.close()


class Taking:
    """Takes bodies, and answers when it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Callable[[Answer], None]]] = []
        self.takes = True

    def __call__(self, body: bytes, reply: Callable[[Answer], None]) -> bool:
        if self.takes:
            self.taken.append((body, reply))
        return self.takes

    async def wait(self, count: int) -> None:
        while len(self.taken) < count:
            await asyncio.sleep(0)


async def read_body(request: web.Request) -> web.Response:
    return web.Response(body=b"view:" + await request.read() + b";")


def post(body: bytes, more: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), more, body)


@pytest.fixture
async def taking() -> AsyncIterator[tuple[Taking, Runner, asyncio.StreamReader, asyncio.StreamWriter]]:
    """What takes, and a connection whose server's end is idle."""
    takes, app = Taking(), web.Application()
    app.router.add_route("*", "/", read_body)
    runner = Runner(app, takes={"/": takes})
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(HELLO)
    await reader.readuntil(b"view:;")
    yield takes, runner, reader, writer
    writer.close()
    await runner.cleanup()


Connected = tuple[Taking, Runner, asyncio.StreamReader, asyncio.StreamWriter]


async def test_a_body_that_is_taken_is_answered_later_and_the_connection_goes_on(taking: Connected) -> None:
    takes, _, reader, writer = taking
    for count, body in enumerate((b"a", b"b" * 60_000), 1):
        writer.write(post(body))
        await takes.wait(count)
        assert takes.taken[-1][0] == body
        await asyncio.sleep(0.01)
        takes.taken[-1][1](Answer(503, b"later", {"Retry-After": "1"}))
        head, _, _ = (await reader.readuntil(b"later")).decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        assert lines[:4] == [
            "HTTP/1.1 503 Service Unavailable",
            "Content-Type: application/json",
            "Retry-After: 1",
            "Content-Length: 5",
        ]
        assert [line.split(":")[0] for line in lines[4:]] == ["Date", "Server"]


async def test_what_comes_before_the_answer_is_answered_after_it(taking: Connected) -> None:
    takes, _, reader, writer = taking
    writer.write(post(b"a"))
    await takes.wait(1)
    for body in (b"b", b"c"):
        writer.write(post(body))
        await asyncio.sleep(0.01)
    takes.taken[0][1](Answer(202, b"taken;"))
    found = b""
    while found.count(b";") < 3:
        found += await reader.read(65536)
    assert [part.split(b"\r\n\r\n")[1] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"taken;", b"view:b;", b"view:c;"]
    writer.write(post(b"d"))
    await takes.wait(2)
    writer.write(post(b"e"))
    await asyncio.sleep(0.01)
    takes.taken[1][1](Answer(202, b"taken;"))
    await takes.wait(3)  # alone, it need not go through the view either
    takes.taken[2][1](Answer(202, b"more;"))
    await reader.readuntil(b"more;")


async def test_what_is_not_taken_goes_through_the_view_with_its_body(taking: Connected) -> None:
    takes, _, reader, writer = taking
    takes.takes = False
    for body in (b"a", b"b" * 1000):
        writer.write(post(body))
        await reader.readuntil(b"view:" + body + b";")


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (post(b"a", b"Connection: close\r\n"), b"view:a;"),
        (post(b"a", b"Expect: 100-continue\r\n"), b"view:a;"),
        (post(b"a").replace(b"HTTP/1.1", b"HTTP/1.0"), b"view:a;"),
        (post(b""), b"view:;"),
        (post(b"a").replace(b"POST", b"PUT"), b"view:a;"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b""),
    ],
)
async def test_only_whole_and_plain_bodies_are_taken(taking: Connected, sent: bytes, body: bytes) -> None:
    takes, _, reader, writer = taking
    writer.write(sent)
    await asyncio.sleep(0.01)
    writer.write(b"" if body else b"0\r\n\r\n")
    await reader.readuntil(body or b"view:a;")
    assert takes.taken == []


async def test_a_body_in_two_parts_goes_through_the_view(taking: Connected) -> None:
    takes, _, reader, writer = taking
    whole = post(b"ab")
    writer.write(whole[:-1])
    await asyncio.sleep(0.01)
    writer.write(whole[-1:])
    await reader.readuntil(b"view:ab;")
    assert takes.taken == []


async def test_what_was_taken_is_answered_when_the_server_stops(taking: Connected) -> None:
    takes, runner, reader, writer = taking
    writer.write(post(b"a"))
    await takes.wait(1)
    stopped = asyncio.create_task(runner.cleanup())
    await asyncio.sleep(0.05)
    assert not stopped.done()
    takes.taken[0][1](Answer(202, b"taken;"))
    assert (await reader.read()).endswith(b"taken;")
    await stopped


async def test_a_client_that_is_gone_does_not_disturb_the_answer(taking: Connected) -> None:
    takes, _, _, writer = taking
    writer.write(post(b"a"))
    await takes.wait(1)
    writer.close()
    await asyncio.sleep(0.05)
    takes.taken[0][1](Answer(202, b"taken;"))


async def test_a_request_that_waited_too_long_is_left_to_the_limits(
    answering: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.server.MAX_WAIT_S", -1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", answering)
    for _ in range(2):
        writer.write(HELLO)
        await reader.readuntil(b"hello")
    writer.close()


async def test_a_round_begins_with_the_first_who_is_read_and_ends_with_the_loop() -> None:
    turn = Round()
    began = turn.began_at()
    assert turn.began_at() == began > 0
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert turn.began_at() > began
