import math

import numpy as np
import pytest

from reco_stream.evaluation.metrics import Answers, bootstrap, by_context_length, gini, novelty


def answers(ranks: list[int]) -> Answers:
    found = Answers()
    for session, rank in enumerate(ranks):
        found.add(rank, session, length=session + 1, micros=10.0)
    return found


def test_figures_of_single_queries() -> None:
    found = answers([1, 0, 3])
    found.found[:] = [2, 0, 1]
    found.to_come[:] = [4, 1, 1]
    columns = found.per_query(k=20)
    assert columns["hr"].tolist() == [1, 0, 1]
    assert columns["mrr"].tolist() == pytest.approx([1, 0, 1 / 3])
    assert columns["ndcg"].tolist() == pytest.approx([1, 0, 1 / math.log2(4)])
    assert columns["precision"].tolist() == pytest.approx([0.1, 0, 0.05])
    assert columns["recall"].tolist() == pytest.approx([0.5, 0, 1])


def test_an_interval_holds_its_mean_and_narrows_with_more_sessions() -> None:
    random = np.random.default_rng(1)

    def width(sessions: int) -> float:
        values = (random.random(sessions) < 0.4).astype(float)
        figure = bootstrap({"hr": values}, np.arange(sessions))["hr"]
        assert figure.low <= figure.mean <= figure.high
        return figure.high - figure.low

    assert width(4_000) < 0.5 * width(400)


def test_queries_of_one_session_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0] * 50, 20)
    apart = bootstrap({"hr": values}, np.arange(2_000))["hr"]
    together = bootstrap({"hr": values}, np.repeat(np.arange(100), 20))["hr"]
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_a_bootstrap_is_repeatable_and_of_nothing_is_zero() -> None:
    values = {"hr": np.array([1.0, 0.0, 1.0])}
    assert bootstrap(values, np.arange(3)) == bootstrap(values, np.arange(3))
    assert bootstrap({"hr": np.zeros(0)}, np.zeros(0, np.int64))["hr"].mean == 0


def test_gini_of_nothing_shown_is_zero() -> None:
    assert gini([0, 0]) == 0


def test_novelty_is_bits_of_surprise() -> None:
    assert novelty({"a": 3}, {"a": 1, "b": 7}) == pytest.approx(3)
    assert novelty({"a": 1, "never": 1}, {"a": 4, "b": 4}) == pytest.approx((1 + 3) / 2)
    assert novelty({}, {"a": 1}) == 0


def test_classes_of_context_length() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0])
    assert by_context_length(values, [1, 1, 4, 12]) == {"1": (2, 0.5), "3-4": (1, 1.0), "10+": (1, 1.0)}
