import pytest

from reco_stream.domain.context import Context, Interaction
from reco_stream.domain.retrievers.vstan import STAN, VSTAN, Vstan, VstanConstants
from tests.domain.random_sessions import START_MS, index_of, random_sessions
from tests.domain.retrievers import literal

NOW_MS = START_MS + 10**9
SMALL = VstanConstants(k=12, sample=40, position_decay=1.2, age_days=0.5, match_decay=1.7, idf_weight=2.0)


@pytest.mark.parametrize("context", [["i0"], ["i3", "i1"], ["i0", "i5", "i2", "i9"]])
@pytest.mark.parametrize("constants", [STAN, VSTAN, SMALL], ids=["stan", "vstan", "small"])
def test_scores_equal_the_published_formula(context: list[str], constants: VstanConstants) -> None:
    sessions = random_sessions(150, 20, seed=8)
    plain = [([item for item, _, _ in events], events[-1][2]) for _, events in sessions]
    expected = literal.vstan(
        context,
        NOW_MS,
        plain,
        constants.sample,
        constants.k,
        constants.position_decay,
        constants.age_days,
        constants.distance_decay,
        constants.match_decay,
        constants.idf_weight,
    )
    recent = tuple(Interaction(item, "view", NOW_MS) for item in context)
    found = Vstan(index_of(sessions), constants).recommend(Context(recent, NOW_MS), count=100)
    assert {item: pytest.approx(score) for item, score in found} == expected
