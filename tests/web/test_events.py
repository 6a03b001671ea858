from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, NotLeaderForPartitionError

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker

from prometheus_client import REGISTRY as DEFAULT_REGISTRY

from reco_stream import metrics
from reco_stream.events import decode_event
from web import ingest
from web.errors import ApiError

EVENT = {"user_id": "u1", "item_id": "i1", "event_type": "view"}


def ingested(event_type: str) -> float:
    return metrics.REGISTRY.get_sample_value("events_ingested_total", {"event_type": event_type}) or 0.0


@pytest.fixture(autouse=True, params=["in one piece", "in two"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test here is run with requests that can be taken at once, and with those that go through the view."""
    monkeypatch.setattr(sys.modules[__name__], "PIECES", request.param)
    return str(request.param)


PIECES = ""


async def ask(worker: Worker, body: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    """The status, the headers and the body of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(worker.client.host, worker.client.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await _answer(reader)  # now the server's end waits for the next request
    head = b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
    if PIECES == "in two":
        writer.write(head)
        await asyncio.sleep(0.01)
        writer.write(data)
    else:
        writer.write(head + data)
    answer = await _answer(reader)
    writer.close()
    return answer


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, json.loads(await reader.readexactly(int(headers["Content-Length"])))


async def post(worker: Worker, body: Any) -> tuple[int, dict[str, Any]]:
    status, _, answer = await ask(worker, body)
    return status, answer


async def test_few_events_in_one_piece_do_not_go_through_the_view(
    worker: Worker, pieces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewed: list[int] = []
    submit = ingest.Ingest.submit

    async def spied(service: ingest.Ingest, events: ingest.Texts) -> Any:
        viewed.append(len(events))
        return await submit(service, events)

    monkeypatch.setattr(ingest.Ingest, "submit", spied)
    large = {**EVENT, "metadata": {"x": "y" * ingest.FEW_BYTES}}
    for body in (EVENT, [EVENT] * ingest.FEW_EVENTS, [EVENT] * (ingest.FEW_EVENTS + 1), large):
        assert (await post(worker, body))[0] == 202
    few = [] if pieces == "in one piece" else [1, ingest.FEW_EVENTS]
    assert viewed == [*few, ingest.FEW_EVENTS + 1, 1]


async def test_both_ways_are_counted_and_limited(worker: Worker) -> None:
    def counted(status: int) -> float:
        labels = {"method": "POST", "endpoint": "/events", "status": str(status)}
        return metrics.REGISTRY.get_sample_value("http_requests_total", labels) or 0.0

    before = {status: counted(status) for status in (202, 422, 503)}
    for body in (EVENT, {**EVENT, "event_type": "stare"}):
        await post(worker, body)
    worker.services.limits.max_in_flight = 0
    status, headers, answer = await ask(worker, EVENT)
    assert (status, headers["Retry-After"], answer["error"]["code"]) == (503, "1", "overloaded")
    assert {status: counted(status) - before[status] for status in before} == {202: 1, 422: 1, 503: 1}


async def test_no_place_is_kept_by_what_was_answered(worker: Worker) -> None:
    worker.services.limits.max_in_flight = 1
    for body in (EVENT, {**EVENT, "event_type": "stare"}, b"{", [EVENT] * 30, EVENT):
        assert (await post(worker, body))[0] < 500


async def test_one_event_lies_on_kafka_when_it_is_accepted(worker: Worker) -> None:
    before = ingested("view")
    status, body = await post(worker, EVENT)
    assert status == 202
    assert (body["accepted"], body["rejected"], body["unknown"]) == (1, 0, 0)
    [(topic, key, value, partition)] = worker.producer.sent
    assert (topic, key) == ("reco.events", b"u1")
    assert partition == worker.state.partition_of("u1")
    result = body["results"][0]
    assert (result["index"], result["status"], result["partition"], result["offset"]) == (0, "accepted", partition, 0)
    assert len(result["event_id"]) == 32
    assert json.loads(value) == {**EVENT, "event_id": result["event_id"]}
    assert ingested("view") == before + 1


async def test_what_is_sent_is_what_the_consumer_takes(worker: Worker) -> None:
    sent = {**EVENT, "event_type": "PURCHASE", "user_id": 17, "item_id": 4, "value": 9.5, "metadata": {"a": [1]}}
    assert (await post(worker, sent))[0] == 202
    [(_, key, value, _)] = worker.producer.sent
    event = decode_event(key, value, 1_700_000_000_000, worker.services.event_rules)
    assert (event.user, event.item, event.type, event.value) == ("17", "4", "purchase", 9.5)


async def test_the_callers_event_id_is_kept(worker: Worker) -> None:
    _, body = await post(worker, {**EVENT, "event_id": "mine"})
    assert body["results"][0]["event_id"] == "mine"


async def test_a_visitor_without_account_is_keyed_by_session(worker: Worker) -> None:
    await post(worker, {"session_id": "s1", "item_id": "i1", "event_type": "view"})
    assert worker.producer.sent[0][1] == b"~s1"


async def test_each_event_of_an_array_has_its_own_status(worker: Worker) -> None:
    status, body = await post(worker, [EVENT, {**EVENT, "event_type": "$erase"}, 7, {**EVENT, "user_id": "u2"}])
    assert status == 202
    assert [result["status"] for result in body["results"]] == ["accepted", "rejected", "rejected", "accepted"]
    assert [result["index"] for result in body["results"]] == [0, 1, 2, 3]
    assert (body["accepted"], body["rejected"], body["unknown"]) == (2, 2, 0)
    error = body["results"][1]["error"]
    assert (error["code"], error["field"]) == ("reserved_type", "event_type")
    assert "error" not in body["results"][0]


@pytest.mark.parametrize(
    ("event", "code", "field"),
    [
        ({"user_id": "u1", "event_type": "view"}, "missing_field", "item_id"),
        ({**EVENT, "item_id": None}, "wrong_type", "item_id"),
        ({"item_id": "i1", "event_type": "view"}, "missing_user", "user_id"),
        ({**EVENT, "event_type": "stare"}, "unknown_type", "event_type"),
        ({**EVENT, "timestamp": "2999-01-01T00:00:00Z"}, "future_timestamp", "timestamp"),
        ("text", "wrong_type", None),
    ],
)
async def test_when_all_are_bad_the_answer_is_422(worker: Worker, event: Any, code: str, field: str | None) -> None:
    for body in (event, [event]):
        status, answer = await post(worker, body)
        assert status == 422
        assert (answer["error"]["code"], answer["error"]["field"]) == ("bad_events", field)
        assert answer["results"][0]["error"]["code"] == code
        assert (answer["accepted"], answer["rejected"]) == (0, 1)
    assert worker.producer.sent == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b'{"a": NaN}', 400, "not_json"),
        (b"[1,", 400, "not_json"),
        (b"[" * 100_000, 400, "not_json"),
        (b"[]", 422, "bad_body"),
        (b"[" + b",".join([b"{}"] * 1001) + b"]", 422, "bad_body"),
    ],
)
async def test_a_body_that_is_no_list_of_events_is_refused(worker: Worker, body: bytes, status: int, code: str) -> None:
    found, answer = await post(worker, body)
    assert (found, answer["error"]["code"]) == (status, code)
    assert "wanted" in answer["error"]["message"]


async def test_a_thousand_events_are_taken(worker: Worker) -> None:
    status, body = await post(worker, [EVENT] * 1000)
    assert (status, body["accepted"]) == (202, 1000)


async def test_bytes_that_are_no_text_are_refused(worker: Worker) -> None:
    status, body = await post(worker, b'{"user_id": "\xff", "item_id": "i", "event_type": "view"}')
    assert status in (400, 422)
    assert body["error"]["code"] in ("not_json", "bad_events")


async def test_when_kafka_takes_none_the_answer_is_503(worker: Worker) -> None:
    async def refuse(_: bytes) -> None:
        raise NotLeaderForPartitionError

    worker.producer.answer = refuse
    status, headers, body = await ask(worker, [EVENT, {**EVENT, "event_type": "stare"}])
    assert status == 503
    assert int(headers["Retry-After"]) >= 1
    assert body["error"]["code"] == "kafka_unavailable"
    assert [result["status"] for result in body["results"]] == ["unknown", "rejected"]
    assert body["results"][0]["event_id"]


async def test_when_kafka_takes_some_the_others_are_unknown(worker: Worker) -> None:
    async def refuse_some(value: bytes) -> None:
        if b"i2" in value:
            raise NotLeaderForPartitionError

    worker.producer.answer = refuse_some
    status, body = await post(worker, [EVENT, {**EVENT, "user_id": "u2", "item_id": "i2"}])
    assert status == 202
    assert [result["status"] for result in body["results"]] == ["accepted", "unknown"]
    assert body["results"][1]["error"]["code"] == "kafka_failed"


async def test_a_record_that_kafka_finds_too_large_is_rejected(worker: Worker) -> None:
    async def refuse(_: bytes) -> None:
        raise MessageSizeTooLargeError

    worker.producer.answer = refuse
    status, body = await post(worker, EVENT)
    assert (status, body["results"][0]["status"]) == (422, "rejected")


async def test_no_answer_in_time_is_unknown_and_the_event_is_not_taken_back(
    worker: Worker,
) -> None:
    answered = asyncio.Event()

    async def late(_: bytes) -> None:
        await answered.wait()

    worker.producer.answer = late
    service = ingest.Ingest(worker.services, ack_timeout_s=0.01)
    answer = await service.submit([json.dumps(EVENT).encode()])
    assert answer.results[0].status == "unknown"
    answered.set()
    while not worker.producer.sent:
        await asyncio.sleep(0)
    assert len(worker.producer.sent) == 1


async def test_too_many_waiting_events_are_not_queued(worker: Worker) -> None:
    service = ingest.Ingest(worker.services, max_waiting=1)
    with pytest.raises(ApiError) as caught:
        await service.submit([json.dumps(EVENT).encode()] * 2)
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"] == "1"
    assert worker.producer.sent == []


async def test_a_body_over_1_mib_is_refused(worker: Worker) -> None:
    status, body = await post(worker, b"[" + b" " * (1 << 20) + b"]")
    assert (status, body["error"]["code"]) == (413, "too_large")
    assert "1048576" in body["error"]["message"]


async def test_the_limit_grows_with_the_largest_event_allowed(start: Start) -> None:
    worker = await start(event_max_bytes=2 << 20)
    status, _ = await post(worker, {**EVENT, "metadata": {"x": "y" * (1 << 20)}})
    assert status == 202


def test_metrics_are_not_on_the_default_registry() -> None:
    assert DEFAULT_REGISTRY.get_sample_value("events_ingested_total", {"event_type": "view"}) is None
