"""popularity: how often an item was touched, by event type, in total and in event-time buckets, and its decayed
score.

An event is counted in the open hour. When the item's next hour begins, the open hour is packed into `hours`, and what
is older than 48 hours of stream time moves on to its day in `days`, which hold 30 days. So one event costs one
bucket, and a hot item's bytes are mostly copied. A late event goes to its own hour or day, an event older than that
to the total.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from reco_stream.domain.buckets import DAY_MS, HOUR_MS, Cell, add, append, share, split, unpack
from reco_stream.domain.decay import decayed, moved
from reco_stream.engine.table import Table

HOURS_KEPT: Final = 48
DAYS_KEPT: Final = 30
MAX_TYPES: Final = 1 << 16  # what the kind of a cell can tell apart
_HOURS_PER_DAY: Final = 24

# Windows of up to a day are summed from hours, longer ones from days; "all" is the total.
WINDOWS_MS: Final[Mapping[str, int]] = {
    "1h": HOUR_MS,
    "24h": DAY_MS,
    "7d": 7 * DAY_MS,
    "30d": 30 * DAY_MS,
}


class Tally(msgspec.Struct, array_like=True, gc=False):
    """How many events, and the sum of their weights."""

    count: int = 0
    weight: float = 0.0


class PopularityRow(msgspec.Struct, array_like=True, gc=False):
    """An item's row. A cell's kind is the position of its event type in `by_type`."""

    weighted: float = 0.0  # of all events
    last_ms: int = -1  # time of the newest event
    score: float = 0.0  # forward-decayed weight, see reco_stream.domain.decay
    landmark: int = 0
    sessions: int = 0  # in how many sessions the item occurred
    by_type: dict[str, Tally] = msgspec.field(default_factory=dict)
    hour: int = -1  # the open hour; `hours` may hold later ones never, earlier ones always
    open: dict[str, Tally] = msgspec.field(default_factory=dict)
    hours: bytes = b""
    days: bytes = b""


class Window(NamedTuple):
    """Events in a window: fractions, because the oldest bucket counts with the share of it that the window covers."""

    events: float
    weighted: float
    by_type: dict[str, float]


POPULARITY: Table[PopularityRow] = Table(
    name="popularity",
    prefix=b"p",
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(PopularityRow).decode,
)


def count(
    row: PopularityRow, event_type: str, weight: float, time_ms: int, now_ms: int, landmark: int, factor: float
) -> PopularityRow:
    """Count one event of `time_ms`; `now_ms` is stream time, `factor` the growth from `landmark` to `time_ms`."""
    row.weighted += weight
    if time_ms > row.last_ms:
        row.last_ms = time_ms
    if landmark != row.landmark:
        row.score = moved(row.score, row.landmark, landmark)
        row.landmark = landmark
    row.score += weight * factor
    total = row.by_type.get(event_type)
    if total is None:
        total = _new_type(row, event_type)
    total.count += 1
    total.weight += weight
    hour = time_ms // HOUR_MS
    if hour < row.hour:
        _count_late(row, event_type, weight, hour, now_ms)
        return row
    if hour > row.hour:
        if row.hour >= 0:  # a new row has nothing to close, and of a long tail most are new
            close_hour(row, now_ms)
        row.hour = hour
    tally = row.open.get(event_type)
    if tally is None:
        row.open[event_type] = Tally(1, weight + 0.0)
    else:
        tally.count += 1
        tally.weight += weight
    return row


def _new_type(row: PopularityRow, event_type: str) -> Tally:
    known = len(row.by_type)
    if known == MAX_TYPES:
        raise ValueError(f"event type {event_type!r} is type {known + 1} of an item; wanted: at most {MAX_TYPES}")
    tally = row.by_type[event_type] = Tally()
    return tally


def close_hour(row: PopularityRow, now_ms: int) -> None:
    """Pack the open hour, move hours older than 48 h to their days, and drop days older than 30."""
    for kind, event_type in enumerate(row.by_type):
        tally = row.open.get(event_type)
        if tally is not None:
            row.hours = append(row.hours, Cell(row.hour, kind, tally.count, tally.weight))
    row.open = {}
    _age(row, now_ms)


def _age(row: PopularityRow, now_ms: int) -> None:
    old, row.hours = split(row.hours, now_ms // HOUR_MS - HOURS_KEPT + 1)
    if old:
        row.days = add(row.days, _by_day(unpack(old)))
    if row.days:
        _, row.days = split(row.days, now_ms // DAY_MS - DAYS_KEPT)


def _by_day(hours: Iterator[Cell]) -> Iterator[Cell]:
    for hour, kind, events, weight in hours:
        yield Cell(hour // _HOURS_PER_DAY, kind, events, weight)


def _count_late(row: PopularityRow, event_type: str, weight: float, hour: int, now_ms: int) -> None:
    """Counts an event of an hour before the open one in its hour, or in its day when that hour is no longer kept."""
    kind = next(kind for kind, known in enumerate(row.by_type) if known == event_type)
    row.hours = add(row.hours, [Cell(hour, kind, 1, weight)])
    _age(row, now_ms)


def _cells(row: PopularityRow) -> Iterator[tuple[int, Cell]]:
    """Yields (hour or -1, cell by day) of every bucket."""
    for kind, event_type in enumerate(row.by_type):
        tally = row.open.get(event_type)
        if tally is not None:
            yield row.hour, Cell(row.hour // _HOURS_PER_DAY, kind, tally.count, tally.weight)
    for hour, kind, events, weight in unpack(row.hours):
        yield hour, Cell(hour // _HOURS_PER_DAY, kind, events, weight)
    for cell in unpack(row.days):
        yield -1, cell


def window(row: PopularityRow, name: str, now_ms: int) -> Window:
    """Return what the window `name` ("1h", "24h", "7d", "30d", "all") counts at `now_ms`.

    Whole buckets, plus of the oldest one the share that the window covers; buckets later than `now_ms` count too.
    "1h" and "24h" are made of hours, "7d" and "30d" of days (UTC). Raises KeyError for another name.
    """
    if name == "all":
        by_type = {event_type: float(tally.count) for event_type, tally in row.by_type.items()}
        return Window(sum(by_type.values()), row.weighted, by_type)
    length_ms = WINDOWS_MS[name]
    from_ms = now_ms - length_ms
    of_hours = length_ms <= DAY_MS
    counts = [0.0] * len(row.by_type)
    weighted = 0.0
    for hour, (day, kind, events, weight) in _cells(row):
        part = share(hour, HOUR_MS, from_ms) if of_hours else share(day, DAY_MS, from_ms)
        if part and not (of_hours and hour < 0):
            counts[kind] += part * events
            weighted += part * weight
    by_type = {event_type: n for event_type, n in zip(row.by_type, counts, strict=True) if n}
    return Window(sum(counts), weighted, by_type)


def score(row: PopularityRow, now_ms: int, half_life_ms: int) -> float:
    """Return the sum of weights, each halved for every half-life between its event and `now_ms`."""
    return decayed(row.score, row.landmark, now_ms, half_life_ms)


def merge(rows_by_partition: Mapping[int, PopularityRow]) -> PopularityRow:
    """Return the row of an item over all partitions; the same bytes whatever the order of the mapping.

    All hours of the result are packed. It is for reading: do not count on in it.
    """
    merged = PopularityRow()
    rows = [row for _, row in sorted(rows_by_partition.items())]
    if not rows:
        return merged
    merged.landmark = max(row.landmark for row in rows)
    kinds: dict[str, int] = {}
    for row in rows:
        merged.weighted += row.weighted
        merged.last_ms = max(merged.last_ms, row.last_ms)
        merged.score += moved(row.score, row.landmark, merged.landmark)
        merged.sessions += row.sessions
        for event_type, tally in row.by_type.items():
            kinds.setdefault(event_type, len(kinds))
            total = merged.by_type.setdefault(event_type, Tally())
            total.count += tally.count
            total.weight += tally.weight
        to = [kinds[event_type] for event_type in row.by_type]
        hours = [*unpack(row.hours)]
        hours += [
            Cell(row.hour, i, row.open[t].count, row.open[t].weight) for i, t in enumerate(row.by_type) if t in row.open
        ]
        merged.hours = add(merged.hours, (cell._replace(kind=to[cell.kind]) for cell in hours))
        merged.days = add(merged.days, (cell._replace(kind=to[cell.kind]) for cell in unpack(row.days)))
    return merged
