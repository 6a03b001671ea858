"""The settings that change rows, in the units of the rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from reco_stream.domain.buckets import DAY_MS


@dataclass(frozen=True, slots=True)
class TableRules:
    """Everything that a fold depends on besides the events; times in milliseconds.

    `event_weights` and `negative_types` are applied before the fold, when an event is decoded. They are here because
    rows depend on them all the same: state folded with other weights is other state.
    """

    recent_limit: int = 50  # items a user
    excluded_limit: int = 1_000  # disliked or hidden items a user
    recent_ttl_ms: int = 90 * DAY_MS
    anonymous_ttl_ms: int = 30 * DAY_MS
    session_gap_ms: int = 30 * 60_000
    sessions_kept: int = 3  # the open one and the ones that late events may still join
    session_items: int = 50  # distinct items a session
    sessions_shared: int = 6_000  # of an item, an hour and partition: of more, other workers get a sample
    co_view_last: int = 10
    co_view_limit: int = 100
    co_view_half_life_ms: int = 7 * DAY_MS
    co_view_window_ms: int = 30 * DAY_MS
    popularity_half_life_ms: int = DAY_MS
    dedupe_window_ms: int = DAY_MS
    dedupe_limit: int = 1_000  # event ids a user
    event_weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    negative_types: frozenset[str] = frozenset()

    def ttl_ms(self, user: str) -> int:
        """How long after the last event of `user` the rows of that user are forgotten."""
        return self.anonymous_ttl_ms if user.startswith("~") else self.recent_ttl_ms
