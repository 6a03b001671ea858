"""The systems that are compared: everything that ranks, behind one call, over the same past.

All systems share one session index and one set of counts, so a run holds the past once and every system sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from heapq import nlargest

from reco_stream.domain.blend import Blend
from reco_stream.domain.context import Context
from reco_stream.domain.ranker import Query, RecentItem
from reco_stream.domain.recommender import Recommender
from reco_stream.domain.retrievers.base import Retriever
from reco_stream.domain.retrievers.co_view import CoView
from reco_stream.domain.retrievers.kernel import CO_VIEW, RULES, SEQUENCE, SESSION_KNN, Kernel, KernelRetriever
from reco_stream.domain.retrievers.transitive import Transitive
from reco_stream.domain.retrievers.vmis import VmisKnn
from reco_stream.domain.retrievers.vstan import STAN, VSTAN, Vstan
from reco_stream.domain.session_index import SessionIndex
from reco_stream.evaluation.batch_models import MODELS, BatchModel, PastSessions
from reco_stream.evaluation.counting import Counts
from reco_stream.evaluation.log import Logged
from reco_stream.evaluation.worker_tables import WorkerTables
from tables.rules import TableRules

Rank = Callable[[Context, int, Set[str]], list[str]]

COUNTED = ("popularity", "co_view_last", "rules_last")
BASELINES = (*COUNTED, "vmis_serenade", "blend")
OURS = "reco"
DEFAULT_SYSTEMS = (*BASELINES, OURS)


class UnknownSystem(ValueError):
    """A system that is not in the list of those that can be compared."""


class World:
    """The past, and the systems by name that answer from it.

    `rules`, `weights` (of event types) and `partitions` are those of the workers that the answers are to equal.
    """

    def __init__(
        self,
        names: Sequence[str] = DEFAULT_SYSTEMS,
        recommender: Recommender | None = None,
        rules: TableRules | None = None,
        weights: Mapping[str, float] | None = None,
        partitions: int = 1,
    ) -> None:
        self.recommender = recommender if recommender is not None else Recommender()
        self.counts = Counts()
        self.past = PastSessions()
        self.tables = WorkerTables(self.recommender, rules or TableRules(), weights or {}, "blend" in names, partitions)
        makers = self._makers()
        unknown = [name for name in names if name not in makers]
        if unknown:
            raise UnknownSystem(f"systems are {', '.join(unknown)}, wanted some of {', '.join(makers)}")
        self.systems: dict[str, Rank] = {name: makers[name]() for name in names}
        self._counted = bool(set(names) & set(COUNTED))
        self._kept = bool(set(names) & set(MODELS))

    def apply(self, session: Sequence[Logged], start: int, user: str | None = None) -> None:
        """Make a session known up to its last event; events before position `start` are known already.

        `user` takes the place of the events' own.
        """
        if self._counted:
            self.counts.add(session, start)
        if self._kept:
            self.past.add(session, start)
        self.tables.apply(session[start:], user)

    def _makers(self) -> Mapping[str, Callable[[], Rank]]:
        index, recommender = self.recommender.index, self.recommender
        kernels = {"session_knn": SESSION_KNN, "sequence": SEQUENCE, "rules": RULES, "co_view": CO_VIEW}
        makers: dict[str, Callable[[], Rank]] = {
            "popularity": lambda: self._popularity,
            "co_view_last": lambda: self._last(self.counts.pairs),
            "rules_last": lambda: self._last(self.counts.rules),
            "vmis_serenade": lambda: self._serenade(VmisKnn(index)),
            "vmis_knn": lambda: retrieved(VmisKnn(index, k=100, last_n=9)),
            "stan": lambda: retrieved(Vstan(index, STAN)),
            "vstan": lambda: retrieved(Vstan(index, VSTAN)),
            "co_view_row": lambda: retrieved(CoView(index, "row")),
            "co_view_llr": lambda: retrieved(CoView(index, "llr")),
            "blend": self._blend,
            "transitive": lambda: retrieved(Transitive(index)),
            "trending": lambda: retrieved(recommender.trending),
            "history": lambda: retrieved(recommender.history),
            "rrf": lambda: self._fused("rrf"),
            OURS: lambda: self._fused("learned"),
        }
        makers |= {name: _kernel_maker(index, name, kernel) for name, kernel in kernels.items()}
        makers |= {name: _batch_maker(name, self.past) for name in MODELS}
        return makers

    def _fused(self, method: str) -> Rank:
        recommender = self.recommender

        def rank(context: Context, count: int, exclude: Set[str]) -> list[str]:
            return [found.item for found in recommender.recommend(context, count, exclude, method=method)]

        return rank

    def _popularity(self, context: Context, count: int, exclude: Set[str]) -> list[str]:
        return [item for item in self.counts.popular() if item not in exclude][:count]

    @staticmethod
    def _last(rows: Mapping[str, Mapping[str, float]]) -> Rank:
        def rank(context: Context, count: int, exclude: Set[str]) -> list[str]:
            row = rows.get(context.recent[-1].item, {})
            best = nlargest(count + len(exclude), row.items(), key=lambda pair: (pair[1], pair[0]))
            return [item for item, _ in best if item not in exclude][:count]

        return rank

    @staticmethod
    def _serenade(retriever: Retriever) -> Rank:
        """As published: the item that is being looked at never comes back."""

        def rank(context: Context, count: int, exclude: Set[str]) -> list[str]:
            out = {*exclude, context.recent[-1].item}
            return [candidate.item for candidate in retriever.recommend(context, count, out)]

        return rank

    def _blend(self) -> Rank:
        blend = Blend(self.tables.items)

        def rank(context: Context, count: int, exclude: Set[str]) -> list[str]:
            newest: dict[str, RecentItem] = {}
            for event in reversed(context.recent):
                newest.setdefault(event.item, RecentItem(event.item, self.tables.weight(event.type), event.time_ms))
            query = Query(list(newest.values()), count, context.now_ms, hidden=exclude)
            return [scored.item for scored in blend.rank(query).items]

        return rank


def _kernel_maker(index: SessionIndex, name: str, kernel: Kernel) -> Callable[[], Rank]:
    return lambda: retrieved(KernelRetriever(index, name, kernel))


def _batch_maker(name: str, past: PastSessions) -> Callable[[], Rank]:
    return lambda: BatchModel(name, past).rank


def retrieved(retriever: Retriever) -> Rank:
    """Return a retriever as a system."""

    def rank(context: Context, count: int, exclude: Set[str]) -> list[str]:
        return [candidate.item for candidate in retriever.recommend(context, count, exclude)]

    return rank
