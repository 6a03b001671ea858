"""What a load needs: workers, partitions, memory, disk and network, and what of it one worker cannot give.

Arithmetic on measured costs; docs/capacity.md says where they come from. A worker is one core, that of its event loop;
CPU is in microseconds, sizes are in bytes, rates a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, exp, log
from typing import Final

DAY_S: Final = 86_400
# Published of one event, by the events of an item a second in one partition: (events, values, bytes), as
# `python -m benchmarks.capacity` prints them.
PUBLISHED: Final = ((0.001, 5.2, 7_660.0), (0.01, 4.1, 5_880.0), (0.1, 2.4, 3_440.0), (1.0, 1.3, 2_280.0))
LEAST_PARTITIONS: Final = 12
_MOST_ROUNDS: Final = 50
_ANCHORS: Final = 10  # items of a question that lists of neighbours are looked up for


@dataclass(frozen=True)
class Costs:
    """Measured on one worker. `busy` is the share of a core to plan with, `reading` that of it to read the others."""

    event_us: float = 34.0  # fold, checkpoint and publication of one event
    value_us: float = 13.4  # taking in one published value
    query_us: float = 360.0
    hop_us: float = 650.0  # both workers, for a question that is passed on
    idle: float = 0.05
    busy: float = 0.6
    reading: float = 0.25
    event_bytes: float = 150.0
    user_row_bytes: float = 425.0  # all rows of a user
    item_row_bytes: float = 4_500.0  # an item in one partition, at most: 100 neighbours, one type of event each hour
    item_event_bytes: float = 100.0  # what one more event adds to it
    item_memory_bytes: float = 1_850.0  # the same row packed, in a read model
    base_memory_bytes: float = 300e6  # a worker that knows nothing yet


COSTS: Final = Costs()


@dataclass(frozen=True)
class Load:
    """What is asked for. `days` is how long users and pairs of items stay known, and how long the log is kept."""

    users: float
    items: float
    events_per_s: float
    queries_per_s: float
    replication: int = 3
    days: float = 30.0
    memory_bytes: float = 16e9  # that a worker may use


@dataclass(frozen=True)
class Plan:
    """What the load needs. `breaks` says what is too much for workers that each know all items, worst first.

    Then the processes are of three kinds, each of which can be multiplied by itself. That is another design: those that
    fold, those that add the partitions of their share of the items up, and those that answer from their part of them.
    """

    processes: Mapping[str, int]
    partitions: int
    parts: int  # of the catalogue; 1: whoever answers knows all items
    read_cores: float  # of each process that answers: taking in what is published
    fold_cores: float
    query_cores: float
    memory_bytes: float  # of each process that answers
    state_disk_bytes: float
    kafka_disk_bytes: float
    network_bytes: float  # of published rows into each process that answers, a second
    kafka_network_bytes: float  # out of Kafka, a second
    breaks: tuple[str, ...]


def published(often: float) -> tuple[float, float]:
    """Returns (values, bytes) published of an event of an item that has `often` events a second in one partition.

    Between the points of `PUBLISHED` by the logarithm, beyond them their ends.

    >>> published(1e-9) == PUBLISHED[0][1:], published(1e9) == PUBLISHED[-1][1:]
    (True, True)
    """
    if often <= PUBLISHED[0][0]:
        return PUBLISHED[0][1:]
    for (low, values, size), (high, next_values, next_size) in pairwise(PUBLISHED):
        if often < high:
            share = log(often / low) / log(high / low)
            return values + share * (next_values - values), size + share * (next_size - size)
    return PUBLISHED[-1][1:]


def plan(load: Load, costs: Costs = COSTS) -> Plan:
    """Returns the smallest plan that keeps within `costs.busy` and `load.memory_bytes`.

    More workers want more partitions, in each of which an item has fewer events, so that more is published of each
    event: the two are found in turn. There are twice as many partitions as workers, so that workers can double.
    """
    partitions = _partitions(_fold_cores(load, costs) / (costs.busy - costs.idle))
    for _ in range(_MOST_ROUNDS):
        breaks = _breaks(load, costs, partitions)
        if breaks:
            return _staged(load, costs, breaks)
        workers = _needed(_fold_cores(load, costs) + _query_cores(load, costs, 1), load, costs, partitions)
        if _partitions(workers) <= partitions:
            break
        partitions = _partitions(workers)
    return _plan(load, costs, {"workers": workers}, partitions, 1, partitions, ())


def _staged(load: Load, costs: Costs, breaks: tuple[str, ...]) -> Plan:
    room = costs.busy - costs.idle
    folding = ceil(_fold_cores(load, costs) / room)
    partitions = _partitions(folding)
    merging = ceil(_read_cores(load, costs, partitions) / room)
    merged = _read_cores(load, costs, 1), item_bytes(load, costs, 1) * _memory_of_row(costs)
    parts = max(ceil(merged[0] / costs.reading), ceil(merged[1] / (load.memory_bytes - costs.base_memory_bytes)))
    answering = max(parts, ceil(_query_cores(load, costs, parts) / (room - merged[0] / parts)))
    processes = {"folding": folding, "merging": merging, "answering": answering}
    return _plan(load, costs, processes, partitions, parts, 1, breaks)


def item_bytes(load: Load, costs: Costs, partitions: int) -> float:
    """Returns the bytes of all rows of items: those that `partitions` partitions have, if events spread evenly."""
    each = load.events_per_s * load.days * DAY_S / load.items / partitions
    known = 1 - exp(-each)
    return load.items * partitions * known * min(costs.item_row_bytes, costs.item_event_bytes * (1 + each / known))


def _partitions(workers: float) -> int:
    return max(1, ceil(2 * workers / LEAST_PARTITIONS)) * LEAST_PARTITIONS


def _fold_cores(load: Load, costs: Costs) -> float:
    return load.events_per_s * costs.event_us / 1e6


def _query_cores(load: Load, costs: Costs, parts: int) -> float:
    hops = min(parts, _ANCHORS)
    return load.queries_per_s * (costs.query_us + hops * costs.hop_us) / 1e6


def _read_cores(load: Load, costs: Costs, partitions: int) -> float:
    return load.events_per_s * _published(load, partitions)[0] * costs.value_us / 1e6


def _published(load: Load, partitions: int) -> tuple[float, float]:
    return published(load.events_per_s / load.items / partitions)


def _memory_of_row(costs: Costs) -> float:
    return costs.item_memory_bytes / costs.item_row_bytes


def _needed(cores: float, load: Load, costs: Costs, partitions: int) -> int:
    return ceil(cores / (costs.busy - costs.idle - _read_cores(load, costs, partitions)))


def _breaks(load: Load, costs: Costs, partitions: int) -> tuple[str, ...]:
    """What is how many times too much for a worker that knows all items."""
    memory = item_bytes(load, costs, partitions) * _memory_of_row(costs)
    found = {
        "CPU to read what the others publish": _read_cores(load, costs, partitions) / costs.reading,
        "memory for all items": memory / (load.memory_bytes - costs.base_memory_bytes),
    }
    worst_first = sorted(found.items(), key=lambda pair: -pair[1])
    return tuple(f"{what}: {times:.1f} times what a worker has for it" for what, times in worst_first if times > 1)


def _plan(
    load: Load,
    costs: Costs,
    processes: Mapping[str, int],
    partitions: int,
    parts: int,
    seen_partitions: int,
    breaks: tuple[str, ...],
) -> Plan:
    """`seen_partitions`: of how many partitions whoever answers has a row of an item."""
    rows = item_bytes(load, costs, partitions)
    state = load.users * costs.user_row_bytes + rows
    events = load.events_per_s * costs.event_bytes
    into_each = load.events_per_s * _published(load, seen_partitions)[1] / parts
    to_merge = load.events_per_s * _published(load, partitions)[1] if parts > 1 else 0.0
    # Changelog and published rows are compacted, and a fifth of them waits for the cleaner.
    kafka_disk = load.replication * (events * load.days * DAY_S + 1.2 * (state + rows))
    return Plan(
        processes=processes,
        partitions=partitions,
        parts=parts,
        read_cores=_read_cores(load, costs, seen_partitions) / parts,
        fold_cores=_fold_cores(load, costs),
        query_cores=_query_cores(load, costs, parts),
        memory_bytes=costs.base_memory_bytes + item_bytes(load, costs, seen_partitions) * _memory_of_row(costs) / parts,
        state_disk_bytes=state,
        kafka_disk_bytes=kafka_disk,
        network_bytes=into_each,
        kafka_network_bytes=events + to_merge + into_each * list(processes.values())[-1],
        breaks=breaks,
    )
