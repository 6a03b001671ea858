"""docs/http-api.md: every command on the page works, and every route is on it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.web.conftest import Worker

from reco_stream.catalogue import Item, encode_item
from web import VIEWS
from web.events import EXAMPLE

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()
WRONG_ON_PURPOSE = "/popular?count=0"


class Call(NamedTuple):
    method: str
    path: str
    data: str | None


def call_of(command: str) -> Call:
    """Returns what `curl -s URL [-X METHOD] [-d DATA]` asks for."""
    words = shlex.split(command)
    assert words[:2] == ["curl", "-s"]
    data = words[words.index("-d") + 1] if "-d" in words else None
    path = words[2].removeprefix("localhost:6066")
    assert path.startswith("/")
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if data is not None else "GET"
    return Call(method, path, data)


REINDEX = Call("POST", "/admin/reindex", None)
COMMANDS = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
EXAMPLES = [example for view in VIEWS for operation in view.operations.values() for example in operation.examples]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8
    assert EXAMPLE in EXAMPLES


@pytest.mark.parametrize("command", [*COMMANDS, *EXAMPLES])
async def test_commands_work(worker: Worker, command: str) -> None:
    worker.items.scores = {"i0456": 3.0, "i1": 1.0}
    assert worker.services.catalogue is not None
    for item in (Item(item_id="i0456", categories=("garden",)), Item(item_id="i1")):
        worker.services.catalogue.update(item.item_id, encode_item(item)[1])
    worker.services.clock = lambda: 1_800_000_000_000  # the page sends events of the end of 2025
    call = call_of(command)
    response = await worker.client.request(call.method, call.path, data=call.data)
    assert response.status == (
        400 if call.path == WRONG_ON_PURPOSE else 202 if call.path == "/events" or call == REINDEX else 200
    )


def test_every_route_is_on_the_page() -> None:
    missing = [view.view_path for view in VIEWS if view.view_path != "/" and view.view_path not in PAGE]
    assert missing == []


def test_every_error_code_is_on_the_page() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parents[2].joinpath("web").glob("*.py"))
    codes = set(re.findall(r'(?:ApiError\(\s*\d+,|unavailable\(|ErrorDetail\()\s*"(\w+)"', source))
    told_elsewhere = {"internal", "http_error", "kafka_timeout", "kafka_failed"}
    assert codes - told_elsewhere
    assert {code for code in codes - told_elsewhere if f"`{code}`" not in PAGE} == set()
