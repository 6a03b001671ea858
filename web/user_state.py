"""What the worker knows of a user, in the form that rankers take."""

from __future__ import annotations

from dataclasses import dataclass

from reco_stream.domain.ranker import RecentItem
from reco_stream.engine.table import Table
from tables.recent import RECENT, RecentRow, newest_first
from tables.sessions import SESSIONS, SessionsRow
from web.encoding import rfc3339
from web.schemas import Freshness
from web.services import Services

_TABLE: Table[RecentRow] = RECENT
_SESSIONS: Table[SessionsRow] = SESSIONS


@dataclass(frozen=True, slots=True)
class UserState:
    """Items newest first (hidden ones left out), and the items never to be shown."""

    recent: list[RecentItem]
    hidden: frozenset[str]


NOBODY = UserState([], frozenset())


def recent_row(services: Services, user: str) -> RecentRow | None:
    """Returns the user's row as last checkpointed; only for users of a partition that is running here."""
    return services.state.read(services.state.partition_of(user), _TABLE, user)


def user_state(services: Services, user: str) -> UserState:
    """Returns what the ranker should know; nothing for a user without events."""
    row = recent_row(services, user)
    if row is None:
        return NOBODY
    weights = services.settings.event_weights
    hidden = frozenset(row.excluded)
    recent = [
        RecentItem(item, weights.get(seen.type, 0.0), seen.time_ms, seen.type)
        for item, seen in reversed(row.items.items())
        if item not in hidden
    ]
    return UserState(recent, hidden)


def events_of(services: Services, user: str) -> list[tuple[str, str, int]]:
    """Returns (item, type, time_ms) of what is kept of the user: the newest event on each item, and its sessions."""
    found: list[tuple[str, str, int]] = []
    row = recent_row(services, user)
    if row is not None:
        found += [(entry.item, entry.type, entry.time_ms) for entry in newest_first(row)]
    sessions: SessionsRow | None = services.state.read(services.state.partition_of(user), _SESSIONS, user)
    for session in sessions.sessions if sessions is not None else ():
        found += [(item, visit.type, visit.time_ms) for item, visit in session.items.items()]
    return found


def freshness(services: Services, partition: int) -> Freshness:
    """Returns how far the partition's state is, and what it does not contain yet; a copy cannot know the latter."""
    if not services.state.is_running(partition):
        return Freshness(partition, services.state.marker(partition).applied, None, None)
    lag = services.state.lag(partition)
    return Freshness(partition, lag.applied, lag.records, round(lag.seconds, 3))


def read_model_lag(services: Services) -> float:
    """Returns the seconds since this worker last had everything that was published, as answers show it."""
    return round(services.state.read_models_behind_s, 3)


def as_of(services: Services, partition: int) -> str | None:
    """Returns the event time up to which the partition knows the log, None before its first event."""
    return time_text(services.state.marker(partition).stream_time_ms)


def time_text(stream_time_ms: int) -> str | None:
    """Returns a stream time for an answer: 0 means that nothing happened yet."""
    return rfc3339(stream_time_ms) if stream_time_ms > 0 else None
