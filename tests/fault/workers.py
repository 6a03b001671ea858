"""Real worker processes: started, killed, frozen and looked at from outside, as an operator would."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from reco_stream.ports import free_ports
from reco_stream.processes import kill_with_me, release, tail

ROOT: Final = Path(__file__).resolve().parents[2]
POLL_S: Final = 0.1
# Generous: a loaded machine may take long, and no test measures with these.
READY_S: Final = 60.0
EXIT_S: Final = 60.0

_ERROR_LINE: Final = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) ")
# Said by libraries whenever a broker or a coordinator goes away for a moment.
EXPECTED_ERRORS: Final = (
    "GroupCoordinatorNotAvailable",
    "CoordinatorNotAvailable",
    "CoordinatorLoadInProgress",
    "NotCoordinatorForGroup",
    "Heartbeat failed: local member_id was not recognized",
    "Heartbeat session expired",
    "Thread keepalive is not responding",  # the process was frozen, or the machine is overloaded
)


def wait_until(met: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = READY_S) -> float:
    """Returns how many seconds it took until `met()`. Raises AssertionError when it takes longer than `timeout_s`;
    `what` says in words what was waited for, and may be asked for them only then."""
    began = time.monotonic()
    while not met():
        if time.monotonic() - began > timeout_s:
            words = what if isinstance(what, str) else what()
            raise AssertionError(f"after {timeout_s:g} s still not true: {words}")
        time.sleep(POLL_S)
    return time.monotonic() - began


class Worker:
    """One worker process with its own data folder and port; the folder and the log outlive the process."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.data_dir = folder / name
        self.log_file = folder / f"{name}.log"
        self.port = free_ports(1)[0]
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    @property
    def pid(self) -> int:
        assert self._process is not None, f"worker {self.name} was never started"
        return self._process.pid

    def start(self, hooks: Mapping[str, Mapping[str, Any]] | None = None, **env: str) -> Worker:
        """Starts the process and returns at once. `hooks` are those of hooked_worker.py, `env` more RECO_* values."""
        assert self._process is None, f"worker {self.name} runs already"
        outside = {name: value for name, value in os.environ.items() if not name.startswith("RECO_")}
        mine = {"PYTHONPATH": str(ROOT), "RECO_DATA_DIR": str(self.data_dir), "RECO_WEB_PORT": str(self.port)}
        command = [sys.executable, "-m", "reco_stream", "worker"]
        if hooks:
            mine["FAULT_HOOKS"] = json.dumps(hooks)
            command = [sys.executable, str(Path(__file__).with_name("hooked_worker.py"))]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=outside | self._env | mine | env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = kill_with_me(self.pid)
        self.started_at = time.monotonic()
        return self

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the running process."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait_for_exit(self, timeout_s: float = EXIT_S) -> int:
        """Returns the exit code, -9 after a SIGKILL. Raises AssertionError when the process goes on."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {self.name} still runs after {timeout_s:g} s:\n{self.log_tail()}") from None
        self._process = None
        if self._guard is not None:
            release(self._guard)
            self._guard = None
        return code

    def kill(self) -> None:
        """SIGKILL, as a crash or an out-of-memory killer would."""
        self.signal(signal.SIGKILL)
        self.wait_for_exit()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_for_exit()

    def end(self) -> None:
        """Ends the process in whatever way, for the end of a test."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self.wait_for_exit()

    def get(
        self, path: str, timeout_s: float = 2.0, headers: MutableMapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Returns (status, JSON) of a GET; (0, None) when nobody answers."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return self._ask(urllib.request.Request(url, headers=headers or {}), timeout_s)

    def post(self, path: str, body: Any, timeout_s: float = 10.0) -> tuple[int, Any]:
        """Returns (status, JSON) of a POST; (0, None) when nobody answers."""
        headers = {"Content-Type": "application/json"}
        url, data = f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode()
        return self._ask(urllib.request.Request(url, data, headers), timeout_s)

    def _ask(self, request: urllib.request.Request, timeout_s: float) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")
        except (OSError, ValueError):
            return 0, None

    def metric(self, name: str) -> float:
        """Returns the sum of a metric over its labels, 0.0 when it is not there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def ready(self) -> bool:
        """True when /readyz says so."""
        return self.get("/readyz")[0] == 200

    def wait_ready(self, timeout_s: float = READY_S) -> float:
        """Returns the seconds it took to be ready. Raises AssertionError when it ends, or is not ready in time."""

        def met() -> bool:
            assert self.running, f"worker {self.name} ended instead of becoming ready:\n{self.log_tail()}"
            return self.ready()

        return wait_until(met, lambda: f"worker {self.name} is ready\n{self.log_tail()}", timeout_s)

    def applied(self) -> dict[int, int]:
        """Partition -> applied offset, of the partitions that are running here."""
        health = self.get("/health")[1]
        if not health:
            return {}
        return {found["partition"]: found["applied"] for found in health["partitions"] if found["running"]}

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_tail(self) -> str:
        return tail(self.log_file, 25)

    def restored(self) -> list[int]:
        """Rows that each start of a partition restored from the changelog, as logged."""
        return [
            int(rows) for rows in re.findall(r"running from offset \d+, (\d+) (?:changelog )?rows restored", self.log())
        ]

    def generation(self) -> int:
        """The newest generation of the group, as logged with each assignment."""
        found = re.findall(r"generation (\d+): owns partitions", self.log())
        assert found, self.log_tail()
        return int(found[-1])

    def errors(self, expected: tuple[str, ...] = ()) -> list[str]:
        """Lines of level ERROR and above that nothing explains."""
        known = EXPECTED_ERRORS + expected
        lines = [line for line in self.log().splitlines() if _ERROR_LINE.match(line)]
        return [line for line in lines if not any(part in line for part in known)]

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0
