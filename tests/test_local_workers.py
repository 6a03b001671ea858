"""Worker processes on this machine: a stand-in program takes the worker's place."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reco_stream import local_workers
from reco_stream.local_workers import (
    Worker,
    WorkerEnded,
    WorkerNotReady,
    start_workers,
    stop_workers,
    wait_until_ready,
    worker_environment,
)
from reco_stream.processes import exists

# Answers /readyz on RECO_WEB_PORT with 503 the first time, 200 later; prints its environment first.
STAND_IN = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

print({name: value for name, value in os.environ.items() if name.startswith("RECO_")}, flush=True)
asked = 0

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200 if asked > 1 else 503)
        self.end_headers()
        self.wfile.write(b"{}")

HTTPServer(("127.0.0.1", int(os.environ["RECO_WEB_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that is run as a worker; write another one into it to change what a worker does."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return script


@pytest.fixture
def two(python: Path, tmp_path: Path) -> Iterator[list[Worker]]:
    started = start_workers(2, tmp_path / "demo", worker_environment("127.0.0.1:1", "shop"))
    yield started
    stop_workers(started)


def test_workers_have_their_own_ports_folders_and_logs(two: list[Worker]) -> None:
    wait_until_ready(two, 60)
    assert len({worker.url for worker in two}) == 2
    for worker in two:
        environment = worker.log_file.read_text()
        assert "'RECO_BROKER': '127.0.0.1:1'" in environment
        assert "'RECO_APP': 'shop'" in environment
        assert f"'RECO_ADVERTISED_URL': '{worker.url}'" in environment
        assert f"'RECO_DATA_DIR': '{worker.log_file.with_suffix('')}'" in environment


def test_stopping_ends_all(two: list[Worker]) -> None:
    wait_until_ready(two, 60)
    stop_workers(two)
    assert not any(exists(worker.pid) for worker in two)


def test_a_dead_worker_is_told_with_the_end_of_its_log(python: Path, tmp_path: Path) -> None:
    python.write_text("import sys; print('first line'); sys.exit('Kafka is gone')")
    (worker,) = start_workers(1, tmp_path, worker_environment("127.0.0.1:1", "shop"))
    try:
        with pytest.raises(WorkerEnded, match=r"(?s)worker on http.* ended with code 1; the end of .*\nKafka is gone"):
            wait_until_ready([worker], 60)
    finally:
        worker.stop()


def test_a_killed_worker_is_told_with_the_signal(two: list[Worker]) -> None:
    two[0].stop(timeout_s=0)
    with pytest.raises(WorkerEnded, match=r"was killed by signal (9|15); the end of"):
        two[0].check()
    two[1].check()


def test_a_worker_that_is_never_ready_is_told(python: Path, tmp_path: Path) -> None:
    python.write_text("import time; print('restoring', flush=True); time.sleep(600)")
    started = start_workers(1, tmp_path, worker_environment("127.0.0.1:1", "shop"))
    try:
        with pytest.raises(WorkerNotReady, match="is not ready after 0 s; the end of"):
            wait_until_ready(started, 0)
    finally:
        stop_workers(started)


def test_taken_ports_are_passed_over(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(local_workers, "USUAL_PORT", port)
        started = start_workers(2, tmp_path, worker_environment("127.0.0.1:1", "shop"))
        stop_workers(started)
    assert f"http://127.0.0.1:{port}" not in {worker.url for worker in started}
