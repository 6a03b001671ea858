"""Worker processes on this machine: started together, watched, stopped together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from reco_stream.ports import free_ports, is_port_free
from reco_stream.processes import end, kill_with_me, release, tail
from reco_stream.worker_api import ApiError, get

USUAL_PORT = 6066  # and the next ones
STOPS_WITHIN_S = 20.0
POLL_S = 0.2


class WorkerEnded(Exception):
    """A worker process has ended by itself. The message holds the end of its log."""


class WorkerNotReady(Exception):
    """A worker did not become ready in time. The message holds the end of its log."""


class Worker:
    """One worker process with its own port, data folder and log. It never outlives this process."""

    def __init__(self, port: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log_file = folder / f"worker-{port}.log"
        folder.mkdir(parents=True, exist_ok=True)
        own = {
            "RECO_WEB_HOST": "127.0.0.1",
            "RECO_WEB_PORT": str(port),
            "RECO_ADVERTISED_URL": self.url,
            "RECO_DATA_DIR": str(folder / f"worker-{port}"),
        }
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "reco_stream", "worker"],
                env={**environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which stops its workers in order
            )
        self._guard = kill_with_me(self._process.pid)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Raises WorkerEnded with the end of the log when the process has ended."""
        code = self._process.poll()
        if code is not None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            raise WorkerEnded(f"the worker on {self.url} {how}; the end of {self.log_file}:\n{tail(self.log_file)}")

    def is_ready(self) -> bool:
        """True when its partitions are restored and caught up. Raises WorkerEnded when the process has ended."""
        self.check()
        try:
            get(self.url, "/readyz")
        except ApiError:
            return False
        return True

    def ask_to_stop(self) -> None:
        """Sends SIGTERM and returns at once."""
        self._process.terminate()

    def stop(self, timeout_s: float = STOPS_WITHIN_S) -> None:
        """Returns when the process has ended; SIGTERM first."""
        if self._process.poll() is None:
            end(self._process.pid, signal.SIGTERM, timeout_s)
        self._process.wait()
        release(self._guard)


def start_workers(count: int, folder: Path, environment: Mapping[str, str]) -> list[Worker]:
    """Workers on 6066 and the next ports, where they are free, else on others."""
    usual = range(USUAL_PORT, USUAL_PORT + count)
    ports = list(usual) if all(map(is_port_free, usual)) else free_ports(count)
    started: list[Worker] = []
    try:
        for port in ports:
            worker = Worker(port, folder, environment)
            started.append(worker)
    except BaseException:
        stop_workers(started)
        raise
    return started


def stop_workers(workers: list[Worker]) -> None:
    """Stops all at once, so that it takes as long as the slowest and not as all together."""
    for worker in workers:
        worker.ask_to_stop()
    for worker in workers:
        worker.stop()


def wait_until_ready(workers: list[Worker], timeout_s: float) -> None:
    """Returns when every worker is ready. Raises WorkerEnded when one ends, WorkerNotReady when one is late."""
    deadline = time.monotonic() + timeout_s
    while late := [worker for worker in workers if not worker.is_ready()]:
        if time.monotonic() > deadline:
            raise WorkerNotReady(
                f"the worker on {late[0].url} is not ready after {timeout_s:g} s; the end of {late[0].log_file}:\n"
                f"{tail(late[0].log_file)}"
            )
        time.sleep(POLL_S)


def worker_environment(broker: str, app: str) -> dict[str, str]:
    """This process's environment with another Kafka and application name."""
    return {**os.environ, "RECO_BROKER": broker, "RECO_APP": app}
