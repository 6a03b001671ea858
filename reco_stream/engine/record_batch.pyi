"""The RecordBatch of Kafka's log format v2 (record_batch.cpp)."""

from collections.abc import Sequence

def record_batch(
    records: Sequence[tuple[bytes | None, bytes | None]],
    time_ms: int,
    producer_id: int,
    epoch: int,
    sequence: int,
    /,
) -> bytes:
    """Return an uncompressed batch of (key, value), all of one time, as aiokafka's builder makes it.

    Raises TypeError for what is not bytes or None, OverflowError for an epoch or sequence that does not fit.
    """
