"""Recommendations from what is local: the user's own state where this worker owns it, and the read model of items."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from reco_stream.domain.ranker import Query, Ranking, RecentItem, Scored
from web.after import WAIT_S, Token, is_applied
from web.next_token import write_token
from web.rules import NOTHING_ASKED, Asked, rank
from web.schemas import Recommendations, RecommendedItem, Source
from web.services import Services
from web.user_state import NOBODY, UserState, as_of, events_of, freshness, read_model_lag, time_text, user_state

SCORE_DIGITS = 6
COPY_NOTE = "no worker that certainly owns this user answered: this is from a copy of its state that may be behind"
AFTER_NOTE = f"the events of `after` were not applied within {WAIT_S:g} s: this was made without them"
FALLBACK_NOTE = "the worker that knows this user did not answer: these are popular items"


@dataclass(frozen=True, slots=True)
class Wish:
    """How the caller wants the answer. `exclude_seen`: all items that the user touched, or by event type."""

    count: int = 10
    exclude_seen: bool | frozenset[str] = False
    explain: bool = False
    ranker: str | None = None
    asked: Asked = NOTHING_ASKED
    after: Token | None = None


class Recommender:
    """Answers without waiting for anybody; not thread-safe, and cheap to make."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def for_user(self, user: str, wish: Wish) -> Recommendations:
        """Returns recommendations for a user whose partition is running here; popular items when nothing is known."""
        started = time.perf_counter()
        known = user_state(self._services, user)
        return _timed(self._known(user, known, wish, "owner"), started)

    def from_copy(self, user: str, wish: Wish) -> Recommendations | None:
        """Returns recommendations from a copy of the state that may be behind; None when no copy knows the user."""
        started = time.perf_counter()
        if not self._services.state.is_readable(self._services.state.partition_of(user)):
            return None
        known = user_state(self._services, user)
        if known == NOBODY:
            return None
        answer = self._known(user, known, wish, "standby")
        answer.stale = True
        answer.notes = [*answer.notes, COPY_NOTE]
        return _timed(answer, started)

    def fallback(self, user: str, wish: Wish) -> Recommendations:
        """Returns popular items, and says that it is them because nobody who knows the user answered."""
        started = time.perf_counter()
        ranking = self._rank(NOBODY.recent, NOBODY.hidden, wish)
        answer = self._answer(user, ranking, wish, "fallback", time_text(self._services.items.stream_time_ms))
        answer.notes = [*answer.notes, FALLBACK_NOTE]
        return _timed(answer, started)

    def for_items(self, items: Sequence[str], wish: Wish) -> Recommendations:
        """Returns recommendations for somebody who looked at `items`, oldest first; any worker gives the same."""
        started = time.perf_counter()
        now_ms = self._services.now_ms()
        newest_first = dict.fromkeys(reversed(items))
        recent = [RecentItem(item, 1.0, now_ms) for item in newest_first]
        ranking = self._rank(recent, frozenset(), wish)
        answer = self._answer(None, ranking, wish, "read_model", time_text(self._services.items.stream_time_ms))
        return _timed(answer, started)

    def _known(self, user: str, known: UserState, wish: Wish, source: Source) -> Recommendations:
        partition = self._services.state.partition_of(user)
        ranking = self._rank(known.recent, known.hidden, wish, user)
        answer = self._answer(user, ranking, wish, source, as_of(self._services, partition))
        answer.freshness = found = freshness(self._services, partition)
        if wish.after is not None:
            found.after_applied = is_applied(self._services, partition, wish.after)
            if not found.after_applied:
                answer.notes = [*answer.notes, AFTER_NOTE]
        return answer

    def _rank(
        self, recent: Sequence[RecentItem], hidden: frozenset[str], wish: Wish, user: str | None = None
    ) -> Ranking:
        seen = wish.exclude_seen
        if isinstance(seen, frozenset):
            events = events_of(self._services, user) if user is not None else ()
            hidden |= {item for item, kind, _ in events if kind in seen}
        query = Query(recent, wish.count, self._services.now_ms(), hidden, seen is True, explain=wish.explain)
        ranker = self._services.ranker(wish.ranker)
        return rank(
            self._services,
            ranker,
            query,
            wish.asked,
            lambda: events_of(self._services, user) if user is not None else (),
        )

    def _answer(
        self, user: str | None, ranking: Ranking, wish: Wish, source: Source, known_until: str | None
    ) -> Recommendations:
        return Recommendations(
            user_id=user,
            recommendation_id=os.urandom(16).hex(),
            recommendations=self._items(ranking.items, wish.explain),
            as_of=known_until,
            source=source,
            model=self._services.ranker(wish.ranker).name,
            took_ms=0.0,
            read_model_lag_seconds=read_model_lag(self._services),
            notes=list(ranking.notes),
            next=_next(ranking, wish),
        )

    def _items(self, found: Sequence[Scored], explain: bool) -> list[RecommendedItem]:
        title_of = self._services.title_of
        items = [
            RecommendedItem(item, round(score, SCORE_DIGITS), reason.words(title_of), title_of(item) or UNSET)
            for item, score, reason, _, _ in found
        ]
        if explain:
            for item, scored in zip(items, found, strict=True):
                item.parts = {name: round(part, SCORE_DIGITS) for name, part in scored.parts.items()}
                item.evidence = dict(scored.evidence) or UNSET
        return items


def _next(ranking: Ranking, wish: Wish) -> str | UnsetType:
    if len(ranking.items) < wish.count:
        return UNSET
    return write_token(wish.asked.shown, [scored.item for scored in ranking.items]) or UNSET


def _timed(answer: Recommendations, started: float) -> Recommendations:
    answer.took_ms = round((time.perf_counter() - started) * 1000, 3)
    return answer
