"""Every view against what it declares: requests made up from /openapi.json, good ones and bad ones, over real HTTP.

No answer may have a status that the document does not name, no 5xx but 503, and every body has the form declared.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.conftest import fuzzed_worker
from web import VIEWS
from web.openapi import document
from web.server import Runner

EXAMPLES = 8  # a route; 30 routes take 15 s on a quiet machine
SCHEMA = schemathesis.openapi.from_dict(document(VIEWS))
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A worker with some items and users, on a loop and a thread of its own: requests are made synchronously."""
    loop = asyncio.new_event_loop()

    async def start() -> tuple[Runner, str]:
        from aiohttp import web as aiohttp_web

        runner = Runner(fuzzed_worker().web.web_app)
        await runner.setup()
        await aiohttp_web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"

    runner, url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield url
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10.0)
    loop.close()


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
def test_no_request_gets_an_undocumented_answer(case: Any, base_url: str) -> None:
    response = case.call(base_url=base_url)
    assert response.status_code < 500 or response.status_code == 503, response.text
    case.validate_response(response, checks=CHECKS)
