import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.vmis import VmisKnn
from tests.domain.random_sessions import START_MS, index_of, random_sessions
from tests.domain.retrievers import literal

NOW_MS = START_MS + 10**9


@pytest.mark.parametrize("context", [["i0"], ["i3", "i1"], ["i0", "i5", "i2", "i9"]])
@pytest.mark.parametrize(("m", "k", "last_n", "idf"), [(500, 500, 2, 1.0), (40, 15, 9, 1.0), (40, 15, 3, 0.0)])
def test_scores_equal_the_published_formula(context: list[str], m: int, k: int, last_n: int, idf: float) -> None:
    sessions = random_sessions(150, 20, seed=7)
    index = index_of(sessions)
    plain = [([item for item, _, _ in events], events[-1][2]) for _, events in sessions]
    expected = literal.vmis(context, plain, m, k, last_n, idf)
    recent = tuple(Interaction(item, "view", NOW_MS) for item in context)
    found = VmisKnn(index, m, k, last_n, idf).recommend(Context(recent, NOW_MS), count=100)
    assert {item: pytest.approx(score) for item, score in found} == {
        item: score for item, score in expected.items() if score > 0
    }


def test_a_match_ten_items_ago_counts_nothing_instead_of_less() -> None:
    index = index_of([("s", [("old", "view", START_MS), ("x", "view", START_MS + 1)]), *random_sessions(5, 3)])
    context = [f"unknown{place}" for place in range(3)]
    recent = tuple(Interaction(item, "view", NOW_MS) for item in ["old", *context])
    assert all(score > 0 for _, score in VmisKnn(index, last_n=20).recommend(Context(recent, NOW_MS), 50))
