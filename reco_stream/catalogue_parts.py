"""The catalogue's part of a worker: who takes changes, what runs in the background, and what health asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from reco_stream import metrics
from reco_stream.catalogue import Catalogue
from reco_stream.catalogue.scenarios import BadScenarios, Scenarios
from reco_stream.catalogue.selection import Selections
from reco_stream.catalogue.writer import ItemProducer, ItemWriter, TopicItems
from reco_stream.content.minilm import MiniLm, NoModel
from reco_stream.content.model import ContentModel
from reco_stream.content.share import TopicShare
from reco_stream.engine.read_model import ReadModelReader, each
from reco_stream.engine.tasks import end_tasks
from reco_stream.kafka_clients import client_kwargs
from reco_stream.setting_checks import Problem
from reco_stream.settings import Settings
from reco_stream.settings_loader import SettingsError
from reco_stream.storage.attributes import UserAttributes
from reco_stream.storage.database import Database
from reco_stream.storage.embeddings import StoredContent
from reco_stream.storage.items import StoredItems
from reco_stream.storage.outbox import Outbox

log = logging.getLogger(__name__)

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
AGAIN_S: Final = 1.0
_MEASURE_S: Final = 1.0
_SELECT_S: Final = 0.05


class CatalogueParts:
    """With a database: writes to PostgreSQL and the outbox. Without: writes to the topic."""

    def __init__(
        self,
        settings: Settings,
        producer: ItemProducer,
        catalogue: Catalogue,
        complete: Callable[[], bool] = lambda: True,
        runs: Callable[[int], bool] = lambda partition: True,
    ) -> None:
        """`complete` says whether the catalogue has been read to its end, `runs` which partitions are applied here.

        Raises NoModel.
        """
        client = client_kwargs(settings)
        topic, partitions = settings.topic("items"), settings.partitions
        self._catalogue = catalogue
        self._database = Database.of(settings)
        self.selections = Selections(catalogue)
        self.scenarios = Scenarios(settings.scenarios)
        self._work: dict[str, Callable[[], Awaitable[None]]] = {
            "figures": self._measure,
            "selections": self._select,
        }
        self._tasks: list[asyncio.Task[None]] = []
        self.writer: ItemWriter = TopicItems(producer, topic, partitions, catalogue)
        self.attributes: UserAttributes | None = None
        self.probes: dict[str, Callable[[], Awaitable[Any]]] = {}
        if self._database is not None:
            outbox = Outbox(self._database, client, settings.app, topic, partitions)
            self.attributes = UserAttributes(self._database)
            self.writer = StoredItems(self._database, catalogue, outbox.wake)
            self._work["outbox"] = outbox.run
            self.probes["database"] = self._database.ping
        self.content: ContentModel | None = None
        if settings.content != "off":
            topic = settings.topic("vectors")
            share = TopicShare(producer, topic, settings.partitions, runs)
            # A reader of its own: a worker is ready before it has read all vectors.
            reader = ReadModelReader(client, {topic: each(lambda *record: content.take_in(*record))})
            content = self._content(settings, share, lambda: complete() and reader.ready)
            self.content = content
            self._work |= {"vectors": reader.run, "content": content.run}

    def _content(self, settings: Settings, share: TopicShare, complete: Callable[[], bool]) -> ContentModel:
        encoder = MiniLm() if settings.content == "minilm" else None
        archive = StoredContent(self._database) if self._database is not None else None
        folder = settings.data_dir / settings.state_name / "content"
        return ContentModel(self._catalogue, folder, encoder, archive, complete, share)

    async def start(self) -> None:
        """Starts the background work; it never ends the worker."""
        self._tasks = [asyncio.create_task(_kept_up(work, name)) for name, work in self._work.items()]

    async def stop(self) -> None:
        """Returns when all of it has ended."""
        await end_tasks(self._tasks)
        if self._database is not None:
            await self._database.close()

    async def _select(self) -> None:
        """Completes new selections between requests, in slices of about a millisecond."""
        while True:
            await asyncio.sleep(0 if self.selections.advance() else _SELECT_S)

    async def _measure(self) -> None:
        while True:
            self.scenarios.refresh()
            metrics.catalogue_items.set(len(self._catalogue))
            metrics.catalogue_refused.set(self._catalogue.refused)
            if self._database is not None:
                in_use, opened = self._database.in_use()
                metrics.database_connections.labels("in_use").set(in_use)
                metrics.database_connections.labels("idle").set(opened - in_use)
            await asyncio.sleep(_MEASURE_S)


async def _kept_up(work: Callable[[], Awaitable[None]], name: str) -> None:
    """Runs `work` again when it fails: the catalogue must not take recommendations with it."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("the catalogue's %s failed and is started again", name)
        await asyncio.sleep(AGAIN_S)


def check_scenarios(settings: Settings) -> None:
    """Raises SettingsError when the file of scenarios cannot be used."""
    try:
        Scenarios(settings.scenarios)
    except BadScenarios as error:
        wanted = 'a JSON file such as {"home": {"in_stock": true}}'
        raise SettingsError([Problem("RECO_SCENARIOS", str(error), wanted)]) from None


def check_content(settings: Settings) -> None:
    """Raises SettingsError when the encoder is not installed."""
    if settings.content == "minilm":
        try:
            MiniLm()
        except NoModel as error:
            raise SettingsError([Problem("RECO_CONTENT", "minilm", f"hashed, or: {error}")]) from None


def check_admin_token(settings: Settings) -> None:
    """Raises SettingsError when others than this machine could write without a token."""
    if settings.admin_token is None and settings.web_host not in LOOPBACK:
        wanted = f"a token of 16 characters or more, as RECO_WEB_HOST={settings.web_host} listens beyond the loopback"
        raise SettingsError([Problem("RECO_ADMIN_TOKEN", "not set", wanted)])
