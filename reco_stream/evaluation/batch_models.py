"""Batch models of the package `implicit` as optional baselines: fitted once on all that came before the first query.

    implicit_items   item-item, TF-IDF weighted, 100 neighbours an item
    implicit_als     matrix factorisation by alternating least squares; a person's factors are computed for each query

The package is imported only when one of them is asked for (pip install 'reco-stream[evaluate]').
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from importlib import import_module
from typing import Any, NamedTuple

from reco_stream.domain.context import Context
from reco_stream.evaluation.log import Logged

NEIGHBOURS = 100
FACTORS, ALPHA, ITERATIONS = 128, 40.0, 15
MODELS = ("implicit_items", "implicit_als")


class MissingPackage(ValueError):
    """A system needs a package that is not installed: which, and how to install it."""


class Table(NamedTuple):
    """Sessions by items in compressed rows: session n holds the items `columns[starts[n]:starts[n + 1]]`, each once."""

    starts: list[int]
    columns: list[int]


class PastSessions:
    """All sessions so far, as sets of numbered items.

    >>> past = PastSessions()
    >>> past.add([Logged("s", "u", item, "view", 0) for item in "aba"], start=0)
    >>> past.table(), past.names
    (Table(starts=[0, 2], columns=[0, 1]), ['a', 'b'])
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._number_of: dict[str, int] = {}
        self._sessions: dict[str, dict[int, None]] = {}

    def add(self, session: Sequence[Logged], start: int) -> None:
        """Take in the events of a session from position `start` on."""
        for event in session[start:]:
            number = self._number_of.setdefault(event.item, len(self.names))
            if number == len(self.names):
                self.names.append(event.item)
            self._sessions.setdefault(event.session, {})[number] = None

    def table(self) -> Table:
        """Return all sessions."""
        starts, columns = [0], list[int]()
        for items in self._sessions.values():
            columns.extend(items)
            starts.append(len(columns))
        return Table(starts, columns)

    def numbers(self, items: Sequence[str]) -> list[int]:
        """Return the numbers of known items."""
        return [self._number_of[item] for item in items if item in self._number_of]


class BatchModel:
    """A model of `implicit` behind the one call of all systems. Raises `MissingPackage` when it is not installed."""

    def __init__(self, name: str, past: PastSessions, load: Callable[[str], Any] = import_module) -> None:
        self._name = name
        self._past = past
        try:
            self._sparse: Any = load("scipy.sparse")
            self._module: Any = load("implicit.als" if name == "implicit_als" else "implicit.nearest_neighbours")
        except ImportError as error:
            raise MissingPackage(
                f"system {name} needs a package that is not installed ({error}): pip install 'reco-stream[evaluate]'"
            ) from None
        self._model: Any = None
        self._items = 0  # known when it was fitted

    def rank(self, context: Context, count: int, exclude: Set[str]) -> list[str]:
        """Return items by falling score; the first call fits the model."""
        if self._model is None:
            self._fit()
        known = [number for number in self._past.numbers(context.newest(len(context.recent))) if number < self._items]
        if not known:
            return []
        person = self._sparse.csr_matrix(([1.0] * len(known), sorted(known), [0, len(known)]), shape=(1, self._items))
        options = {"recalculate_user": True} if self._name == "implicit_als" else {}
        wanted = min(count + len(exclude), self._items)
        found, scores = self._model.recommend(0, person, N=wanted, filter_already_liked_items=False, **options)
        ranked = zip(found.tolist(), scores.tolist(), strict=True)
        names = [self._past.names[number] for number, score in ranked if number >= 0 and score > 0]
        return [name for name in names if name not in exclude][:count]

    def _fit(self) -> None:
        logging.getLogger("implicit").setLevel(logging.ERROR)
        table = self._past.table()
        self._items = len(self._past.names)
        shape = (len(table.starts) - 1, self._items)
        sessions = self._sparse.csr_matrix(([1.0] * len(table.columns), table.columns, table.starts), shape=shape)
        sessions.sort_indices()
        if self._name == "implicit_als":
            self._model = self._module.AlternatingLeastSquares(
                factors=FACTORS, alpha=ALPHA, iterations=ITERATIONS, random_state=1
            )
        else:
            self._model = self._module.TFIDFRecommender(K=NEIGHBOURS)
        self._model.fit(sessions, show_progress=False)
