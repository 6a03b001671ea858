"""What the retrievers over the session index have in common: gather neighbours, score them, rank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set

from reco_stream.domain.context import Context
from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.retrievers.base import Candidate, top
from reco_stream.domain.session_index import SessionIndex


class SessionRetriever(ABC):
    """A retriever that scores the sessions that share one of the last `last_n` items with the context.

    `limit`: at most that many neighbour sessions are looked at, the newest.
    """

    name = ""

    def __init__(self, index: SessionIndex, last_n: int, limit: int) -> None:
        if last_n < 1 or limit < 1:
            raise ValueError(f"{self.name}: last_n is {last_n} and limit {limit}, wanted 1 or more")
        self.index = index
        self.last_n = last_n
        self.limit = limit

    @abstractmethod
    def score(self, items: list[int], now_ms: int) -> tuple[Ints, Floats]:
        """Return item numbers and their scores, given at least one item number of the context, newest first."""

    def recommend(self, context: Context, count: int, exclude: Set[str] = frozenset()) -> list[Candidate]:
        """Return at most `count` items by falling score, none of them in `exclude`."""
        items = self.index.numbers(context.newest(self.last_n))
        if not items:
            return []
        numbers, scores = self.score(items, context.now_ms)
        return top(self.index.names, numbers, scores, count, exclude)
