from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from reco_stream.catalogue import Item, encode_item
from reco_stream.catalogue.scenarios import Scenarios
from web.rules import PARTLY

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

SESSION = {"items": ["i1"], "rules": {"where": "price < 1.5"}}


def fill(worker: Worker, count: int = 1_000) -> None:
    """i0 is the most popular of all; every hundredth is cheap, every thousandth has the tag "rare"."""
    catalogue = worker.services.catalogue
    assert catalogue is not None
    worker.items.scores = {f"i{number}": float(count - number) for number in range(count)}
    for number in range(count):
        item = Item(
            item_id=f"i{number}",
            price=1.0 if number % 100 == 99 else 50.0,
            tags=("rare",) if number % 1000 >= 990 else (),
            categories=("even" if number % 2 == 0 else "odd",),
            stock=number % 3,
        )
        catalogue.update(item.item_id, encode_item(item)[1])


async def ask(worker: Worker, status: int = 200, **query: Any) -> Any:
    response = await worker.client.get(f"/recommendations?{urlencode({'user_id': 'u1'} | query)}")
    assert response.status == status, await response.text()
    return await response.json()


def ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["recommendations"]]


@pytest.mark.parametrize("ranker", ["blend", "fusion"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"price_max": 2}, [f"i{number}" for number in range(99, 1000, 100)]),
        ({"tag": "RARE"}, [f"i{number}" for number in range(990, 1000)]),
        ({"where": "price < 2.0"}, [f"i{number}" for number in range(99, 1000, 100)]),
        ({"category": "odd"}, [f"i{number}" for number in range(1, 20, 2)]),
        ({"exclude_category": "even", "in_stock": "true"}, None),
    ],
)
async def test_a_selective_filter_still_fills_the_list(
    worker: Worker, ranker: str, query: dict[str, Any], expected: list[str] | None
) -> None:
    fill(worker)
    found = ids(await ask(worker, count=10, ranker=ranker, **query))
    assert len(found) == 10
    if expected is not None:
        assert sorted(found) == sorted(expected)
    else:
        assert all(int(item[1:]) % 2 and int(item[1:]) % 3 for item in found)


async def test_the_first_answer_to_a_new_filter_looks_at_the_whole_catalogue(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.rules.PREPARE_MOST_S", 30.0)
    monkeypatch.setattr("web.rules.PREPARE_S", 0.0)
    fill(worker, 12_000)
    answer = await ask(worker, count=10, where='price < 2.0 && "rare" in tags')
    assert len(ids(answer)) == 10
    assert all(item.endswith("999") for item in ids(answer))
    monkeypatch.setattr("web.rules.PREPARE_MOST_S", 0.0)  # no time: it says that it is a part
    answer = await ask(worker, count=10, where='"rare" in tags && price < 2.0')
    assert PARTLY in answer["notes"]
    answer = await (await worker.client.post("/recommendations/session", json=SESSION)).json()
    assert PARTLY in answer["notes"]


async def test_items_that_nobody_touched_fill_a_filtered_list(worker: Worker) -> None:
    fill(worker)
    worker.items.scores = {"i0": 1.0}
    found = await ask(worker, count=10, tag="rare")
    assert sorted(ids(found)) == [f"i{number}" for number in range(990, 1000)]


async def test_next_gives_more_without_repeats_to_the_end(worker: Worker) -> None:
    fill(worker, 25)
    seen: list[str] = []
    query: dict[str, Any] = {"count": 10}
    for expected in (10, 10, 5):
        answer = await ask(worker, **query)
        seen += ids(answer)
        assert len(ids(answer)) == expected
        query["next"] = answer.get("next")
    assert "next" not in answer
    assert sorted(seen) == sorted(worker.items.scores)
    await ask(worker, 400, next="x")


@pytest.mark.parametrize("few", [0, 1_000])
async def test_hidden_deleted_and_denied_items_do_not_come_and_pinned_ones_come_first(
    worker: Worker, tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.rules.FEW", few)
    fill(worker, 20)
    catalogue = worker.services.catalogue
    assert catalogue is not None
    catalogue.update("i0", None)
    catalogue.update("i1", encode_item(Item(item_id="i1", hidden=True))[1])
    file = tmp_path / "scenarios.json"
    file.write_text(
        json.dumps({"home": {"deny": ["i2"], "pinned": ["i9", "i1", "new"]}, "few": {"allow": ["i5", "i1"]}})
    )
    worker.services.scenarios = Scenarios(file)
    assert ids(await ask(worker, count=3)) == ["i2", "i3", "i4"]
    assert ids(await ask(worker, count=4, scenario="home")) == ["i9", "new", "i3", "i4"]
    assert ids(await ask(worker, count=4, scenario="few")) == ["i5"]
    assert (await ask(worker, 404, scenario="nope"))["error"]["code"] == "unknown_scenario"
    popular = await (await worker.client.get("/popular?count=2")).json()
    assert [item["item_id"] for item in popular["items"]] == ["i2", "i3"]


async def test_items_of_events_of_a_type_and_age_are_left_out(worker: Worker, tmp_path: Path) -> None:
    fill(worker, 20)
    worker.state.touch("u1", ("i0", "purchase"), ("i1", "view"), ("i2", "purchase"))
    file = tmp_path / "scenarios.json"
    file.write_text('{"default": {"exclude_events": {"purchase": 1}}}')
    worker.services.scenarios = Scenarios(file)
    assert ids(await ask(worker, count=3, ranker="blend"))[:2] == ["i1", "i3"]


async def test_rules_in_a_body(worker: Worker) -> None:
    fill(worker, 20)
    question = {"items": ["i4"], "count": 4, "rules": {"max_per_category": 2, "first": 4}}
    response = await worker.client.post("/recommendations/session", json=question)
    found = ids(await response.json())
    assert len(found) == 4
    assert sum(int(item[1:]) % 2 for item in found) == 2
    for rules in ({"colour": 1}, {"where": "nonsense"}, {"price_min": 2, "price_max": 1}):
        question["rules"] = rules
        assert (await worker.client.post("/recommendations/session", json=question)).status in (400, 422)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"price_min": "x"}, "price_min"),
        ({"price_min": "-1"}, "price_min"),
        ({"price_min": "nan"}, "price_min"),
        ({"price_min": 5, "price_max": 4}, "price_min"),
        ({"where": "colour == 1"}, "where"),
        ({"where": "x" * 501}, "where"),
        ({"category": ","}, "category"),
        ({"in_stock": "maybe"}, "in_stock"),
    ],
)
async def test_bad_rules_are_refused_with_their_field(worker: Worker, query: dict[str, Any], field: str) -> None:
    fill(worker, 3)
    assert (await ask(worker, 400, **query))["error"]["field"] == field


async def test_only_items_of_the_catalogue_where_the_setting_says_so(start: Start) -> None:
    worker = await start(catalogue_only=True)
    fill(worker, 5)
    worker.items.scores["stranger"] = 100.0
    assert "stranger" not in ids(await ask(worker))
    assert len(ids(await ask(worker))) == 5
