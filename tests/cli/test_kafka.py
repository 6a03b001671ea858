"""`reco kafka`: a real Kafka is started, found and stopped."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reco_stream.cli import build
from reco_stream.kafka_server import KafkaServer, running_pid
from reco_stream.ports import free_ports


def reco(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["kafka", *arguments])


@pytest.mark.kafka
def test_start_status_stop(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    def command(*words: str) -> str:
        """Runs in a process of its own, as people do: the server must outlive it."""
        line = [sys.executable, "-m", "reco_stream", "kafka", *words, "--data-dir", str(tmp_path)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    try:
        started = command("start", "--port", str(port))
        assert started.startswith(f"Kafka is ready at 127.0.0.1:{port} (process {running_pid(tmp_path)}, log ")
        assert command("start") == f"Kafka runs already at 127.0.0.1:{port}\n"
        assert command("status").startswith(f"Kafka runs at 127.0.0.1:{port} ")
        assert command("stop") == "Kafka is stopped\n"
        assert running_pid(tmp_path) is None
    finally:
        KafkaServer(tmp_path).kill()


def test_nothing_runs(tmp_path: Path) -> None:
    status = reco("status", "--data-dir", str(tmp_path))
    assert (status.exit_code, status.stdout) == (3, f"no Kafka runs on {tmp_path}\n")
    stop = reco("stop", "--data-dir", str(tmp_path))
    assert (stop.exit_code, stop.stdout) == (0, f"no Kafka runs on {tmp_path}\n")


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = reco("start", "--port", str(port), "--data-dir", str(tmp_path))
    assert result.exit_code == 69
    assert result.stderr.startswith(f"port {port} is in use; wanted: a free one")


def test_a_missing_program_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    result = reco("start", "--port", str(free_ports(1)[0]), "--data-dir", str(tmp_path / "data"))
    assert result.exit_code == 69
    assert result.stderr.startswith("error: java was not found: install Java 17")
    assert result.stderr.count("\n") == 1
