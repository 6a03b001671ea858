"""Tuning: compare variants of the session kernel on a validation part cut from the end of the training part.

The test part is not read at all. One round replays the training part once and asks every variant that differs from the
best so far in one constant; the best of them starts the next round, until none is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from reco_stream.domain.retrievers.kernel import SESSION_KNN, Kernel, KernelRetriever
from reco_stream.evaluation.log import Log, LogError
from reco_stream.evaluation.metrics import Answers
from reco_stream.evaluation.run import split_position
from reco_stream.evaluation.systems import World, retrieved
from reco_stream.evaluation.time_travel import Plan, TimeTravel, Visibility

VALIDATION_SHARE = 0.1
ROUNDS = 4
BETTER_BY = 0.002  # of the score: less is noise
GRID: Mapping[str, Sequence[float]] = {
    "rank_decay": (1.0, 2.0, 3.6, 6.0),
    "support_power": (0.0, 0.25, 0.5, 0.75),
    "match_decay": (1.0, 2.0, 3.6, 8.0),
    "age_power": (0.0, 0.1, 0.25, 0.5, 0.75),
    "length_power": (0.0, 0.25, 0.5),
    "distance_scale": (0.5, 1.0, 3.0),
    "backward": (0.1, 0.3, 0.6, 1.0),
}


def training_part(log: Log, split: str | None) -> Log:
    """Return the part of the log before its test part; raises `LogError` when there is none."""
    position = split_position(log, split)
    if position == 0:
        raise LogError("tuning needs a training part: the file names none, so say where it ends, such as --split 0.8")
    return Log(log.events[:position])


def tune(log: Log, split: str | None, sample: float, start: Kernel = SESSION_KNN) -> Iterator[str]:
    """Yield lines that tell how the search goes; the last one names the best constants."""
    training = training_part(log, split)
    validation_from = round(len(training.events) * (1 - VALIDATION_SHARE))
    visibility: Visibility = "ended" if log.test_from is not None else "open"
    plan = Plan(validation_from, visibility, sample, learn_one_in=1 << 40)
    yield f"training {validation_from:,} events, validation {len(training.events) - validation_from:,}"
    best, best_score = start, -1.0
    for number in range(1, ROUNDS + 1):
        scores = _scores(training, plan, variants(best))
        leader = max(scores, key=lambda name: scores[name])
        yield f"round {number}: {leader} {scores[leader]:.4f}, so far {scores['so far']:.4f}"
        best_score = scores["so far"]
        if scores[leader] < best_score + BETTER_BY:
            break
        best = variants(best)[leader]
        best_score = scores[leader]
    constants = " ".join(f"{name}={value:g}" for name, value in asdict(best).items())
    yield f"best {best_score:.4f}: {constants}"


def variants(kernel: Kernel) -> dict[str, Kernel]:
    """Return the kernel as "so far", and every kernel of the grid that differs from it in one constant."""
    found = {"so far": kernel}
    for name, values in GRID.items():
        for value in values:
            if getattr(kernel, name) != value:
                found[f"{name}={value:g}"] = replace(kernel, **{name: value})
    return found


def _scores(training: Log, plan: Plan, kernels: Mapping[str, Kernel]) -> dict[str, float]:
    world = World(())
    index = world.recommender.index
    world.systems = {name: retrieved(KernelRetriever(index, name, kernel)) for name, kernel in kernels.items()}
    answers = TimeTravel(training.events, world, plan).run()
    return {
        name: float(np.mean([_score(by_system[name], plan.k) for by_system in answers.values()])) for name in kernels
    }


def _score(answers: Answers, k: int) -> float:
    columns = answers.per_query(k)
    return float(columns["hr"].mean() + columns["mrr"].mean()) / 2 if answers.ranks else 0.0
