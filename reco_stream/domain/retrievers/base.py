"""The one signature of all retrievers, and the ranking of candidates that they share."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple, Protocol

import numpy as np

from reco_stream.domain.compact import Names
from reco_stream.domain.context import Context
from reco_stream.domain.neighbourhood import Floats, Ints
from reco_stream.domain.scoring import best


class Candidate(NamedTuple):
    """A proposed item; scores of one retriever compare with each other, not with another's."""

    item: str
    score: float


class Retriever(Protocol):
    """Proposes items for a context. Pure: the same state and context give the same list."""

    @property
    def name(self) -> str: ...

    def recommend(self, context: Context, count: int, exclude: Set[str] = frozenset()) -> list[Candidate]:
        """Return at most `count` items by falling score, each once, none in `exclude`, every score above 0."""
        ...


def best_places(scores: Floats, count: int) -> Ints:
    """Return the places of the `count` highest scores, highest first; the later place among equals.

    >>> best_places(np.array([0.2, 0.5, 0.2]), 2).tolist()
    [1, 2]
    """
    return np.frombuffer(best(scores, count), np.int64)


def top(names: Names, numbers: Ints, scores: Floats, count: int, exclude: Set[str]) -> list[Candidate]:
    """Return the best candidates that are not excluded; among equal scores the later in `numbers` comes first.

    Candidates of sessions lie in the order of their newest session, so a tie goes to the item seen last.
    """
    wanted = min(count + len(exclude), len(scores))
    if wanted <= 0:
        return []
    order = best_places(scores, wanted)
    chosen: list[Candidate] = []
    for number, score in zip(numbers[order].tolist(), scores[order].tolist(), strict=True):
        item = names[number]
        if score > 0 and item not in exclude:
            chosen.append(Candidate(item, score))
            if len(chosen) == count:
                break
    return chosen
