"""The default ranker: the fused session sources, filled up by what is popular where they know too little."""

from __future__ import annotations

from collections.abc import Set

from reco_stream.domain.context import Context
from reco_stream.domain.ranker import Query, Ranker, Ranking, Scored
from reco_stream.domain.recommender import Recommendation, Recommender

# With a filter: candidates asked for at first, as a multiple of the count; the fusion keeps some hundreds at most.
_FILTERED_FACTOR = 10


class FusionRanker:
    """Ranks by `Recommender`; an unknown person, or a person of unknown items, gets the answer of `filler`.

    Never shorter than what `filler` alone would give.
    """

    name = "fusion"

    def __init__(self, recommender: Recommender, filler: Ranker, session_gap_ms: int) -> None:
        self.recommender = recommender
        self._filler = filler
        self._session_gap_ms = session_gap_ms

    def rank(self, query: Query) -> Ranking:
        """Returns the ranking; deterministic for equal sessions, weights, item rows and query."""
        if not query.recent:
            return self._filler.rank(query)
        events = [(seen.item, seen.type, seen.time_ms) for seen in reversed(query.recent)]
        context = Context.of(events, query.now_ms, self._session_gap_ms)
        exclude = set(query.hidden)
        if query.exclude_seen:
            exclude.update(seen.item for seen in query.recent)
        found = self._accepted(context, query, exclude)
        items = [_explained(one) if query.explain else Scored(one.item, one.score, one.reason) for one in found]
        if len(items) < query.count:
            items += self._filled(query, exclude | {one.item for one in items}, query.count - len(items))
        return Ranking(items)

    def _accepted(self, context: Context, query: Query, exclude: Set[str]) -> list[Recommendation]:
        if query.accept is None:
            return self.recommender.recommend(context, query.count, exclude, query.explain)
        found = self.recommender.recommend(context, query.count * _FILTERED_FACTOR, exclude, query.explain)
        return [one for one in found if query.accept(one.item)][: query.count]

    def _filled(self, query: Query, taken: Set[str], count: int) -> list[Scored]:
        nobody = Query((), count, query.now_ms, taken, accept=query.accept, pool=query.pool)
        # 0: below every fused score, which are shares of probability.
        return [filler._replace(score=0.0) for filler in self._filler.rank(nobody).items]


def _explained(found: Recommendation) -> Scored:
    reason = found.reason
    evidence = {
        "kind": reason.kind,
        "item": reason.anchor,
        "event_type": reason.anchor_type,
        "sessions": reason.sessions,
        "span_s": round(reason.span_s),
        "source_ranks": dict(found.source_ranks),
    }
    return Scored(found.item, found.score, reason, found.parts, evidence)
