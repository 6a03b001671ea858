from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.cli.recommend import printable

RECOMMENDED = {
    "user_id": "u 1",
    "recommendation_id": "r",
    "recommendations": [
        {
            "item_id": "i1",
            "title": "[red]Lamp\x1b[2J",
            "score": 0.91234,
            "reason": "people who viewed i2 also viewed this",
            "parts": {"co_view": 1.0, "popularity": 0.5},
        },
        {"item_id": "i3", "score": 0.5, "reason": "popular", "parts": {"co_view": 0.0, "popularity": 1.0}},
    ],
    "as_of": "2026-01-01T00:00:00.000Z",
    "source": "owner",
    "model": "blend",
    "took_ms": 0.4,
    "notes": ["no embedding yet"],
}
POPULAR = {"window": "7d", "category": None, "items": [{"item_id": "i9", "score": 12.0}], "as_of": None}


class Answers(BaseHTTPRequestHandler):
    """Answers everything with `status` and `body`, and remembers the paths."""

    status = 200
    body: Any = None
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        data = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answers]]:
    handler = type("Handler", (Answers,), {"asked": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("RECO_WEB_PORT", str(server.server_port))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "200")
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), [*arguments])


def test_recommendations_are_a_table(worker: type[Answers]) -> None:
    worker.body = RECOMMENDED
    result = reco("recommend", "u 1", "--count", "5", "--exclude-seen", "--explain")
    assert result.exit_code == 0, result.output
    assert worker.asked == ["/recommendations?user_id=u+1&count=5&exclude_seen=true&explain=true"]
    for text in ("i1", "[red]Lamp\\x1b[2J", "0.912", "people who viewed i2 also viewed this", "co_view", "1.000", "i3"):
        assert text in result.stdout
    assert "source owner, model blend, as of 2026-01-01T00:00:00.000Z, 0.4 ms" in result.stdout
    assert "no embedding yet" in result.stdout
    assert "\x1b" not in result.stdout


def test_an_empty_answer_is_an_empty_table(worker: type[Answers]) -> None:
    worker.body = {**RECOMMENDED, "recommendations": []}
    result = reco("recommend", "u")
    assert (result.exit_code, worker.asked) == (0, ["/recommendations?user_id=u&count=10"])


def test_popular_items_are_a_table(worker: type[Answers]) -> None:
    worker.body = POPULAR
    result = reco("popular", "--window", "7d", "--category", "home & garden", "-n", "3")
    assert result.exit_code == 0, result.output
    assert worker.asked == ["/popular?window=7d&count=3&category=home+%26+garden"]
    assert "i9" in result.stdout
    assert "12" in result.stdout


@pytest.mark.parametrize("command", [["recommend", "u"], ["popular"]])
def test_json_is_the_answer_as_it_came(worker: type[Answers], command: list[str]) -> None:
    worker.body = {"x": "é"}
    result = reco(*command, "--json")
    assert json.loads(result.stdout) == {"x": "é"}


@pytest.mark.parametrize(("status", "code"), [(400, 65), (404, 65), (503, 69)])
def test_a_refusal_is_one_message(worker: type[Answers], status: int, code: int) -> None:
    worker.status = status
    worker.body = {"error": {"code": "bad_parameter", "message": "window is '2h'", "field": "window"}}
    result = reco("popular", "--window", "2h")
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert "window is '2h'" in result.stderr


def test_an_error_that_is_not_ours_is_said_too(worker: type[Answers]) -> None:
    worker.status, worker.body = 502, b"<html>"
    result = reco("popular")
    assert result.exit_code == 69
    assert "502" in result.stderr


def test_no_worker_is_one_message(unused_tcp_port: int) -> None:
    for url in (f"http://127.0.0.1:{unused_tcp_port}", "nonsense"):
        result = reco("popular", "--url", url)
        assert result.exit_code == 69
        assert result.stderr.startswith(f"no worker answers at {url}: ")
        assert "`reco worker`" in result.stderr


def test_an_answer_that_is_no_json_is_no_worker(worker: type[Answers]) -> None:
    worker.body = b"<html>"
    assert reco("popular").exit_code == 69


@pytest.mark.parametrize("command", ["recommend", "popular"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: reco {command}" in reco(command, "--help").stdout


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("caf\u00e9\x1b\n\u202e") == "café\\x1b\\n\\u202e"
