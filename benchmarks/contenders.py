"""The processes that a comparison starts: a real worker, and the baselines, each on the same topic of events."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from benchmarks.baselines.progress import read_progress
from benchmarks.measure import Speed, watch
from reco_stream.local_workers import Worker, worker_environment
from reco_stream.ports import free_ports
from reco_stream.processes import end, kill_with_me, release, tail
from reco_stream.settings import Settings
from reco_stream.topics import create_topics

ROOT: Final = Path(__file__).resolve().parents[1]
_PROCESSED: Final = re.compile(r"^events_processed_total\{.*\} (\S+)$", re.MULTILINE)
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Running(Protocol):
    """A started process and how many events it has finished."""

    @property
    def pid(self) -> int: ...

    def done(self) -> int: ...


@dataclass(frozen=True)
class Log:
    """A topic of events, filled before anybody is measured."""

    settings: Settings
    events: int


class Contender(Protocol):
    """Something that reads the whole topic; `name` is its row in the table, `passes` how often it reads it.

    `settles`: it has work to do after the last event, which belongs to the cost of the events.
    """

    name: str
    passes: int
    settles: bool

    def start(self, log: Log, round_number: int, folder: Path) -> Iterator[Running]:
        """Yields the running process once, and ends it when asked for more."""


def measure(contender: Contender, log: Log, round_number: int, folder: Path, limit_s: float) -> Speed:
    """One run with a fresh state in `folder`, which is emptied before and after."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with contextmanager(contender.start)(log, round_number, folder) as running:
            return watch(
                running.pid, running.done, log.events * contender.passes, limit_s=limit_s, settles=contender.settles
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class WorkerProgress:
    """A worker and the events that it counts once they are folded, in the changelog and in the store."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def pid(self) -> int:
        return self._worker.pid

    def done(self) -> int:
        self._worker.check()
        try:
            with _open(f"{self._worker.url}/metrics", timeout=10) as answer:
                page = answer.read().decode()
        except OSError:
            return 0
        return int(sum(float(count) for count in _PROCESSED.findall(page)))


class Ours:
    """A real `reco worker`: HTTP, publication and read models included. Each round folds a state of its own."""

    passes = 1
    settles = True

    def __init__(self, name: str = "reco worker", environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._environment = dict(environment or {})

    def start(self, log: Log, round_number: int, folder: Path) -> Iterator[Running]:
        settings = log.settings.model_copy(update={"state": round_number})
        asyncio.run(create_topics(settings))
        environment = {
            **worker_environment(settings.broker, settings.app),
            "RECO_PARTITIONS": str(settings.partitions),
            "RECO_STATE": str(round_number),
            **self._environment,
        }
        worker = Worker(free_ports(1)[0], folder, environment)
        try:
            yield WorkerProgress(worker)
        finally:
            worker.stop()


class BaselineProgress:
    """A baseline's process and the number in its file."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path, log_file: Path) -> None:
        self._process = process
        self._file = file
        self._log_file = log_file

    @property
    def pid(self) -> int:
        return self._process.pid

    def done(self) -> int:
        done = read_progress(self._file)
        if self._process.poll() is not None:
            raise RuntimeError(f"the baseline ended at {done} events; the end of its log:\n{tail(self._log_file)}")
        return done


class Baseline:
    """A module of benchmarks/baselines in a process of its own, under an interpreter that has what it imports."""

    settles = False

    def __init__(self, name: str, module: str, interpreter: str = sys.executable, passes: int = 1) -> None:
        self.name = name
        self.passes = passes
        self._module = module
        self._interpreter = interpreter

    def start(self, log: Log, round_number: int, folder: Path) -> Iterator[Running]:
        settings = log.settings
        progress, log_file = folder / "progress", folder / "baseline.log"
        command = [self._interpreter, "-m", f"benchmarks.baselines.{self._module}"]
        command += ["--broker", settings.broker, "--topic", settings.topic("events")]
        command += ["--partitions", str(settings.partitions), "--passes", str(self.passes)]
        command += ["--round", str(round_number)]
        command += ["--group", f"{settings.app}-{self._module}-{round_number}".replace("_", "-")]
        command += ["--folder", str(folder / "state"), "--progress", str(progress)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with log_file.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        guard = kill_with_me(process.pid)
        try:
            yield BaselineProgress(process, progress, log_file)
        finally:
            # No state of a baseline is used again, and an orderly stop of naive Faust takes a minute.
            end(process.pid, signal.SIGKILL, 10)
            process.wait()
            release(guard)
