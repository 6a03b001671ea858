"""Child processes: ended, watched and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reco_stream.processes import command_line, end, exists, kill_with_me, release, send, tail, wait_until_ended

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    return child


def finished(child: subprocess.Popen[bytes]) -> int:
    """The exit code; the child is killed when it still runs."""
    child.kill()
    code = child.wait()
    if child.stdout is not None:
        child.stdout.close()
    return code


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = started(SLEEP)
    yield process
    finished(process)


def test_end_asks_first(child: subprocess.Popen[bytes]) -> None:
    assert exists(child.pid)
    end(child.pid, signal.SIGTERM, 30)
    assert not exists(child.pid)
    assert child.wait() == -signal.SIGTERM


def test_end_kills_what_does_not_listen() -> None:
    child = started(STUBBORN)
    end(child.pid, signal.SIGTERM, 0.1)
    assert not exists(child.pid)
    assert finished(child) == -signal.SIGKILL


def test_end_wakes_a_frozen_process(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGSTOP)
    end(child.pid, signal.SIGTERM, 30)
    assert child.wait() == -signal.SIGTERM


def test_a_running_process_has_not_ended(child: subprocess.Popen[bytes]) -> None:
    assert not wait_until_ended(child.pid, 0)


def test_signals_to_an_ended_process_are_no_error() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    send(gone.pid, signal.SIGTERM)
    assert not exists(gone.pid)
    assert command_line(gone.pid) == ""


def test_the_command_line_of_a_process(child: subprocess.Popen[bytes]) -> None:
    assert "time.sleep(600)" in command_line(child.pid)
    assert command_line(os.getpid()) != ""


def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = f"""
import subprocess, time
from reco_stream.processes import kill_with_me
child = subprocess.Popen({SLEEP!r}, stdout=subprocess.PIPE)
child.stdout.readline()
kill_with_me(child.pid)
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert exists(child)
    assert finished(parent) == -signal.SIGKILL
    assert wait_until_ended(child, 60)


def test_a_released_child_lives_on(child: subprocess.Popen[bytes]) -> None:
    guard = kill_with_me(child.pid)
    release(guard)
    release(guard)
    assert guard.returncode == 0
    assert exists(child.pid)


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    assert tail(log) == f"(no {log})"
    log.write_bytes(b"1\n2\n\xff\n")
    assert tail(log, lines=2) == "2\n\N{REPLACEMENT CHARACTER}"
