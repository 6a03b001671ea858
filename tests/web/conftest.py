"""Workers without Kafka: the real views in a real Faust app on a real port, over a state that tests fill by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import faust
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application

import web
from reco_stream.catalogue import Catalogue
from reco_stream.catalogue.selection import Selections
from reco_stream.catalogue.writer import TopicItems
from reco_stream.domain.blend import Blend
from reco_stream.domain.fusion_ranker import FusionRanker
from reco_stream.domain.partitioner import partition_of
from reco_stream.domain.ranker import Near
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.table import Table
from reco_stream.settings import Settings
from tables.popularity import POPULARITY, PopularityRow
from tables.recent import RECENT, RecentRow, Seen
from web.server import AnswerNow, Runner, TakeNow
from web.services import Services, Settled

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class FakeMarker(NamedTuple):
    applied: int = -1
    stream_time_ms: int = 0


class FakeLag(NamedTuple):
    end_offset: int
    applied: int
    records: int
    seconds: float


class FakePosition(NamedTuple):
    partition: int
    offset: int


@dataclass(frozen=True)
class FakeNeighbour:
    item: str
    weight: float
    count: int
    last_ms: int


class FakeState:
    """Rows by (partition, table, key); every partition runs here unless told otherwise."""

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self.url = "http://127.0.0.1:1"
        self.read_models_ready = True
        self.read_models_behind_s = 0.25
        self.running = set(range(partitions))
        self.readable = set(range(partitions))
        self.owners: dict[int, str] = {}
        self.rows: dict[tuple[int, str, str], Any] = {}
        self.markers: dict[int, FakeMarker] = {}

    def partition_of(self, user: str) -> int:
        return partition_of(user, self.partitions)

    def is_running(self, partition: int) -> bool:
        return partition in self.running

    def is_readable(self, partition: int) -> bool:
        return partition in self.readable

    def owned(self) -> frozenset[int]:
        return frozenset(self.running)

    def read(self, partition: int, table: Table[Any], key: str) -> Any:
        assert self.is_readable(partition)
        return self.rows.get((partition, table.name, key))

    def marker(self, partition: int) -> FakeMarker:
        return self.markers.get(partition, FakeMarker())

    def lag(self, partition: int) -> FakeLag:
        applied = self.marker(partition).applied
        return FakeLag(applied + 3, applied, 2, 0.5)

    def owner_url(self, partition: int) -> str | None:
        return self.url if partition in self.running else self.owners.get(partition)

    def touch(self, user: str, *touched: tuple[str, str], hidden: Iterable[str] = ()) -> None:
        """Gives the user these (item, type), oldest first, one minute apart up to NOW_MS."""
        first_ms = NOW_MS - 60_000 * (len(touched) - 1)
        items = {item: Seen(first_ms + 60_000 * n, kind) for n, (item, kind) in enumerate(touched)}
        row = RecentRow(items=items, excluded=dict.fromkeys(hidden, NOW_MS))
        partition = self.partition_of(user)
        self.rows[partition, RECENT.name, user] = row
        self.markers[partition] = FakeMarker(41, NOW_MS)


class FakeItems:
    """The read model: scores by item (the same in every window that `windows` has), and neighbours."""

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.near: dict[str, dict[str, float]] = {}
        self.windows = {"1h", "24h", "7d", "30d", "all"}
        self.stream_time_ms = 0

    def popularity(self, item: str) -> PopularityRow | None:
        return PopularityRow(weighted=self.scores[item], last_ms=NOW_MS) if item in self.scores else None

    def last_ms(self, item: str) -> int | None:
        return NOW_MS - HOUR_MS if item in self.scores else None

    def neighbours(self, item: str, now_ms: int, limit: int) -> list[FakeNeighbour]:
        near = sorted(self.near.get(item, {}).items(), key=lambda pair: (-pair[1], pair[0]))
        return [FakeNeighbour(other, weight, 1, NOW_MS) for other, weight in near[:limit]]

    def popular(
        self,
        window: str,
        now_ms: int,
        count: int,
        exclude: Set[str],
        accept: Callable[[str], bool] | None = None,
    ) -> Sequence[tuple[str, float]]:
        if window not in self.windows:
            return []
        top = sorted(self.scores.items(), key=lambda pair: (-pair[1], pair[0]))
        return [pair for pair in top if pair[0] not in exclude and (accept is None or accept(pair[0]))][:count]

    def popular_among(self, items: Iterable[str], window: str, now_ms: int, count: int) -> Sequence[tuple[str, float]]:
        return self.popular(window, now_ms, count, frozenset(), set(items).__contains__)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class FakeProducer:
    """Kafka as tests want it: `answer` may raise, or wait, and is asked before a record counts as sent."""

    sent: list[tuple[str, bytes, bytes, int]] = field(default_factory=list)
    answer: Callable[[bytes], Awaitable[None]] | None = None
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> FakePosition:
        (offset,) = await self._send(topic, key, value, partition)
        return FakePosition(partition, offset)

    def append(self, topic: str, partition: int, records: Sequence[tuple[bytes, bytes]], settled: Settled) -> None:
        async def send() -> None:
            try:
                offsets = [(await self._send(topic, key, value, partition))[0] for key, value in records]
            except Exception as error:
                settled(error)
            else:
                settled(offsets[0])

        self._sending.add(task := asyncio.ensure_future(send()))
        task.add_done_callback(self._sending.discard)

    async def _send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> list[int]:
        if self.answer is not None:
            await self.answer(value or b"")
        self.sent.append((topic, key, value or b"", partition))
        return [len(self.sent) - 1]


class Server(TestServer):
    """aiohttp's test server over our connections, whose limits tests may set."""

    limits: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        app: Application,
        answers: Mapping[str, AnswerNow] | None = None,
        takes: Mapping[str, TakeNow] | None = None,
    ) -> None:
        super().__init__(app)
        self.answers, self.takes = answers, takes

    async def _make_runner(self, **_: Any) -> Runner:
        return Runner(self.app, self.answers, self.takes, **self.limits)


class FakeContent:
    """Cosines by (item, other item)."""

    stage, model, recall, waiting, indexed = "idle", "fake-1", None, 0, 0

    def __init__(self) -> None:
        self.cosines: dict[str, dict[str, float]] = {}
        self.asked = 0

    @property
    def known(self) -> int:
        return len(self.cosines)

    @property
    def ready(self) -> bool:
        return bool(self.cosines)

    def near(self, seeds: Sequence[tuple[str, float]], count: int, accept: Callable[[str], bool] | None) -> list[Near]:
        near = sorted(self.cosines.get(seeds[0][0], {}).items(), key=lambda pair: -pair[1])
        return [Near(item, cosine, seeds[0][0]) for item, cosine in near if accept is None or accept(item)][:count]

    def reindex(self) -> None:
        self.asked += 1


class FakeAttributes:
    """Attributes of users, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    async def get(self, user: str) -> dict[str, Any]:
        return self.kept.get(user, {})

    async def put(self, user: str, attributes: dict[str, Any]) -> None:
        self.kept[user] = attributes

    async def delete(self, user: str) -> None:
        self.kept.pop(user, None)


@dataclass
class Worker:
    """A running web server and everything behind it."""

    client: TestClient[Any, Any]
    services: Services
    state: FakeState
    items: FakeItems
    producer: FakeProducer
    content: FakeContent
    app: Any


Start = Callable[..., Awaitable[Worker]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a worker: `await start()`, with a `configure(services)` where defaults do not do."""
    clients: list[TestClient[Any, Any]] = []

    async def started(configure: Callable[[Services], None] = lambda _: None, **settings: Any) -> Worker:
        services, state, items, producer, content = fake_services(**settings)
        configure(services)
        app = _faust_app(services)
        server = Server(app.web.web_app, app.web._runner.answers, app.web._runner.takes)
        client = TestClient(server)
        await client.start_server()
        clients.append(client)
        state.url = str(server.make_url("")).rstrip("/")
        return Worker(client, services, state, items, producer, content, app)

    yield started
    for client in clients:
        await client.close()


@pytest.fixture
async def worker(start: Start) -> Worker:
    """One worker that runs all four partitions."""
    return await start()


def fake_services(**settings: Any) -> tuple[Services, FakeState, FakeItems, FakeProducer, FakeContent]:
    """Returns what the views are given, and the parts of it that tests fill."""
    state, items, producer = FakeState(), FakeItems(), FakeProducer()
    chosen = Settings(**({"ranker": "blend"} | settings))
    blend, catalogue, content = Blend(items), Catalogue(), FakeContent()
    services = Services(
        settings=chosen,
        state=state,
        items=items,
        event_rules=chosen.event_rules(),
        producer=producer,
        item_writer=TopicItems(producer, chosen.topic("items"), chosen.partitions, catalogue),
        rankers={"blend": blend, "fusion": FusionRanker(Recommender(), blend, chosen.session_gap_s * 1000)},
        clock=lambda: NOW_MS,
        catalogue=catalogue,
        selections=Selections(catalogue),
        attributes=FakeAttributes(),
        content=content,
    )
    return services, state, items, producer, content


def fuzzed_worker() -> Any:
    """Returns the Faust app of a worker that knows some items and users."""
    services, state, items, _, _ = fake_services()
    items.scores = {"a": 3.0, "b": 2.0, "0": 1.0}
    items.near = {"a": {"b": 1.0, "0": 0.5}, "0": {"a": 1.0}}
    for user in ("u1", "0"):
        state.touch(user, ("a", "view"), ("b", "cart"), hidden=["0"])
    return _faust_app(services)


def _faust_app(services: Services) -> Any:
    app = faust.App(
        "test",
        broker="kafka://127.0.0.1:1",
        web_tables_enabled=False,
        web_router_enabled=False,
        web_graph_enabled=False,
        web_stats_enabled=False,
        web_application_options=web.application_options(services),
    )
    web.register(app, services)
    app.web.init_server()  # as Faust does at start: adds the pages of its own that are on
    return app


def popularity_row(*events: tuple[str, float, int]) -> PopularityRow:
    """Returns the row of (type, weight, hours ago) events of an item, oldest first."""
    from tables.popularity import count

    row = PopularityRow()
    for kind, weight, hours_ago in events:
        time_ms = NOW_MS - hours_ago * HOUR_MS
        row = count(row, kind, weight, time_ms, time_ms, row.landmark, 1.0)
    return row


@pytest.fixture
def put_popularity() -> Callable[..., None]:
    """Puts an item's row of one partition: `put_popularity(state, partition, item, (type, weight, hours_ago)...)`."""

    def put(state: FakeState, partition: int, item: str, *events: tuple[str, float, int]) -> None:
        state.rows[partition, POPULARITY.name, item] = popularity_row(*events)

    return put
