import math

import numpy as np
import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.co_view import CoView, Normalise, llr
from reco_stream.domain.session_index import SessionIndex
from tests.domain.random_sessions import START_MS, index_of, random_sessions


def entropy(*counts: float) -> float:
    total = sum(counts)
    return -sum(count * math.log(count / total) for count in counts if count)


def literal(context: list[str], sessions: list[set[str]], normalise: str, correlated: int) -> dict[str, float]:
    """The formulas, slowly: LLR by unnormalised entropies."""
    scores: dict[str, float] = {}
    for rank, item in enumerate(context[::-1]):
        strength: dict[str, float] = {}
        for other in set.union(*sessions):
            both = sum({item, other} <= session for session in sessions)
            alone = sum(item in session for session in sessions) - both
            reverse = sum(other in session for session in sessions) - both
            neither = len(sessions) - both - alone - reverse
            if normalise == "row":
                strength[other] = both / (both + alone)
            elif other != item and both and both * neither > alone * reverse:
                rows, columns = entropy(both + alone, reverse + neither), entropy(both + reverse, alone + neither)
                strength[other] = 2 * (rows + columns - entropy(both, alone, reverse, neither))
        for other in sorted(strength, key=lambda name: strength[name])[-correlated:]:
            scores[other] = scores.get(other, 0.0) + strength[other] / (1 + rank)
    return {name: score for name, score in scores.items() if score > 0}


@pytest.mark.parametrize(
    ("normalise", "correlated", "context"),
    [
        ("row", 1_000, ["i0"]),
        ("row", 1_000, ["i0", "i5", "i2", "i9"]),
        ("llr", 1_000, ["i0"]),
        ("llr", 1_000, ["i0", "i5", "i2", "i9"]),
        ("llr", 5, ["i3", "i1"]),
    ],
)
def test_scores_equal_the_formula(normalise: Normalise, correlated: int, context: list[str]) -> None:
    sessions = random_sessions(150, 20, seed=8)
    expected = literal(context, [{item for item, _, _ in events} for _, events in sessions], normalise, correlated)
    recent = tuple(Interaction(item, "view", START_MS) for item in context)
    retriever = CoView(index_of(sessions), normalise, correlated=correlated)
    found = retriever.recommend(Context(recent, START_MS), count=100)
    assert {candidate.item: candidate.score for candidate in found} == pytest.approx(expected, rel=1e-9)


def test_llr_prefers_what_belongs_together_to_what_is_everywhere() -> None:
    index = SessionIndex()
    for number in range(40):
        partner = ["lamp", "bulb"] if number % 4 == 0 else ["lamp"] if number % 4 == 1 else [f"x{number}"]
        visits = [(item, "view", number) for item in [*partner, "bag"]]
        index.put(f"s{number}", visits, number)
    context = Context((Interaction("lamp", "view", 99),), 99)
    assert CoView(index, "row").recommend(context, 1, {"lamp"})[0].item == "bag"
    assert CoView(index, "llr").recommend(context, 1, {"lamp"})[0].item == "bulb"


def test_a_table_without_surprise_is_nought() -> None:
    tables = (np.array([float(value)]) for value in (25, 25, 25, 25))
    assert llr(*tables).tolist() == [0.0]


def test_another_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="co_view: normalise is 'cosine', wanted 'row' or 'llr'"):
        CoView(SessionIndex(), "cosine")  # type: ignore[arg-type]
