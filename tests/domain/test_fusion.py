from string import ascii_lowercase

import numpy as np
import pytest

from reco_stream.domain.fusion import (
    KEPT,
    SCENARIOS,
    SOURCES,
    BadWeights,
    Slate,
    chances,
    features,
    fuse_ranks,
    probabilities,
    ranks,
    reciprocal_rank_scores,
    slate_of,
    weights_of,
)
from reco_stream.domain.session_index import SessionIndex

ITEMS = ascii_lowercase
HOUR_MS = 3_600_000


def slate(scores: list[list[float]], rank: list[int]) -> Slate:
    array = np.zeros((len(SOURCES), len(rank)))
    array[: len(scores)] = scores
    shares = array / np.maximum(array.max(axis=1, keepdims=True), 1e-300)
    return Slate(np.arange(len(rank)), array, shares, np.ones((2, len(rank))), np.array(rank))


def merged(
    first: dict[str, list[float]],
    second: dict[str, float],
    exclude: frozenset[str] = frozenset(),
    seen: list[str] | None = None,
) -> tuple[list[str], Slate]:
    """A slate of letters; the n-th of the alphabet is in n sessions of the n-th hour, and it is the 26th hour now."""
    index = SessionIndex()
    for place, item in enumerate(ITEMS, start=1):
        for number in range(place):
            index.put(f"{item}{number}", [(item, "view", place * HOUR_MS)], place * HOUR_MS)
    four = np.array(list(first.values()), np.float64).T.reshape(4, len(first)).copy()
    parts = [
        (np.array(index.numbers(first), np.int64), four, 4),
        (np.array(index.numbers(second), np.int64), np.array(list(second.values())), 1),
        (np.zeros(0, np.int64), np.zeros(0), 1),
    ]
    found = slate_of(index, parts, exclude, index.numbers(seen or []), len(ITEMS) * HOUR_MS)
    return [index.names[number] for number in found.numbers.tolist()], found


def test_a_slate_holds_every_item_once_with_all_its_scores() -> None:
    names, found = merged({"a": [1, 2, 0, 4], "b": [2, 2, 0, 1]}, {"b": 5.0, "c": 2.5}, seen=["c", "a"])
    assert names == ["a", "b", "c"]
    assert found.scores.tolist() == [[1, 2, 0], [2, 2, 0], [0, 0, 0], [4, 1, 0], [0, 5, 2.5], [0, 0, 0]]
    assert found.shares.tolist() == [[0.5, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0.25, 0], [0, 1, 0.5], [0, 0, 0]]
    assert found.rank.tolist() == [2, 0, 1]
    assert found.signals[0].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert found.signals[1].tolist() == pytest.approx([1 / 26, 1 / 25, 1 / 24])


def test_an_excluded_item_is_nobodys_best() -> None:
    names, found = merged({"a": [1, 2, 0, 4], "b": [2, 2, 0, 1]}, {"b": 5.0, "c": 2.5}, exclude=frozenset("bz"))
    assert names == ["a", "c"]
    assert found.shares[4].tolist() == [0, 1]
    names, found = merged({"a": [1, 1, 1, 1]}, {}, exclude=frozenset("a"))
    assert names == []
    assert found.scores.shape == (len(SOURCES), 0)


def test_of_too_many_candidates_those_with_the_highest_sum_of_shares_stay() -> None:
    index = SessionIndex()
    names = [f"i{number}" for number in range(KEPT + 3)]
    for name in names:
        index.put(name, [(name, "view", 0)], 0)
    rows = np.ones((4, len(names)))
    rows[1, :3] = [0.5, 2.0, 0.25]
    nothing = (np.zeros(0, np.int64), np.zeros(0), 1)
    parts = [(np.array(index.numbers(names), np.int64), rows, 4), nothing, nothing]
    found = slate_of(index, parts, (), [], 0)
    assert [names[number] for number in found.numbers.tolist()] == ["i1", *names[4:]]  # the later of equals


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_chances_are_the_probabilities_of_the_features(scenario: str) -> None:
    random = np.random.default_rng(7)
    given = slate(random.random((len(SOURCES), 9)).tolist(), [0, 1, 2, 3, 4, 0, 0, 0, 0])
    given.shares[2, 3] = 0.0
    given.signals[:] = random.random((2, 9))
    weights = random.normal(size=len(SCENARIOS[scenario]))
    assert chances(given, weights).tolist() == pytest.approx(probabilities(features(given, scenario), weights).tolist())


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
