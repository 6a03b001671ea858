"""Logs to evaluate on: interactions in time order, read from the CSV forms or from any iterator.

Two forms of CSV, gzipped or not, with a header:

`events`: `timestamp` (epoch seconds), `user_id`, `item_id`, `event_type`[, `session_id`] and other columns. Without a
session column the events of a user are cut into sessions at pauses longer than the gap. Without a clock the order is
time, one event a second.

`sessions`: `split` (train or test), `session_idx`, `pos`, `item_id`, `timestamp` (may be empty: then one event a
second, and a training part without a clock ends just before the first test event).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from reco_stream.domain.canary_ids import is_canary

FIRST_MS = 1_000_000_000_000  # where time begins for a log without a clock
SECOND_MS = 1_000


class LogError(ValueError):
    """A file that is no log of a known form: which file, what was found, what is wanted."""


class Logged(NamedTuple):
    """One interaction. `session` is unique over all users; `user` is the session itself for somebody unknown.

    `named` is the session as the producer named it, None where it did not.
    """

    session: str
    user: str
    item: str
    type: str
    time_ms: int
    named: str | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """Interactions in time order; `test_from` is where the test part starts, when the file itself names one."""

    events: Sequence[Logged]
    test_from: int | None = None


def read_log(path: Path, session_gap_ms: int) -> Log:
    """Return the log in a file of either form. Raises `LogError`, or OSError when it cannot be read."""
    with _opened(path) as file:
        rows = csv.DictReader(file)
        names = set(rows.fieldnames or ())
        try:
            if {"split", "session_idx", "pos", "item_id"} <= names:
                return sessions_log(rows)
            if {"user_id", "item_id"} <= names:
                return Log(sessionized(_interactions(rows), session_gap_ms))
        except (ValueError, TypeError) as error:
            raise LogError(f"{path}, line {rows.line_num}: {error}") from error
    wanted = "timestamp, user_id, item_id, event_type or split, session_idx, pos, item_id, timestamp"
    raise LogError(f"{path}: the header is {', '.join(sorted(names)) or 'empty'}, wanted {wanted}")


def _opened(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


class Interacted(NamedTuple):
    """One interaction before sessions are known: `session` is None when the log does not name it."""

    user: str
    item: str
    type: str
    time_ms: int
    session: str | None = None


def _interactions(rows: Iterable[Mapping[str, str]]) -> Iterator[Interacted]:
    for number, row in enumerate(rows):
        clock = row.get("timestamp")
        time_ms = round(float(clock) * SECOND_MS) if clock else FIRST_MS + number * SECOND_MS
        session = row.get("session_id") or None
        user = row["user_id"] or f"~{session}"
        yield Interacted(user, row["item_id"], (row.get("event_type") or "view").lower(), time_ms, session)


def sessionized(interactions: Iterable[Interacted], session_gap_ms: int) -> list[Logged]:
    """Return interactions in time order with sessions: the named one, else cut at pauses longer than the gap.

    This is also the way in for other sources, such as the events topic (`reco_stream/evaluation/topic.py`).

    >>> visits = [Interacted("u", "a", "view", 0), Interacted("u", "b", "view", 9), Interacted("u", "c", "view", 99)]
    >>> [event.session for event in sessionized(visits, session_gap_ms=50)]
    ['u/0', 'u/0', 'u/99']
    """
    last: dict[str, tuple[int, int]] = {}  # user -> (start of the session, time of the last event)
    found = []
    for event in sorted(interactions, key=lambda interaction: interaction.time_ms):
        if is_canary(event.item):
            continue
        if event.session is not None:
            session = f"{event.user}/{event.session}"
        else:
            start, previous = last.get(event.user, (event.time_ms, event.time_ms))
            if event.time_ms - previous > session_gap_ms:
                start = event.time_ms
            last[event.user] = (start, event.time_ms)
            session = f"{event.user}/{start}"
        found.append(Logged(session, event.user, event.item, event.type, event.time_ms, event.session))
    return found


def sessions_log(rows: Iterable[Mapping[str, str]]) -> Log:
    """Return the log of a `sessions` file: training part first, then the test part in time order."""
    parts: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    for row in rows:
        if row["split"] not in parts:
            raise ValueError(f"split is {row['split']!r}, wanted train or test")
        parts[row["split"]].append((row["session_idx"], row["item_id"], row.get("timestamp") or ""))
    clocks = [round(float(clock) * SECOND_MS) for _, _, clock in parts["test"] if clock]
    train_end = min(clocks, default=FIRST_MS + len(parts["train"]) * SECOND_MS)
    train = _timed(parts["train"], "train", train_end - len(parts["train"]) * SECOND_MS)
    test = _timed(parts["test"], "test", train_end)
    return Log([*train, *test], test_from=len(train) if test else None)


def _timed(rows: Sequence[tuple[str, str, str]], part: str, first_ms: int) -> list[Logged]:
    timed = []
    for number, (session, item, clock) in enumerate(rows):
        time_ms = round(float(clock) * SECOND_MS) if clock else first_ms + number * SECOND_MS
        key = f"{part}/{session}"
        timed.append(Logged(key, key, item, "view", time_ms))
    timed.sort(key=lambda event: event.time_ms)
    return timed
