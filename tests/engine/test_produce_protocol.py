"""Our bytes are aiokafka's, both ways."""

from __future__ import annotations

import struct
from io import BytesIO

from aiokafka.protocol.api import ResponseHeader_v0
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7, ProduceResponse_v7
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.engine.produce_protocol import ACKS_ALL, Produce

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(min_size=1, max_size=40)


@given(INT32, st.lists(st.tuples(NAMES, st.lists(st.tuples(INT32, st.binary(max_size=50)), max_size=4)), max_size=3))
def test_a_request_has_the_bytes_that_aiokafka_gives_it(
    timeout_ms: int, topics: list[tuple[str, list[tuple[int, bytes]]]]
) -> None:
    ours, theirs = (
        request.prepare({ProduceRequest.API_KEY: (0, 9)})
        for request in (Produce(timeout_ms, topics), ProduceRequest(None, ACKS_ALL, timeout_ms, topics))
    )
    assert isinstance(theirs, ProduceRequest_v7)
    assert (ours.API_KEY, ours.API_VERSION) == (theirs.API_KEY, theirs.API_VERSION)
    sent = []
    for request in (ours, theirs):  # as aiokafka/conn.py:408 does
        message = request.build_request_header(correlation_id=7, client_id="me").encode() + request.encode()
        sent.append(struct.pack(">i", len(message)) + message)
    assert sent[0] == sent[1]


def test_the_header_of_an_answer_is_read_and_no_more() -> None:
    data = BytesIO(ResponseHeader_v0(7).encode() + b"rest")
    assert Produce(1, []).prepare({ProduceRequest.API_KEY: (0, 9)}).parse_response_header(data).correlation_id == 7
    assert data.read() == b"rest"


@given(
    st.lists(
        st.tuples(NAMES, st.lists(st.tuples(INT32, st.integers(-1, 100), INT64, INT64, INT64), max_size=4)), max_size=3
    ),
    INT32,
)
def test_an_answer_is_read_as_aiokafka_reads_it(
    topics: list[tuple[str, list[tuple[int, int, int, int, int]]]], throttle_ms: int
) -> None:
    encoded = ProduceResponse_v7(topics, throttle_ms).encode()
    ours = Produce(1, []).prepare({ProduceRequest.API_KEY: (0, 9)}).RESPONSE_TYPE
    for data in (encoded, BytesIO(encoded)):
        found, theirs = ours.decode(data), ProduceResponse_v7.decode(encoded)
        assert (found.topics, found.throttle_time_ms) == (theirs.topics, theirs.throttle_time_ms)


def test_an_older_broker_gets_what_aiokafka_makes() -> None:
    request = Produce(1, [("t", [(0, b"x")])]).prepare({ProduceRequest.API_KEY: (0, 5)})
    assert request.API_VERSION == 5
    assert request.encode() == ProduceRequest(None, ACKS_ALL, 1, [("t", [(0, b"x")])]).prepare({0: (0, 5)}).encode()
