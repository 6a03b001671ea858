"""What benchmarks read: a log file given by the caller, or a shop with a long tail that is made up.

The long tail: sessions of 1 to 20 events (mean 4) over four days; items by Zipf's law with exponent 0.8 (of 1 M items
the first 100 get a sixth of the events), and half of the events stay near the item before them, so that pairs of items
repeat; four events of a user on average. Hardly a row is hot, so a micro-batch coalesces little: the hard case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from reco_stream.domain.partitioner import partition_of
from reco_stream.event_files import EventFile, Line
from reco_stream.replay import open_producer, replay
from reco_stream.settings import Settings
from reco_stream.topics import create_topics

FIRST_MS = 1_760_000_000_000
SPAN_MS = 4 * 86_400_000
ZIPF = 0.8
MEAN_SESSION = 4
EVENTS_PER_USER = 4
STAYS_NEAR = 0.5
NEAR = 20  # items to either side
MEAN_PAUSE_MS = 40_000
TYPES = ("view", "click", "cart", "purchase")
TYPE_SHARES = (0.80, 0.93, 0.98, 1.0)  # cumulative


def log_file(path: Path, limit: int | None = None) -> Iterator[Line]:
    """The valid events of a file that `reco replay` can read. Raises ValueError at a line that is no event."""
    for count, line in enumerate(EventFile(path)):
        if limit is not None and count >= limit:
            return
        if not isinstance(line, Line):
            raise ValueError(f"{path} line {line.number}: {line.detail}")
        yield line


def stamped(lines: Iterable[Line], per_second: float, first_ms: int, step_ms: int = 1) -> Iterator[Line]:
    """The same events at a constant rate from `first_ms` on, in steps: as if they happened while they are sent."""
    for number, line in enumerate(lines):
        time_ms = first_ms + int(1000 * number / per_second) // step_ms * step_ms
        body = json.loads(line.value) | {"timestamp": time_ms}
        yield line._replace(value=json.dumps(body, separators=(",", ":")).encode(), time_ms=time_ms)


def of_partitions(lines: Iterable[Line], partitions: int, first: int) -> Iterator[Line]:
    """The events that belong to the first so many of all partitions."""
    return (line for line in lines if partition_of(line.key.decode(), partitions) < first)


def read_inputs(log: Path | None, loaded: int, fresh: int, items: int) -> tuple[list[Line], list[Line]]:
    """The first `loaded` events of a log, or of a long tail of `items`, and at most `fresh` that follow them.

    Raises ValueError when there are none left to follow.
    """
    lines = list(log_file(log, loaded + fresh) if log else long_tail(loaded + fresh, items))
    if len(lines) <= loaded:
        raise ValueError(f"{log} has {len(lines)} events; wanted: more than the {loaded} that are loaded before")
    return lines[:loaded], lines[loaded:]


def long_tail(
    events: int, items: int, *, seed: int = 1, users: int | None = None, zipf: float = ZIPF
) -> Iterator[Line]:
    """`events` events sorted by time; the same for the same arguments. `zipf` 0.0 makes all items equally likely."""
    random = np.random.default_rng(seed)
    lengths = np.minimum(random.geometric(1 / MEAN_SESSION, events // 2 + 1), 20)
    session = np.repeat(np.arange(len(lengths)), lengths)[:events]
    user_of = random.integers(0, users or max(events // EVENTS_PER_USER, 1), len(lengths))
    starts = random.integers(0, SPAN_MS, len(lengths))
    pauses = random.exponential(MEAN_PAUSE_MS, events).astype(np.int64)
    firsts = np.r_[True, session[1:] != session[:-1]]
    pauses[firsts] = 0
    passed = np.cumsum(pauses)
    times = FIRST_MS + starts[session] + passed - np.maximum.accumulate(np.where(firsts, passed, 0))
    chosen = _items(random, items, zipf, firsts)
    kinds = np.searchsorted(TYPE_SHARES, random.random(events), side="right")
    for number, at in enumerate(np.argsort(times, kind="stable")):
        user = str(user_of[session[at]])
        body = {
            "user_id": f"u{user}",
            "item_id": f"i{chosen[at]}",
            "event_type": TYPES[kinds[at]],
            "timestamp": int(times[at]),
            "session_id": f"s{session[at]}",
        }
        yield Line(number, f"u{user}".encode(), json.dumps(body, separators=(",", ":")).encode(), int(times[at]))


def _items(random: np.random.Generator, items: int, zipf: float, firsts: np.ndarray) -> np.ndarray:
    """The item of each event in the order of sessions: a new draw, or one near the last draw of the session."""
    events = len(firsts)
    sums = np.cumsum(np.arange(1, items + 1, dtype=np.float64) ** -zipf)
    ranks = np.searchsorted(sums, random.random(events) * sums[-1])
    drawn = random.permutation(items)[np.minimum(ranks, items - 1)]
    fresh = firsts | (random.random(events) >= STAYS_NEAR)
    anchor = np.maximum.accumulate(np.where(fresh, np.arange(events), 0))
    offset = np.where(fresh, 0, random.integers(-NEAR, NEAR + 1, events))
    return np.asarray((drawn[anchor] + offset) % items)


async def load(settings: Settings, lines: Iterator[Line]) -> int:
    """Creates the topics of `settings` and sends all lines to its events topic; returns how many."""
    await create_topics(settings)
    async with open_producer(settings) as producer:
        report = await replay(producer, settings.topic("events"), lines)
    if not report.complete:
        raise RuntimeError(f"loading stopped at line {report.first_unanswered}: {report.error}")
    return report.sent
