from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.evaluation.batch_models import BatchModel, MissingPackage, PastSessions
from reco_stream.evaluation.log import Logged


def visits(session: str, items: str) -> list[Logged]:
    return [Logged(session, session, item, "view", 0) for item in items]


def past_of(*sessions: str) -> PastSessions:
    past = PastSessions()
    for number, items in enumerate(sessions):
        past.add(visits(f"s{number}", items), 0)
    return past


def context(items: str) -> Context:
    return Context(tuple(Interaction(item, "view", 0) for item in items), 0)


class Matrix:
    """What the adapter hands over, as the package would get it."""

    def __init__(self, parts: tuple[list[float], list[int], list[int]], shape: tuple[int, int]) -> None:
        self.values, self.columns, self.starts = parts
        self.shape = shape

    def sort_indices(self) -> None:
        pass


class Model:
    """Answers with all items, the highest number first; the last one has no score."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.fitted: Matrix | None = None
        self.asked: list[tuple[list[int], dict[str, Any]]] = []

    def fit(self, sessions: Matrix, show_progress: bool) -> None:
        self.fitted = sessions

    def recommend(self, user: int, person: Matrix, **options: Any) -> tuple[Any, Any]:
        self.asked.append((person.columns, options))
        count = options["N"]
        found = np.arange(person.shape[1])[::-1][:count]
        return found, found.astype(float)


def model_of(name: str, past: PastSessions) -> tuple[BatchModel, list[Model]]:
    made: list[Model] = []

    def make(**options: Any) -> Model:
        made.append(Model(**options))
        return made[-1]

    package = SimpleNamespace(csr_matrix=Matrix, TFIDFRecommender=make, AlternatingLeastSquares=make)
    return BatchModel(name, past, load=lambda module: package), made


def test_a_growing_session_is_one_row_of_distinct_items() -> None:
    past = past_of("ab", "cb")
    past.add(visits("s0", "aba" + "d"), 2)
    assert past.names == ["a", "b", "c", "d"]
    assert past.table() == ([0, 3, 5], [0, 1, 3, 2, 1])


@pytest.mark.parametrize("name", ["implicit_items", "implicit_als"])
def test_is_fitted_once_on_all_that_came_before_the_first_query(name: str) -> None:
    past = past_of("abc", "bd")
    model, made = model_of(name, past)
    assert made == []
    assert model.rank(context("xcb"), 2, {"d"}) == ["c", "b"]  # "a" has no score
    past.add(visits("later", "eb"), 0)
    assert model.rank(context("be"), 9, frozenset()) == ["d", "c", "b"]
    (only,) = made
    assert only.fitted is not None
    assert (only.fitted.shape, only.fitted.starts, only.fitted.columns) == ((2, 4), [0, 3, 5], [0, 1, 2, 1, 3])
    assert [columns for columns, _ in only.asked] == [[1, 2], [1]]
    assert ("recalculate_user" in only.asked[0][1]) == (name == "implicit_als")


def test_knows_nothing_of_new_items() -> None:
    model, _ = model_of("implicit_items", past_of("ab"))
    assert model.rank(context("zz"), 5, frozenset()) == []


def test_a_missing_package_says_what_to_install() -> None:
    def missing(module: str) -> Any:
        raise ImportError(f"No module named {module!r}")

    with pytest.raises(MissingPackage) as told:
        BatchModel("implicit_als", PastSessions(), missing)
    assert str(told.value) == (
        "system implicit_als needs a package that is not installed (No module named 'scipy.sparse'): "
        "pip install 'reco-stream[evaluate]'"
    )
