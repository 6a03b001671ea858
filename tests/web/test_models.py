"""GET /models shows the weights that recommendations are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reco_stream.domain.recommender import Recommender

if TYPE_CHECKING:
    from tests.web.conftest import Start


async def models(start: Start, recommender: Recommender | None) -> Any:
    def configure(services: Any) -> None:
        services.fusion = recommender

    worker = await start(configure)
    response = await worker.client.get("/models")
    assert response.status == 200
    return await response.json()


async def test_learned_weights_are_shown_by_scenario(start: Start) -> None:
    recommender = Recommender()
    found = await models(start, recommender)
    assert found["rankers"] == ["blend", "fusion"]
    unseen = found["fusion"]["unseen"]
    assert unseen["weights"] == {name: round(weight, 6) for name, weight in recommender.weights("unseen").items()}
    assert unseen["by_length"].keys() == {"1", "2-3", "4+"}
    assert unseen["by_length"]["2-3"] == unseen["weights"]
    assert (unseen["pinned"], unseen["samples"]) == (False, 0.0)
    assert "fusion" in unseen["arms"]


async def test_pinned_weights_say_so(start: Start) -> None:
    found = await models(start, Recommender(pinned={"repeats": {"rules": 1.0}}))
    assert found["fusion"]["repeats"]["pinned"] is True
    assert found["fusion"]["repeats"]["weights"]["rules"] == 1.0
    assert found["fusion"]["unseen"]["pinned"] is False


async def test_worker_without_the_fusion_shows_none(start: Start) -> None:
    assert (await models(start, None))["fusion"] == {}
