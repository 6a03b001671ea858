"""Our engine under Faust with clocks in it: what each stage of an event takes of the main thread.

Times are exclusive (a store read inside a rule counts for the store) and CPU of the thread, so that waiting and other
processes do not count. Looking at the clock twice costs about 1 us a call: it is measured at start, given in the
result, and subtracted by benchmarks/event_cost.py.
"""

from __future__ import annotations

import gc
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from time import process_time, thread_time
from typing import Any

import agents.events
from benchmarks.baselines import engine_only
from benchmarks.baselines.arguments import parse
from benchmarks.baselines.progress import Progress
from benchmarks.measure import TICKS_PER_S
from reco_stream.engine.changelog import Appender
from reco_stream.engine.store import PartitionStore
from tables.compiled_fold import CompiledRows

WRITE_EVERY_S = 0.5
CALIBRATION_CALLS = 20_000


class Clocks:
    """Exclusive CPU seconds and calls of each stage on the main thread."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._inner = 0.0  # spent in stages inside the running one
        self._main = threading.get_ident()
        self._gc_began = 0.0

    def wrap(self, stage: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        """`inner` with a clock around it; it may be called from the main thread only."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            outer, self._inner = self._inner, 0.0
            began = thread_time()
            try:
                return inner(*args, **kwargs)
            finally:
                spent = thread_time() - began
                self.seconds[stage] += spent - self._inner
                self.calls[stage] += 1
                self._inner = outer + spent

        return timed

    def patch(self, stage: str, owner: Any, name: str) -> None:
        setattr(owner, name, self.wrap(stage, getattr(owner, name)))

    def on_gc(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._main:
            return
        if phase == "start":
            self._gc_began = thread_time()
        else:
            spent = thread_time() - self._gc_began
            self.seconds["garbage collector"] += spent
            self.calls["garbage collector"] += 1
            self._inner += spent

    def overhead_s(self) -> tuple[float, float]:
        """What a clock adds to its own stage, and to whatever calls it; CPU seconds a call."""
        empty = self.wrap("calibration", lambda: None)
        outer = self.wrap("caller", lambda: [empty() for _ in range(CALIBRATION_CALLS)])
        outer()
        inside, outside = self.seconds.pop("calibration"), self.seconds.pop("caller")
        self.calls.pop("calibration")
        self.calls.pop("caller")
        return inside / CALIBRATION_CALLS, outside / CALIBRATION_CALLS


def other_threads() -> dict[str, float]:
    """CPU seconds of the threads beside the main one: Faust's consumer, RocksDB's, the rest."""
    consumers = {thread.native_id for thread in threading.enumerate() if thread.name.startswith("Thread-")}
    seconds: defaultdict[str, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        number = int(task.name)
        if number == threading.main_thread().native_id:
            continue
        head, _, tail = (task / "stat").read_text().rpartition(")")
        fields = tail.split()
        background = "RocksDB's threads" if "(rocksdb" in head else "other threads"
        name = "consumer thread" if number in consumers else background
        seconds[name] += (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return dict(seconds)


def keep_reporting(clocks: Clocks, overhead: tuple[float, float], progress: Progress, path: Path) -> None:
    """Writes the figures again and again until the process is killed; each is a total since its start."""
    part = path.with_suffix(".part")
    waiting = threading.Event()
    while not waiting.wait(WRITE_EVERY_S):
        figures = {
            "events": progress.done,
            "process_s": process_time(),
            "threads_s": other_threads(),
            "stages_s": dict(clocks.seconds),
            "calls": dict(clocks.calls),
            "overhead_s": overhead,
        }
        part.write_text(json.dumps(figures))
        part.replace(path)


def main() -> None:
    arguments = parse()
    clocks = Clocks()
    overhead = clocks.overhead_s()
    clocks.patch("decode events that are not plain", agents.events, "decode_event")
    clocks.patch("decode and rules", CompiledRows, "fold")
    clocks.patch("decode and rules", CompiledRows, "fold_plain")
    clocks.patch("encode rows", CompiledRows, "encode_dirty")
    clocks.patch("build the RecordBatch", Appender, "_build")
    clocks.patch("RocksDB read", PartitionStore, "get")
    clocks.patch("RocksDB write", PartitionStore, "write")
    gc.callbacks.append(clocks.on_gc)
    progress = Progress(arguments.progress)
    path = arguments.progress.with_name("costs.json")
    threading.Thread(
        target=keep_reporting, args=(clocks, overhead, progress, path), name="figures", daemon=True
    ).start()
    engine_only.run(arguments, progress)


if __name__ == "__main__":
    main()
