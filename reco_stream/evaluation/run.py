"""One evaluation from a log to a report: where the test part starts, what is compared, on what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from reco_stream.domain.recommender import Recommender
from reco_stream.engine_settings import table_rules
from reco_stream.evaluation.log import Log, LogError
from reco_stream.evaluation.report import Report, summarise
from reco_stream.evaluation.systems import DEFAULT_SYSTEMS, World
from reco_stream.evaluation.time_travel import Plan, TimeTravel, Visibility
from reco_stream.settings import Settings

DAY_MS = 86_400_000


def split_position(log: Log, split: str | None) -> int:
    """Return the position of the first test event.

    `split`: a share of the events ("0.8"), days from the start ("3d"), or a time ("2017-10-04T00:00:00"); None: the
    file's own test part, or 0 (everything is asked for) when it names none. Raises `LogError`.
    """
    events = log.events
    if not events:
        raise LogError("the log is empty, wanted at least one event")
    if split is None:
        return log.test_from or 0
    if split.endswith("d"):
        position = _first_at(log, events[0].time_ms + round(_number(split[:-1], split) * DAY_MS))
    elif split.replace(".", "", 1).isdigit():
        share = float(split)
        if not 0 < share < 1:
            raise LogError(f"split is {split}, wanted a share between 0 and 1, such as 0.8")
        position = round(share * len(events))
    else:
        position = _first_at(log, _time_ms(split))
    if not 0 <= position < len(events):
        raise LogError(f"split {split} leaves no test events: the log ends {_iso(events[-1].time_ms)}")
    return position


def world_of(settings: Settings, systems: Sequence[str] = DEFAULT_SYSTEMS) -> World:
    """Return a world of no past that follows the rules of workers with these settings."""
    recommender = Recommender(pinned=settings.fusion_weights)
    return World(systems, recommender, table_rules(settings), settings.event_weights, settings.partitions)


def evaluate(
    title: str,
    log: Log,
    split: str | None = None,
    visibility: Visibility = "open",
    systems: Sequence[str] = DEFAULT_SYSTEMS,
    sample: float = 1.0,
    k: int = 20,
    settings: Settings | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Return what the systems reach on the test part of the log.

    Rules of the tables, event weights and pinned fusion weights are those of `settings`.
    """
    world = world_of(settings or Settings(), systems)
    plan = Plan(split_position(log, split), visibility, sample, k)
    answers = TimeTravel(log.events, world, plan).run(progress)
    weights = {scenario: world.recommender.weights(scenario) for scenario in world.recommender.learners}
    return summarise(title, log.events, plan, answers, weights)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LogError(f"split is {whole}, wanted 0.8, 3d or 2017-10-04T00:00:00") from None


def _time_ms(text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise LogError(f"split is {text}, wanted 0.8, 3d or 2017-10-04T00:00:00") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat()


def _first_at(log: Log, time_ms: int) -> int:
    return next((place for place, event in enumerate(log.events) if event.time_ms >= time_ms), len(log.events))
