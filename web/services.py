"""What the views are given: the worker's state, the read model, the way to Kafka, and the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from reco_stream.catalogue import Catalogue
from reco_stream.catalogue.scenarios import Scenarios
from reco_stream.catalogue.selection import Selections
from reco_stream.catalogue.writer import ItemWriter
from reco_stream.domain.ranker import ContentSource, CoViewed, Ranker
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.table import Table
from reco_stream.events import EventRules
from reco_stream.settings import Settings
from web.limits import Limits

R = TypeVar("R")
Settled = Callable[[int | Exception], None]
Probe = Callable[[], Awaitable[Any]]


class MarkerLike(Protocol):
    """How much of its log a partition has applied: last source offset (-1 none), highest event time (0 none)."""

    @property
    def applied(self) -> int: ...
    @property
    def stream_time_ms(self) -> int: ...


class LagLike(Protocol):
    """How far a partition is behind its log."""

    @property
    def end_offset(self) -> int: ...
    @property
    def applied(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class StateLike(Protocol):
    """The partitions of this worker, and who owns the others.

    A partition is running when it is restored and applying here, readable when any copy is here, however old.
    """

    @property
    def partitions(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def read_models_ready(self) -> bool: ...
    @property
    def read_models_behind_s(self) -> float: ...

    def partition_of(self, user: str) -> int: ...
    def is_running(self, partition: int) -> bool: ...
    def is_readable(self, partition: int) -> bool: ...
    def owned(self) -> frozenset[int]: ...
    def read(self, partition: int, table: Table[R], key: str) -> R | None: ...
    def marker(self, partition: int) -> MarkerLike: ...
    def lag(self, partition: int) -> LagLike: ...
    def owner_url(self, partition: int) -> str | None: ...


class ItemsLike(Protocol):
    """Item rows of all partitions, merged: the read model of this worker. Its stream time is 0 before any event."""

    @property
    def stream_time_ms(self) -> int: ...

    def popularity(self, item: str) -> Any: ...
    def neighbours(self, item: str, now_ms: int, limit: int) -> Sequence[CoViewed]: ...
    def popular(
        self,
        window: str,
        now_ms: int,
        count: int,
        exclude: Set[str],
        accept: Callable[[str], bool] | None = None,
    ) -> Sequence[tuple[str, float]]: ...
    def popular_among(
        self, items: Iterable[str], window: str, now_ms: int, count: int
    ) -> Sequence[tuple[str, float]]: ...
    def __len__(self) -> int: ...


class RecordPosition(Protocol):
    """Where Kafka put a record."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class ContentLike(ContentSource, Protocol):
    """Content of items, and how its upkeep goes."""

    @property
    def stage(self) -> str: ...
    @property
    def waiting(self) -> int: ...
    @property
    def model(self) -> str | None: ...
    @property
    def recall(self) -> float | None: ...
    @property
    def known(self) -> int: ...
    @property
    def indexed(self) -> int: ...
    def reindex(self) -> None: ...


class AttributesLike(Protocol):
    """Attributes of users. Every method raises WritesUnavailable."""

    async def get(self, user: str) -> dict[str, Any]: ...
    async def put(self, user: str, attributes: dict[str, Any]) -> None: ...
    async def delete(self, user: str) -> None: ...


class EventProducer(Protocol):
    """A producer with acks=all (`reco_stream.producer`).

    `append` sends (key, value) records of one partition, and calls `settled` once, later: with the offset of the first
    when Kafka has acknowledged all of them, else with the error.
    """

    def append(self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], settled: Settled) -> None: ...


@dataclass
class Services:
    """Everything that a view may use. `clock` returns milliseconds since 1970.

    `rankers` by name; RECO_RANKER names the default one.

    `probes` are the dependencies that /health times, by name: each returns when its dependency answered and raises when
    it did not. `not_ready` says in words what this worker still waits for (nothing: ready).
    """

    settings: Settings
    state: StateLike
    items: ItemsLike
    event_rules: EventRules
    producer: EventProducer
    item_writer: ItemWriter
    rankers: Mapping[str, Ranker]
    clock: Callable[[], int]
    fusion: Recommender | None = None
    catalogue: Catalogue | None = None
    selections: Selections | None = None
    content: ContentLike | None = None
    attributes: AttributesLike | None = None
    scenarios: Scenarios = field(default_factory=lambda: Scenarios(None))
    probes: Mapping[str, Probe] = field(default_factory=dict)
    not_ready: Callable[[], Sequence[str]] | None = None
    limits: Limits = field(default_factory=Limits)

    def now_ms(self) -> int:
        """Returns what queries take for now: the clock, or stream time where the log is an old one (RECO_TIME)."""
        return self.clock() if self.settings.time == "wall" else self.items.stream_time_ms

    def ranker(self, name: str | None) -> Ranker:
        """Returns the ranker of that name, the default one for None."""
        return self.rankers[name or self.settings.ranker]

    @property
    def title_of(self) -> Callable[[str], str | None]:
        """Returns what tells an item's title, None where the catalogue has none."""
        return self.catalogue.title_of if self.catalogue is not None else _no_title

    def waiting_for(self) -> list[str]:
        """Returns what this worker is not ready for, in words; when nothing is wired, what the state itself knows."""
        if self.not_ready is not None:
            return list(self.not_ready())
        owned = self.state.owned()
        if not owned:
            return ["no partition is assigned to this worker yet"]
        return [f"partition {p} is being restored" for p in sorted(owned) if not self.state.is_running(p)]


def _no_title(_: str) -> None:
    return None
