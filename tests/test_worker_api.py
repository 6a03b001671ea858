"""Asking a worker over HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reco_stream.worker_api import ApiError, get, post, quoted


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked; /broken is no JSON, /busy is a refusal."""

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        self.send_response(503 if self.path == "/busy" else 200)
        self.end_headers()
        kind = "Authorization" if self.path == "/bearer" else "Content-Type"
        asked = {"path": self.path, "body": body.decode(), "type": self.headers[kind]}
        self.wfile.write(b"<html>" if self.path == "/broken" else json.dumps(asked).encode())

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # must not be used
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_get_quotes_the_query(url: str) -> None:
    assert get(url, "/recommendations", user_id="a b&c", count=5)["path"] == "/recommendations?user_id=a+b%26c&count=5"
    assert get(url, f"/users/{quoted('a/b')}/recent")["path"] == "/users/a%2Fb/recent"


def test_post_sends_json(url: str) -> None:
    assert post(url, "/events", b"[]") == {"path": "/events", "body": "[]", "type": "application/json"}


def test_a_token_is_sent_as_bearer(url: str) -> None:
    assert post(url, "/bearer", b"", "secret")["type"] == "Bearer secret"


def test_a_refusal_carries_its_status_and_body(url: str) -> None:
    with pytest.raises(ApiError, match=f'{url}/busy: status 503, .*"path"') as refused:
        get(url, "/busy")
    assert refused.value.status == 503


def test_nonsense_and_silence_have_no_status(url: str) -> None:
    for base, path in ((url, "/broken"), ("http://127.0.0.1:1", "/")):
        with pytest.raises(ApiError) as failed:
            get(base, path)
        assert failed.value.status is None
