from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.conftest import Worker

from prometheus_client.parser import text_string_to_metric_families


async def scrape(worker: Worker) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = await worker.client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(await response.text())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def labelled(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


async def test_requests_are_counted_by_route_template(worker: Worker) -> None:
    name = labelled("http_requests_total", method="GET", endpoint="/users/{user_id}/recent", status="200")
    before = (await scrape(worker)).get(name, 0.0)
    for user in ("one", "two"):
        await worker.client.get(f"/users/{user}/recent")
    after = await scrape(worker)
    assert after[name] == before + 2
    assert not any("one" in value for _, labels in after for _, value in labels)


async def test_paths_that_match_nothing_share_a_label(worker: Worker) -> None:
    for path in ("/wp-login.php", "/.env"):
        assert (await worker.client.get(path)).status == 404
    assert (await worker.client.request("PURGE", "/events")).status == 405
    found = await scrape(worker)
    assert labelled("http_requests_total", method="GET", endpoint="unmatched", status="404") in found
    assert labelled("http_requests_total", method="other", endpoint="unmatched", status="405") in found
    assert not any(value in ("/.env", "PURGE") for _, labels in found for _, value in labels)


async def test_recommendations_are_counted_by_source(worker: Worker) -> None:
    name = labelled("recommendation_requests_total", endpoint="recommend", source="owner")
    timed = labelled("recommendation_latency_seconds_count", endpoint="recommend")
    before = await scrape(worker)
    await worker.client.get("/recommend/u1")
    after = await scrape(worker)
    assert after[name] == before.get(name, 0.0) + 1
    assert after[timed] == before.get(timed, 0.0) + 1


async def test_lag_is_that_of_the_partitions_owned_now(worker: Worker) -> None:
    found = await scrape(worker)
    for partition in "0123":
        assert found[labelled("partition_lag_records", partition=partition)] == 2
        assert found[labelled("partition_end_offset", partition=partition)] == 2
    worker.state.running = {1}
    found = await scrape(worker)
    assert labelled("partition_lag_records", partition="1") in found
    assert labelled("partition_lag_records", partition="0") not in found
