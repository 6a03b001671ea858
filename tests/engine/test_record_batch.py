"""The batch is, to the byte, what aiokafka's own builder makes."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.engine.record_batch import record_batch

NOW_MS = 1_700_000_000_000
texts = st.none() | st.binary(max_size=300)


def built(records: list[tuple[bytes | None, bytes | None]], producer_id: int, epoch: int, sequence: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        2,
        0,
        is_transactional=0,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=1 << 30,
    )
    for offset, (key, value) in enumerate(records):
        builder.append(offset, NOW_MS, key, value, [])
    return bytes(builder.build())


@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=80),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**15 - 1),
    st.integers(0, 2**31 - 1),
)
def test_a_batch_is_what_aiokafka_builds(
    records: list[tuple[bytes | None, bytes | None]], producer_id: int, epoch: int, sequence: int
) -> None:
    found = record_batch(records, NOW_MS, producer_id, epoch, sequence)
    assert found == built(records, producer_id, epoch, sequence)


def test_a_large_batch_with_long_values_is_read_again() -> None:
    records = [(b"key-%d" % number, bytes([number % 256]) * 5_000) for number in range(20_000)]
    batch = record_batch(records, NOW_MS, 7, 3, 11)
    assert batch == built(list(records), 7, 3, 11)
    read = DefaultRecordBatch(bytearray(batch))
    assert read.validate_crc()
    assert [(record.offset, record.key, record.value) for record in read][-1] == (19_999, *records[-1])


@pytest.mark.parametrize("records", [[("a", b"")], [(b"a", 1)], [b"a"], [(b"a",)], 5])
def test_what_is_no_record_is_refused(records: Any) -> None:
    with pytest.raises(TypeError):
        record_batch(records, NOW_MS, 1, 1, 0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        record_batch([(b"a", b"b")], NOW_MS, 1, 1 << 15, 0)
