"""CPU, memory and progress of worker processes, and the window between two looks at them.

CPU is what the kernel counts for all threads of the process (`utime` + `stime` of /proc/<pid>/stat, in ticks of
10 ms), so background threads of RocksDB and of client libraries are in it, and the broker is not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S: Final = 0.25
# A process that has done its events has settled when it takes less than a fifth of a core over a second.
SETTLED_BELOW: Final = 0.2
SETTLES_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Look:
    """What a process had done at one moment: `done` events, `cpu_s` of CPU since it began."""

    at_s: float
    cpu_s: float
    done: int


@dataclass(frozen=True)
class Speed:
    """A window of a run: `events` in `wall_s` seconds for `cpu_s` of CPU; `peak_rss_mb` since the process began."""

    events: int
    wall_s: float
    cpu_s: float
    peak_rss_mb: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """CPU microseconds an event."""
        return self.cpu_s / self.events * 1e6


class Stalled(Exception):
    """A process made no progress for so long that waiting on makes no sense."""


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of the process since it began. Raises OSError when there is no such process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def thread_cpu_seconds(pid: int) -> dict[str, float]:
    """CPU of each thread by name; "main" is the first one, threads of one name are added up."""
    seconds: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        head, _, tail = (task / "stat").read_text().rpartition(")")
        fields = tail.split()
        name = "main" if task.name == str(pid) else head.partition("(")[2]
        seconds[name] = seconds.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return seconds


def memory_mb(pid: int, field: str = "VmHWM") -> float:
    """VmHWM is the peak, VmRSS the present resident memory, in MB of 2**20 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status has no {field}")


def watch(
    pid: int, done: Callable[[], int], total: int, *, limit_s: float, stall_s: float = 60.0, settles: bool = False
) -> Speed:
    """Looks at a process until it has done `total` events, or for `limit_s` after its first ones.

    The window begins with the first look that sees progress, so start-up is not in it. With `settles` it ends when the
    process has nothing more to do: what it publishes after its last event, and reads again, is in it. Raises Stalled
    when nothing moves for `stall_s`, OSError when the process is gone.
    """
    first: Look | None = None
    last = Look(time.monotonic(), 0.0, 0)
    moved_at = last.at_s
    while True:
        time.sleep(LOOK_EVERY_S)
        look = Look(time.monotonic(), cpu_seconds(pid), done())
        if look.done > last.done:
            moved_at = look.at_s
            first = first or look
        elif look.at_s - moved_at > stall_s:
            raise Stalled(f"process {pid}: at {look.done} of {total} events for {stall_s:g} s")
        last = look
        if first is not None and (look.done >= total or look.at_s - first.at_s >= limit_s):
            break
    if settles and last.done >= total:
        last = _settled(pid, last)
    if first is None or last.done <= first.done:
        raise Stalled(f"process {pid}: all {last.done} events lie between two looks; give it more events")
    return Speed(last.done - first.done, last.at_s - first.at_s, last.cpu_s - first.cpu_s, memory_mb(pid))


def _settled(pid: int, look: Look) -> Look:
    """The last look at which the process was still busy."""
    ends_s = look.at_s + SETTLES_WITHIN_S
    while look.at_s < ends_s:
        time.sleep(1.0)
        later = Look(time.monotonic(), cpu_seconds(pid), look.done)
        if later.cpu_s - look.cpu_s < SETTLED_BELOW * (later.at_s - look.at_s):
            break
        look = later
    return look
