"""Kafka's murmur2 (hashing.cpp)."""

def murmur2(key: bytes, /) -> int:
    """Return the unsigned 32-bit MurmurHash2 of `key`, equal to Java's `Utils.murmur2` modulo 2**32."""

def partition_of(user: str, partitions: int, /) -> int:
    """Return the partition, `0 <= partition < partitions`, of the events keyed by `user` (`user_id`, or `~session_id`).

    Raises ValueError when `partitions` is not positive.
    """
