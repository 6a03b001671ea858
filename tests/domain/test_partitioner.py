import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.partitioner import murmur2, partition_of

# The vectors of Kafka's own UtilsTest.testMurmur2, as signed 32-bit integers.
JAVA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA_VECTORS.items())
def test_murmur2_equals_java(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


@given(st.binary(max_size=300))
def test_murmur2_equals_aiokafka(key: bytes) -> None:
    assert murmur2(key) == aiokafka_murmur2(key)


@given(st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable()), st.integers(1, 100))
def test_partition_is_the_one_that_aiokafkas_producer_chooses(user: str, partitions: int) -> None:
    everything = list(range(partitions))
    assert partition_of(user, partitions) == DefaultPartitioner()(user.encode(), everything, everything)


def test_a_topic_without_partitions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 partition, not 0"):
        partition_of("u1", 0)
