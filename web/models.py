"""GET /models: how this worker ranks: the rankers, and the fusion's weights with what they were learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from reco_stream.domain.fusion import SCENARIOS
from reco_stream.domain.fusion_learning import LENGTHS
from reco_stream.domain.recommender import Recommender
from web.encoding import json_response
from web.schemas import Arm, FusionWeights, Models
from web.view import JsonView, Operation

_DIGITS = 6


class RankingModels(JsonView):
    """The models in force."""

    view_path = "/models"
    operations: ClassVar = {
        "GET": Operation(
            "Show how recommendations are ranked",
            {200: Models},
            description="Of the worker asked. The fusion's weights are learned from live events, by scenario: "
            "`unseen` when the items seen are excluded, `repeats` when they may return; `by_length` are those in force "
            "by the number of different items of the session. `arms` compares the fusion and "
            "each source alone on the same sample, as mean reciprocal rank and hit rate at 20.",
            examples=("curl -s localhost:6066/models",),
        )
    }

    async def get(self, request: web.Request) -> web.Response:
        services = self.services
        fusion = {} if services.fusion is None else {name: _weights(services.fusion, name) for name in SCENARIOS}
        return json_response(Models(services.settings.ranker, sorted(services.rankers), fusion))


def _weights(fusion: Recommender, scenario: str) -> FusionWeights:
    learner = fusion.learners[scenario]
    by_length = {length: _rounded(fusion.weights(scenario, place)) for place, length in enumerate(LENGTHS)}
    return FusionWeights(
        _rounded(fusion.weights(scenario)),
        by_length,
        fusion.is_pinned(scenario),
        round(learner.samples, 3),
        {name: Arm(round(arm.mrr, _DIGITS), round(arm.hit_rate, _DIGITS)) for name, arm in learner.arms().items()},
    )


def _rounded(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: round(weight, _DIGITS) for name, weight in weights.items()}
