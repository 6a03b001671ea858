"""The canary: what it does when it cannot measure. That it measures is tested with a whole worker, in test_app.py."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from reco_stream.canary import CanaryFailed, measure
from reco_stream.domain.canary_ids import PAIRS, is_canary, item_id, pair_of, user_id


def test_no_pair_comes_twice_before_all_have_come() -> None:
    pairs = {frozenset(pair_of(number)) for number in range(PAIRS)}
    assert len(pairs) == PAIRS
    assert all(len(pair) == 2 for pair in pairs)
    assert pair_of(PAIRS) == pair_of(0)


def test_ids_tell_canaries_from_others() -> None:
    assert is_canary(item_id("host-6066", 7))
    assert is_canary(user_id("host-6066", 7))
    assert not is_canary("canary")


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [(503, {"error": {}}, "status 503"), (202, {"accepted": 1}, "accepted 1 of 2")],
)
async def test_a_refusal_is_told(status: int, answer: dict[str, Any], why: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(app) as server:
        with pytest.raises(CanaryFailed, match=why):
            await measure(str(server.make_url("")).rstrip("/"), "t", rounds=1, pause_s=0.0)


async def test_no_worker_is_told(unused_tcp_port: int) -> None:
    with pytest.raises(CanaryFailed, match="ClientConnectorError"):
        await measure(f"http://127.0.0.1:{unused_tcp_port}", "t", rounds=1, pause_s=0.0)
