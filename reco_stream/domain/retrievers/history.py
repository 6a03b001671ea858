"""Long-term history: what a known user touched before this session, newer and repeated touches first.

score(i) = sum over touches of i before this session of (1 + age in days)^-0.5
"""

from __future__ import annotations

from collections.abc import Set

from reco_stream.domain.context import Context
from reco_stream.domain.retrievers.base import Candidate

DAY_MS = 86_400_000


class History:
    """Proposes items of the user's earlier sessions; nothing for somebody without any.

    >>> from reco_stream.domain.context import Context, Interaction
    >>> past = (Interaction("tea", "purchase", 0), Interaction("cup", "view", 0), Interaction("tea", "view", 0))
    >>> History().recommend(Context((), now_ms=0, history=past), count=2)
    [Candidate(item='tea', score=2.0), Candidate(item='cup', score=1.0)]
    """

    name = "history"

    def scores(self, context: Context) -> dict[str, float]:
        """Return the score of every item of the history."""
        scores: dict[str, float] = {}
        for event in context.history:
            age_days = max(context.now_ms - event.time_ms, 0) / DAY_MS
            scores[event.item] = scores.get(event.item, 0.0) + 1.0 / (1.0 + age_days) ** 0.5
        return scores

    def recommend(self, context: Context, count: int, exclude: Set[str] = frozenset()) -> list[Candidate]:
        """Return at most `count` items by falling score; among equals the one touched last."""
        found = [Candidate(item, score) for item, score in self.scores(context).items() if item not in exclude]
        found.reverse()
        found.sort(key=lambda candidate: -candidate.score)
        return found[:count]
