from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from web.encoding import json_response, rfc3339
from web.schemas import Alive


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_as_text_is_the_same_time(time_ms: int) -> None:
    text = rfc3339(time_ms)
    moment = datetime.fromisoformat(text)
    assert text.endswith("Z")
    assert int(moment.timestamp()) * 1000 + moment.microsecond // 1000 == time_ms


def test_times_that_cannot_be_written_are_cut() -> None:
    assert rfc3339(-1) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(10**18) == "9999-12-31T23:59:59.999Z"


def test_a_struct_becomes_json() -> None:
    response = json_response(Alive("alive"), 202, {"X-A": "b"})
    assert (response.status, response.body, response.headers["X-A"]) == (202, b'{"status":"alive"}', "b")
    assert response.content_type == "application/json"
