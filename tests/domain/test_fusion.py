import numpy as np
import pytest

from reco_stream.domain.fusion import (
    SCENARIOS,
    SOURCES,
    BadWeights,
    Slate,
    features,
    fuse_ranks,
    probabilities,
    ranks,
    reciprocal_rank_scores,
    shares_of,
    strongest_candidates,
    weights_of,
)


def slate(scores: list[list[float]], rank: list[int]) -> Slate:
    array = np.zeros((len(SOURCES), len(rank)))
    array[: len(scores)] = scores
    return Slate(np.arange(len(rank)), array, shares_of(array), np.ones((2, len(rank))), np.array(rank))


def test_shares_divide_by_the_best_and_leave_silent_sources_silent() -> None:
    assert shares_of(np.array([[2.0, 4.0], [0.0, 0.0]])).tolist() == [[0.5, 1.0], [0.0, 0.0]]
    assert shares_of(np.zeros((2, 0))).shape == (2, 0)


def test_the_strongest_candidates_are_those_with_the_highest_sum_of_shares() -> None:
    shares = np.array([[1.0, 0.1, 0.5], [0.0, 0.1, 1.0]])
    kept = strongest_candidates(shares, 2)
    assert kept is not None
    assert kept.tolist() == [0, 2]
    assert strongest_candidates(shares, 3) is None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_there_is_one_feature_a_weight(scenario: str) -> None:
    assert features(slate([[1.0, 2.0]], [1, 0]), scenario).shape == (len(SCENARIOS[scenario]), 2)


def test_repeats_are_told_by_their_recency() -> None:
    rows = features(slate([[1.0] * 5], [0, 1, 2, 3, 4]), "repeats")[-4:]
    assert rows.T.tolist() == [[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]]


def test_probabilities_sum_to_one_and_follow_the_weights() -> None:
    rows = features(slate([[1.0, 2.0, 4.0], [4.0, 2.0, 1.0]], [0, 0, 0]), "unseen")
    first = probabilities(rows, weights_of("unseen", {"session_knn": 1.0}))
    assert first.sum() == pytest.approx(1)
    assert first.argmax() == 2
    assert first[2] / first[1] == pytest.approx(2, rel=0.01)
    assert probabilities(rows, weights_of("unseen", {"sequence": 1.0})).argmax() == 0
    assert probabilities(rows, weights_of("unseen", {})).tolist() == pytest.approx([1 / 3] * 3)


def test_reciprocal_ranks_add_over_sources_and_absence_counts_nothing() -> None:
    scores = np.array([[3.0, 2.0, 0.0], [0.0, 5.0, 1.0]])
    assert reciprocal_rank_scores(scores, constant=10).tolist() == pytest.approx([1 / 11, 1 / 12 + 1 / 11, 1 / 12])


def test_fusing_ranked_lists_equals_fusing_scores() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    lists = [["abc"[place] for place in np.argsort(-row)] for row in scores]
    fused = dict(fuse_ranks(lists))
    assert [fused[item] for item in "abc"] == pytest.approx(reciprocal_rank_scores(scores).tolist())


def test_ranks_of_nothing_are_nothing() -> None:
    assert ranks(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("scenario", "named", "words"),
    [
        ("elsewhere", {}, "scenario is 'elsewhere', wanted one of unseen, repeats"),
        ("unseen", {"magic": 1.0}, "name magic, wanted some of session_knn"),
        ("unseen", {"repeat_any": 1.0}, "name repeat_any"),
        ("unseen", {"rules": float("nan")}, "wanted finite numbers"),
    ],
)
def test_bad_weights_are_told(scenario: str, named: dict[str, float], words: str) -> None:
    with pytest.raises(BadWeights, match=words):
        weights_of(scenario, named)
