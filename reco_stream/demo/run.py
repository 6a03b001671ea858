"""The story of the demo from Kafka to live events; whatever happens, everything that it started is stopped."""

import asyncio
import fcntl
import os
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from reco_stream.demo import DemoError, show
from reco_stream.demo.broker import Broker, choose_broker, delete_topics
from reco_stream.demo.catalogue import catalogue_lines
from reco_stream.event_files import Line
from reco_stream.events import RawEvent, encode_event
from reco_stream.local_workers import Worker, start_workers, stop_workers, wait_until_ready, worker_environment
from reco_stream.processes import tail
from reco_stream.progress import Progress
from reco_stream.replay import ReplayReport, open_producer, replay, send_items
from reco_stream.sample_data import DAY_MS, SampleSize, live_events, sample_events, sample_items
from reco_stream.settings import Settings
from reco_stream.settings_loader import load_settings
from reco_stream.topics import create_topics
from reco_stream.worker_api import ApiError, get, post, quoted

SEED = 7
WORKERS = 2
READY_WITHIN_S = 120.0
STUCK_AFTER_S = 60.0
MARKER = ".reco-demo"  # in a folder that a demo made, and so may empty
STANDS_STILL_S = 2.0
OWNER_WITHIN_S = 15.0
POLL_S = 0.1
LIVE_EVENTS_PER_S = 5
LIVE_NEWS_EVERY_S = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """What to show: sample data of `size`, files in `folder` (emptied first); with `once` no live events follow."""

    folder: Path
    size: SampleSize
    once: bool
    say: Say

    def run(self) -> None:
        """Returns after the recommendations with `once`, else when Ctrl-C or SIGTERM ends the live events.

        Raises DemoError, WorkerEnded or WorkerNotReady when it cannot go on, KeyboardInterrupt when it is stopped
        before the live events.
        """
        with _everything_stopped_at_the_end() as stack:
            stack.enter_context(_alone_in(self.folder))
            broker = choose_broker(self.folder / "kafka", self.say)
            stack.callback(broker.stop)
            self.say(f"Kafka     {broker.address} ({broker.description})")
            settings = self._topics(broker, stack)
            workers = start_workers(WORKERS, self.folder, worker_environment(broker.address, settings.app))
            stack.callback(stop_workers, workers)
            self.say(f"Workers   {'  '.join(worker.url for worker in workers)}")
            events = sample_events(self.size, SEED, _now_ms())
            self._send(settings, events)
            wait_until_ready(workers, READY_WITHIN_S)
            self._wait_until_applied(settings, workers, events)
            user = busiest_user(events)
            token = settings.admin_token
            self._show(workers, user, token.get_secret_value() if token is not None else None)
            if not self.once:
                self._live(workers)

    def _topics(self, broker: Broker, stack: ExitStack) -> Settings:
        """Topics under a name of this run's own, unless RECO_APP gives one; on a Kafka that stays they are deleted."""
        given = os.environ.get("RECO_APP")
        settings = load_settings(broker=broker.address, app=given or f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}")
        if broker.keeps_data and not given:
            stack.callback(lambda: asyncio.run(delete_topics(settings)))
        asyncio.run(create_topics(settings))
        return settings

    def _send(self, settings: Settings, events: Sequence[RawEvent]) -> None:
        with Progress("Sending sample events", len(events)) as progress:

            def show_sent(report: ReplayReport) -> None:
                progress.update(report.sent, f"{report.sent:,} events")

            report = asyncio.run(self._send_all(settings, events, show_sent))
        if report.error is not None:
            raise DemoError(f"Kafka took {report.sent:,} of {len(events):,} events: {report.error}")
        self.say(
            f"Sent      {report.sent:,} events of {self.size.days} days, up to now, in {report.seconds:.1f} s "
            f"({report.per_second:,.0f}/s)"
        )

    async def _send_all(
        self, settings: Settings, events: Sequence[RawEvent], show_sent: Callable[[ReplayReport], None]
    ) -> ReplayReport:
        lines = (Line(number, *encode_event(event), None) for number, event in enumerate(events, start=1))
        async with open_producer(settings) as producer:
            await send_items(producer, settings.topic("items"), sample_items(self.size, SEED, _now_ms()))
            return await replay(producer, settings.topic("events"), lines, on_progress=show_sent)

    def _wait_until_applied(self, settings: Settings, workers: list[Worker], events: Sequence[RawEvent]) -> None:
        """Returns when the workers have applied every event and have told each other about every item."""
        began = moved = time.monotonic()
        items = len({event.item_id for event in events})
        before = -1
        with Progress("Applying", len(events)) as progress:
            while True:
                state = ask_state(workers)
                progress.update(state.applied, f"{state.applied:,} events")
                done = state.partitions == settings.partitions and state.lag == 0 and state.applied >= len(events)
                # An item may never be published, when its events were refused: then what is known must stand still.
                if done and (state.known_items >= items or time.monotonic() - moved > STANDS_STILL_S):
                    break
                if state.applied + state.known_items != before:
                    before, moved = state.applied + state.known_items, time.monotonic()
                elif time.monotonic() - moved > STUCK_AFTER_S:
                    raise DemoError(f"after {STUCK_AFTER_S:g} s without progress: {state}\n{_logs(workers)}")
                time.sleep(POLL_S)
        self.say(f"Applied   all of them, {time.monotonic() - began:.1f} s after the workers were ready")

    def _show(self, workers: list[Worker], user: str, token: str | None) -> None:
        try:
            recent = get(workers[0].url, f"/users/{quoted(user)}/recent")
            answer = self._recommendations(workers[0].url, user)
            shown_of_catalogue = list(catalogue_lines(workers[0].url, user, token))
        except ApiError as error:
            raise DemoError(f"{error}\n{_logs(workers)}") from None
        urls, logs = [worker.url for worker in workers], [worker.log_file for worker in workers]
        for lines in (
            show.recent_lines(recent, show.utc_now()),
            show.recommendation_lines(answer),
            shown_of_catalogue,
            show.url_lines(urls, user, logs),
        ):
            self.say("\n" + "\n".join(lines))

    def _recommendations(self, url: str, user: str) -> dict[str, Any]:
        """The answer of the worker that knows the user. On a busy machine it may be late the very first time."""
        deadline = time.monotonic() + OWNER_WITHIN_S
        while True:
            answer: dict[str, Any] = get(url, "/recommendations", user_id=user, count=5, exclude_seen="true")
            if answer["source"] != "fallback" or time.monotonic() > deadline:
                return answer
            time.sleep(POLL_S)

    def _live(self, workers: list[Worker]) -> None:
        """Sends a trickle of live events over HTTP until Ctrl-C or SIGTERM."""
        self.say(f"\nLive      {LIVE_EVENTS_PER_S} events a second; Ctrl-C stops everything")
        sent = 0
        news = time.monotonic() + LIVE_NEWS_EVERY_S
        try:
            for number, event in enumerate(live_events(self.size, SEED)):
                for worker in workers:
                    worker.check()
                try:
                    post(workers[number % len(workers)].url, "/events", msgspec.json.encode(event))
                    sent += 1
                except ApiError as error:
                    self.say(f"an event was not taken: {error}")
                if time.monotonic() > news:
                    news = time.monotonic() + LIVE_NEWS_EVERY_S
                    self.say(f"Live      {sent:,} events")
                time.sleep(1 / LIVE_EVENTS_PER_S)
        except KeyboardInterrupt:
            self.say(f"\nStopping after {sent:,} live events")


@dataclass(frozen=True)
class State:
    """How far all workers together are: partitions that run, events applied, events not yet applied, items known to
    the worker that knows the fewest."""

    partitions: int
    applied: int
    lag: int
    known_items: int


def ask_state(workers: Sequence[Worker]) -> State:
    """The state by the workers' /health. A worker that does not answer counts as one that has nothing.

    Raises WorkerEnded when one has ended.
    """
    applied: dict[int, int] = {}
    lag: dict[int, int] = {}
    known: list[int] = []
    for worker in workers:
        worker.check()
        try:
            health = get(worker.url, "/health")
        except ApiError:
            known.append(0)
            continue
        known.append(health["read_model_items"])
        for part in health["partitions"]:
            if part["running"]:
                applied[part["partition"]] = part["applied"] + 1
                lag[part["partition"]] = part["lag_records"]
    return State(len(applied), sum(applied.values()), sum(lag.values()), min(known))


def busiest_user(events: Sequence[RawEvent]) -> str:
    """The user with an account who touched the most items in the last day; of several, the first by name."""
    since = int(events[-1].timestamp or 0) - DAY_MS
    touched: dict[str, set[object]] = defaultdict(set)
    for event in events:
        if event.user_id is not None and int(event.timestamp or 0) >= since:
            touched[str(event.user_id)].add(event.item_id)
    if not touched:
        raise DemoError("no user in the sample events; wanted: more events (--events)")
    return min(touched, key=lambda user: (-len(touched[user]), user))


@contextmanager
def _everything_stopped_at_the_end() -> Iterator[ExitStack]:
    """A stack of what must be stopped; SIGTERM counts as Ctrl-C, and neither disturbs the stopping."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = ExitStack()
    try:
        yield stack
    finally:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            stack.close()
        finally:
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """The folder, emptied, for this run alone.

    Raises DemoError when another demo runs in it, or when it holds files and no demo made it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / MARKER).exists():
        raise DemoError(f"{folder} is not empty and no demo made it; wanted: an empty or a new folder (--folder)")
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another demo runs in {folder}; stop it, or choose another folder (--folder)") from None
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        (folder / MARKER).touch()
        yield


def _logs(workers: Sequence[Worker]) -> str:
    return "\n".join(f"the end of {worker.log_file}:\n{tail(worker.log_file)}" for worker in workers)


def _now_ms() -> int:
    return int(time.time() * 1000)
