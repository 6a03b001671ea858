"""What a load needs: workers, partitions, memory, disk and network, and what of it one worker cannot give.

Arithmetic on measured costs; docs/capacity.md says where they come from. A worker is one core, that of its event loop;
CPU is in microseconds, sizes are in bytes, rates a second.
"""

from __future__ import annotations

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

    event_us: float = 100.0  # fold, checkpoint and publication of one event
    value_us: float = 8.0  # taking in one published value
    query_us: float = 400.0
    hop_us: float = 300.0  # both workers, for a question that is passed on
    idle: float = 0.05
    busy: float = 0.6
    reading: float = 0.25
    event_bytes: float = 150.0
    user_row_bytes: float = 425.0  # all rows of a user
    item_row_bytes: float = 2_500.0  # popularity and neighbours of an item in one partition, the list full
    item_memory_bytes: float = 2_600.0  # the same in a read model
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

    Then `shards` is above 1: so many parts of the catalogue, each known to some of the workers only, make it fit. That
    is another design, and its figures are an estimate of it.
    """

    shards: int
    partitions: int
    workers: int
    read_cores: float  # of each worker: taking in what is published
    fold_cores: float
    query_cores: float
    memory_bytes: float  # of each worker
    worker_disk_bytes: float  # of all workers
    kafka_disk_bytes: float
    worker_network_bytes: float  # into each worker, a second
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
    partitions = LEAST_PARTITIONS
    found = _with_partitions(load, costs, partitions)
    for _ in range(_MOST_ROUNDS):
        wanted = ceil(2 * found.workers / LEAST_PARTITIONS) * LEAST_PARTITIONS
        if wanted <= partitions:
            break
        partitions = wanted
        found = _with_partitions(load, costs, partitions)
    return found


def item_rows(load: Load, partitions: int) -> float:
    """Returns items times the partitions that know them, if events spread evenly: the most there can be."""
    each = load.events_per_s * load.days * DAY_S / load.items / partitions
    return load.items * partitions * (1 - exp(-each))


def _with_partitions(load: Load, costs: Costs, partitions: int) -> Plan:
    values, size = published(load.events_per_s / load.items / partitions)
    rows = item_rows(load, partitions)
    reading = load.events_per_s * values * costs.value_us / 1e6
    memory = rows * costs.item_memory_bytes
    for_rows = load.memory_bytes - costs.base_memory_bytes
    shards = max(1, ceil(reading / costs.reading), ceil(memory / for_rows))
    fold = load.events_per_s * costs.event_us / 1e6
    hops = 1 if shards == 1 else min(shards, _ANCHORS)
    queries = load.queries_per_s * (costs.query_us + hops * costs.hop_us) / 1e6
    workers = max(shards, ceil((fold + queries) / (costs.busy - costs.idle - reading / shards)))
    state = load.users * costs.user_row_bytes + rows * costs.item_row_bytes
    broadcast = load.events_per_s * size / shards
    events = load.events_per_s * costs.event_bytes
    log_bytes = events * load.days * DAY_S
    # Changelog and published rows are compacted, and a fifth of them waits for the cleaner.
    compacted = 1.2 * (state + rows * costs.item_row_bytes)
    return Plan(
        shards=shards,
        partitions=partitions,
        workers=workers,
        read_cores=reading / shards,
        fold_cores=fold,
        query_cores=queries,
        memory_bytes=costs.base_memory_bytes + memory / shards,
        worker_disk_bytes=state,
        kafka_disk_bytes=load.replication * (log_bytes + compacted),
        worker_network_bytes=broadcast + events / workers,
        kafka_network_bytes=workers * broadcast + events,
        breaks=_breaks(reading / costs.reading, memory / for_rows),
    )


def _breaks(reading: float, memory: float) -> tuple[str, ...]:
    """What is how many times too much for a worker that knows all items."""
    found = {"CPU to read what the others publish": reading, "memory for all items": memory}
    worst_first = sorted(found.items(), key=lambda pair: -pair[1])
    return tuple(f"{what}: {times:.1f} times what a worker has" for what, times in worst_first if times > 1)
