"""Builds the Faust application from settings; the only place where every part meets.

Start: brokers, engine, read models, then Faust's own services (consumer, agents, web). Stop: the reverse, with every
partition drained and its last checkpoint written.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence

import faust
import uvloop
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

import web
from agents import events as events_agent
from agents.events import EventProcessor
from agents.learning import Learning
from agents.publication import Publication
from reco_stream import canary, metrics
from reco_stream.allocator import return_freed_memory
from reco_stream.catalogue_parts import CatalogueParts
from reco_stream.dead_letter_sender import send_dead_letters
from reco_stream.engine import crash, delivery
from reco_stream.engine.assignment import STORE_SCHEME, StateTables, declare_state
from reco_stream.engine.config import EngineConfig
from reco_stream.engine.engine import Engine
from reco_stream.engine.marker import Marker
from reco_stream.engine.read_model import ReadModelReader
from reco_stream.engine.state import State
from reco_stream.engine.tasks import end_tasks
from reco_stream.engine_settings import engine_config, table_rules
from reco_stream.events import EventRules
from reco_stream.group_members import instance_id
from reco_stream.kafka_clients import faust_broker_url, faust_credentials
from reco_stream.kafka_connection import mend_connections
from reco_stream.kafka_watch import KafkaWatch
from reco_stream.processes import allow_open_files
from reco_stream.producer import Producer
from reco_stream.read_models import ReadModels, share_learned
from reco_stream.settings import Settings
from tables.rules import TableRules
from web.services import Services

log = logging.getLogger(__name__)

_LAG_EVERY_S = 1.0
# They log each service's start and stop, and each subscription of each reader.
_CHATTY_LOGGERS = ("faust", "mode", "aiokafka.consumer.subscription_state")
_MIB = 1 << 20


class Metrics:
    """Hears from the engine and keeps the gauges of each partition."""

    def on_checkpoint(self, partition: int, marker: Marker, records: int, seconds: float) -> None:
        metrics.checkpointed(partition, records, marker.applied, seconds)

    def on_restore(self, partition: int, position: int, end: int) -> None:
        metrics.recovery_progressed(partition, position + 1, end + 1)

    def on_skipped(self, partition: int, events: int) -> None:
        metrics.records_skipped_by_retention.labels(str(partition)).inc(events)


class RecoApp(faust.App):  # type: ignore[misc]
    """Faust app with the engine beside Faust's own services."""

    engine: Engine
    kafka: Producer
    reader: ReadModelReader
    catalogue_parts: CatalogueParts
    committed: State
    watch: KafkaWatch
    share_learned: Callable[[], Awaitable[None]]
    leaves = False
    canary: Callable[[], Coroutine[None, None, None]] | None = None
    _background: Sequence[asyncio.Task[None]] = ()  # for a stop that comes before the start is over

    async def on_start(self) -> None:
        await self.kafka.start()
        await self.engine.start()
        await self.catalogue_parts.start()
        work = [
            self.engine.guarded(self.reader.run(), "read models"),
            self.engine.guarded(self._measure_lag(), "lag"),
            self.engine.guarded(self.watch.run(), "watch of Kafka"),
            self.engine.guarded(self.share_learned(), "learning"),
            *([self.canary()] if self.canary is not None else []),
        ]
        self._background = [asyncio.create_task(part) for part in work]
        await super().on_start()

    async def on_stop(self) -> None:
        """Not ready at once; then the requests in flight; then the partitions, each with its last checkpoint."""
        self.committed.draining = True
        await self.web.stop_server()
        await super().on_stop()
        await end_tasks(self._background)
        await self.catalogue_parts.stop()
        await self.engine.stop()
        await self.kafka.stop()

    def _crash(self, reason: BaseException) -> None:
        """Ends the process. What mode/services.py:928 `_crash` leaves of an app neither works nor exits."""
        if not self.should_stop:
            self.engine.fail("Faust", reason)
        super()._crash(reason)

    async def _measure_lag(self) -> None:
        while True:
            for partition in list(self.engine.running()):
                lag = self.committed.lag(partition)
                metrics.lag_measured(partition, lag.end_offset, lag.applied, lag.records, lag.seconds)
                metrics.rocksdb_size.labels(str(partition)).set(self.committed.store_bytes(partition))
            await asyncio.sleep(_LAG_EVERY_S)


class RecoWorker(faust.Worker):  # type: ignore[misc]
    """Runs the app until a signal comes."""

    async def _sentinel_task(self) -> None:
        """Replaces mode/worker.py:317 `_sentinel_task`, a sleep of one second for what was told to end last."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1.0)


def build_app(settings: Settings) -> RecoApp:
    """The whole worker, ready to start; nothing is connected yet."""
    crash.arm(settings.crash_at)
    url = settings.advertised_url or f"http://{settings.web_host}:{settings.web_port}"
    rules, event_rules = table_rules(settings), settings.event_rules()
    config = engine_config(settings, rules, url)
    producer, models = Producer(config.client_kwargs), ReadModels(settings, rules)
    reader = ReadModelReader(config.client_kwargs, models.applies(config))
    engine = _engine(config, rules, event_rules, producer, models.learning)
    watch = KafkaWatch(producer.ping, 2 * settings.heartbeat_s)
    state = State(
        engine,
        reader,
        lambda: _owners(app, config.events_topic),
        lambda partition: _end_offset(app, TP(config.events_topic, partition)),
        watch.is_cut_off,
    )
    parts = CatalogueParts(settings, producer, models.catalogue, lambda: reader.ready, state.is_running)
    services = Services(
        settings=settings,
        state=state,
        items=models.items,
        event_rules=event_rules,
        producer=producer,
        item_writer=parts.writer,
        rankers=models.rankers(parts.content),
        content=parts.content,
        attributes=parts.attributes,
        clock=lambda: int(time.time() * 1000),
        fusion=models.recommender,
        catalogue=models.catalogue,
        selections=parts.selections,
        scenarios=parts.scenarios,
        probes={"kafka": producer.ping, **parts.probes},
        not_ready=lambda: [*watch.not_ready(), *state.not_ready()],
    )
    app = _faust_app(settings, url, services)
    app.engine, app.kafka, app.reader, app.committed, app.watch = engine, producer, reader, state, watch
    app.catalogue_parts, app.leaves = parts, settings.leave_on_stop
    app.share_learned = functools.partial(share_learned, models.learning, engine, producer, settings.topic("models"))
    _register(app, config, services)
    return app


def _engine(
    config: EngineConfig, rules: TableRules, event_rules: EventRules, producer: Producer, learning: Learning
) -> Engine:
    publication = Publication(config.item_stats_topic, config.sessions_topic)

    def processor(partition: int) -> EventProcessor:
        learns = learning.partition(partition)
        return EventProcessor(partition, config.partitions, event_rules, rules, learns)

    send = functools.partial(send_dead_letters, producer, config.dead_letters_topic)
    return Engine(config, processor, publication, send, Metrics())


def _owners(app: RecoApp, topic: str) -> dict[int, str]:
    """Returns the URL of each partition's owner, by the assignment that Faust hands to every worker."""
    return {tp.partition: url for tp, url in app.assignor._external_tps_url.items() if tp.topic == topic}


def _canary(settings: Settings) -> Callable[[], Coroutine[None, None, None]] | None:
    if not settings.canary_s:
        return None
    host = "127.0.0.1" if settings.web_host in ("0.0.0.0", "::") else settings.web_host
    url = f"http://{host}:{settings.web_port}"
    return functools.partial(canary.run_forever, url, instance_id(settings), settings.canary_s)


def _end_offset(app: RecoApp, tp: TP) -> int | None:
    """Returns the end of the log as the last fetch told it; None while the partition is moving away."""
    try:
        end: int | None = app.consumer.highwater(tp)
    except (AssertionError, ConsumerNotStarted):  # aiokafka/consumer/consumer.py:695 `highwater` asserts
        return None
    return end


def _register(app: RecoApp, config: EngineConfig, services: Services) -> None:
    declare_state(app, config.changelog_topic, config.partitions)
    events_agent.register(app, config.events_topic)
    web.register(app, services)
    app.canary = _canary(services.settings)


def _faust_app(settings: Settings, url: str, services: Services) -> RecoApp:
    delivery.register()
    folder = settings.data_dir / settings.state_name / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    return RecoApp(
        settings.state_name,
        broker=faust_broker_url(settings),
        broker_credentials=faust_credentials(settings),
        consumer_group_instance_id=instance_id(settings),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_request_timeout=max(30.0, settings.session_timeout_s),
        broker_rebalance_timeout=max(20.0, settings.session_timeout_s),
        broker_commit_interval=2.0,
        broker_max_poll_records=settings.batch_max_events,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 * _MIB,
        store=f"{STORE_SCHEME}://",
        datadir=str(folder),
        table_standby_replicas=settings.standbys,
        topic_allow_declare=False,
        topic_disable_leader=True,
        TableManager=StateTables,
        web_enabled=True,
        web_host=settings.web_host,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        canonical_url=url,
        web_tables_enabled=False,
        web_router_enabled=False,
        web_graph_enabled=False,
        web_stats_enabled=False,
        web_application_options=web.application_options(services),
        worker_redirect_stdouts=False,
    )


def spare_the_garbage_collector() -> None:
    """Leaves what is loaded by now alone: it lives as long as the process, and looking through it stops the loop for
    40 ms each time. What comes later is looked at in small portions, because a request waits meanwhile: 2,000 objects
    take 1 ms of CPU and 10,000 take 4, where 200,000 took 18. All of it is hardly ever looked at: rows and records
    make no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 5, 1_000)


def run_worker(settings: Settings) -> None:
    """Runs one worker until SIGTERM or Ctrl-C; exits with 0 after a clean stop."""
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in _CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    allow_open_files()
    return_freed_memory()
    uvloop.install()
    mend_connections()
    # Faust resolves its loop late; the one that it finds must be the one that runs.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(settings)
    spare_the_garbage_collector()
    worker = RecoWorker(
        app,
        loop=loop,
        loglevel=settings.log_level,
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,  # no spinner
    )
    worker.execute_from_commandline()
