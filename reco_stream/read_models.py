"""What every worker keeps of the whole, and what ranks by it."""

from __future__ import annotations

import asyncio
import logging
import time

from aiokafka.errors import KafkaError

from agents.learning import Learning
from agents.publication import read_catalogue, read_item_stats, read_sessions
from reco_stream.catalogue import Catalogue
from reco_stream.domain.blend import Blend, BlendWeights
from reco_stream.domain.cold_start import ColdStart
from reco_stream.domain.fusion_ranker import FusionRanker
from reco_stream.domain.ranker import ContentSource, Ranker
from reco_stream.domain.recommender import Recommender
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.engine import Engine
from reco_stream.engine.published import Stamp
from reco_stream.engine.read_model import Apply, each
from reco_stream.producer import Producer
from reco_stream.settings import Settings
from tables.item_model import ItemModel
from tables.rules import TableRules

log = logging.getLogger(__name__)

COLD_BELOW = 5.0  # weight of all events: five views, or half a purchase
_SHARE_LEARNED_EVERY_S = 2.0


class ReadModels:
    """What every worker keeps of the whole: items, sessions, the catalogue."""

    def __init__(self, settings: Settings, rules: TableRules) -> None:
        self._settings = settings
        self._session_gap_ms = rules.session_gap_ms
        self.items = ItemModel(rules, time.monotonic)
        self.catalogue = Catalogue()
        self.recommender = Recommender(pinned=settings.fusion_weights)
        self.learning = Learning(self.recommender, rules.session_gap_ms, time.monotonic)

    def applies(self, config: EngineConfig) -> dict[str, Apply]:
        """Returns what takes in each topic."""
        return {
            config.item_stats_topic: read_item_stats(self.items),
            config.sessions_topic: read_sessions(self.recommender),
            self._settings.topic("items"): read_catalogue(self.catalogue),
            self._settings.topic("models"): each(self.learning.take_in),
        }

    def rankers(self, content: ContentSource | None) -> dict[str, Ranker]:
        """Returns the rankers by name; with content, cold items are mixed into what follows behaviour alone."""
        blend = Blend(self.items, BlendWeights.of(self._settings.blend), content)
        fusion: Ranker = FusionRanker(self.recommender, blend, self._session_gap_ms)
        if content is not None:
            fusion = ColdStart(fusion, content, lambda item: self.items.touched(item) < COLD_BELOW)
        return {ranker.name: ranker for ranker in (blend, fusion)}


async def share_learned(learning: Learning, engine: Engine, producer: Producer, topic: str) -> None:
    """Publishes what the partitions here have learned; while Kafka takes nothing, the next round has it too."""
    while True:
        await asyncio.sleep(_SHARE_LEARNED_EVERY_S)
        for number, marker in engine.applied().items():
            stamp = Stamp(marker.version, marker.applied, marker.stream_time_ms)
            for key, value in learning.publishable(number, stamp):
                try:
                    await producer.send(topic, key, value, number)
                except KafkaError as error:
                    log.warning("%s[%d]: %r; publishing what was learned later", topic, number, error)
