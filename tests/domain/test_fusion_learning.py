import json

import numpy as np
import pytest

from reco_stream.domain.fusion import SOURCES, Slate
from reco_stream.domain.fusion_learning import ALL, TAKE_OVER_SAMPLES, ScenarioLearner

PRIOR = dict.fromkeys(SOURCES[:4], 0.5)


def slates(count: int, telling: int, seed: int = 1) -> list[tuple[Slate, int]]:
    """Return slates of 12 candidates of which source `telling` ranks the target high, and the others know nothing."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scores = np.zeros((len(SOURCES), 12))
        scores[:4] = random.random((4, 12))
        target = int(random.integers(12))
        scores[telling, target] += 1.0
        shares = scores / np.maximum(scores.max(axis=1, keepdims=True), 1e-300)
        slate = Slate(np.arange(12), scores, shares, np.ones((2, 12)), np.zeros(12, np.int64))
        found.append((slate, target))
    return found


def taught(samples: list[tuple[Slate, int]], **options: int) -> ScenarioLearner:
    learner = ScenarioLearner("unseen", PRIOR, **options)
    for slate, target in samples:
        learner.learn(slate, target)
    return learner


def test_starts_with_the_prior() -> None:
    assert taught([]).weights().tolist() == [0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize("telling", [0, 2])
def test_finds_the_source_that_tells(telling: int) -> None:
    learner = taught(slates(400, telling))
    weights = learner.learned()[:4]
    assert weights.argmax() == telling
    assert weights[telling] > 4 * np.abs(np.delete(weights, telling)).max()
    arms = learner.arms()
    assert arms["fusion"].mrr > 0.95 * arms[SOURCES[telling]].mrr


def test_contexts_of_another_length_have_weights_of_their_own() -> None:
    learner = ScenarioLearner("unseen", PRIOR)
    for place in range(400):
        for telling, length in ((0, 0), (1, 2)):
            slate, target = slates(1, telling, seed=place)[0]
            learner.learn(slate, target, length)
    short, middle, long, overall = (learner.learned(length) for length in (0, 1, 2, ALL))
    assert short.argmax() == 0
    assert long.argmax() == 1
    assert middle.tolist() == pytest.approx(overall.tolist())
    assert short[0] > overall[0] > long[0]


def test_follows_a_change() -> None:
    learner = taught(slates(400, telling=0) + slates(400, telling=1), half_life_samples=50)
    assert learner.learned()[1] > 2 * learner.learned()[0]


def test_equal_samples_give_equal_weights() -> None:
    assert taught(slates(60, 1)).weights().tolist() == taught(slates(60, 1)).weights().tolist()


def test_a_miss_counts_against_every_arm_and_teaches_nothing() -> None:
    learner = taught([(slate, -1) for slate, _ in slates(50, 0)])
    assert learner.learned().tolist() == [0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0]
    assert learner.samples == pytest.approx(50, rel=0.01)
    assert learner.arms()["fusion"].hit_rate == 0


def test_a_source_that_is_better_alone_takes_over() -> None:
    # The prior holds against the evidence: all weight on a source that knows nothing.
    learner = ScenarioLearner("unseen", {"rules": 1.0})
    learner._solve = lambda: None  # type: ignore[method-assign]
    for slate, target in slates(TAKE_OVER_SAMPLES + 50, telling=0):
        learner.learn(slate, target)
    assert SOURCES[learner.winner() - 1] == "session_knn"
    assert learner.weights()[0] == 1.0
    assert learner.weights().sum() == 1.0


def test_statistics_survive_as_json_and_add_over_partitions() -> None:
    left, right = taught(slates(100, 1, seed=1)), taught(slates(100, 1, seed=2))
    rows = [json.loads(json.dumps(learner.row())) for learner in (left, right)]
    alone, both = ScenarioLearner("unseen", PRIOR), ScenarioLearner("unseen", PRIOR)
    alone.load(rows[:1])
    both.load(rows)
    assert alone.learned().tolist() == pytest.approx(left.learned().tolist())
    assert both.samples == left.samples + right.samples
    assert both.learned()[1] > alone.learned()[1]


def test_rows_of_other_sources_are_left_out() -> None:
    row = taught(slates(100, 1)).row()
    learner = ScenarioLearner("unseen", PRIOR)
    others: list[dict[str, object]] = [{"names": ["something", "else"]}, {"scenario": "repeats"}, {"lengths": ["1"]}]
    learner.load([{**row, **other} for other in others])
    assert learner.samples == 0
    assert learner.learned().tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0])
