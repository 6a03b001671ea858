"""What the retrievers over the session index have in common: gather neighbours, score them, rank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set

from reco_stream.domain.context import Context
from reco_stream.domain.neighbourhood import Floats, Ints, Neighbours, Workspace
from reco_stream.domain.retrievers.base import Candidate, top
from reco_stream.domain.session_index import SessionIndex


class SessionRetriever(ABC):
    """A retriever that scores the sessions that share one of the last `last_n` items with the context.

    `limit`: at most that many neighbour sessions are looked at, the newest.
    """

    name = ""

    def __init__(self, index: SessionIndex, last_n: int, limit: int, workspace: Workspace | None = None) -> None:
        if last_n < 1 or limit < 1:
            raise ValueError(f"{self.name}: last_n is {last_n} and limit {limit}, wanted 1 or more")
        self.index = index
        self.last_n = last_n
        self.limit = limit
        self.workspace = workspace or Workspace(index)

    def neighbours(self, context: Context) -> Neighbours | None:
        """Return the sessions near the context; None when there are none."""
        numbers = self.index.numbers(context.newest(self.last_n))
        return Neighbours.gather(self.workspace, numbers, context.now_ms, self.limit) if numbers else None

    @abstractmethod
    def score(self, neighbours: Neighbours) -> tuple[Ints, Floats]:
        """Return item numbers and their scores."""

    def recommend(self, context: Context, count: int, exclude: Set[str] = frozenset()) -> list[Candidate]:
        """Return at most `count` items by falling score, none of them in `exclude`."""
        neighbours = self.neighbours(context)
        if neighbours is None:
            return []
        numbers, scores = self.score(neighbours)
        return top(self.index.names, numbers, scores, count, exclude)
