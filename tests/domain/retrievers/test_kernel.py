from dataclasses import asdict

import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.kernel import CO_VIEW, RULES, SEQUENCE, SESSION_KNN, Kernel, KernelRetriever
from tests.domain.random_sessions import START_MS, index_of, random_sessions
from tests.domain.retrievers import literal

NOW_MS = START_MS + 10**9


@pytest.mark.parametrize("context", [["i0"], ["i3", "i1"], ["i0", "i5", "i2", "i9"]])
@pytest.mark.parametrize(
    "kernel", [SESSION_KNN, SEQUENCE, RULES, CO_VIEW], ids=["session_knn", "sequence", "rules", "co_view"]
)
def test_scores_equal_the_formula(context: list[str], kernel: Kernel) -> None:
    sessions = random_sessions(150, 20, seed=9)
    plain = [([item for item, _, _ in events], events[-1][2]) for _, events in sessions]
    expected = literal.kernel(context, NOW_MS, plain, **asdict(kernel))
    recent = tuple(Interaction(item, "view", NOW_MS) for item in context)
    found = KernelRetriever(index_of(sessions), "kernel", kernel).recommend(Context(recent, NOW_MS), count=100)
    assert {item: pytest.approx(score) for item, score in found} == {
        item: score for item, score in expected.items() if score > 0
    }


def test_rules_look_forward_only() -> None:
    index = index_of([("s", [("a", "view", START_MS), ("b", "view", START_MS + 1), ("c", "view", START_MS + 2)])])
    rules = KernelRetriever(index, "rules", RULES)
    context = Context((Interaction("b", "view", NOW_MS),), NOW_MS)
    assert [item for item, _ in rules.recommend(context, 5, exclude={"b"})] == ["c"]
