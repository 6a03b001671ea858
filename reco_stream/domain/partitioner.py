"""Which partition a user's events belong to: the same one that a Java producer chooses.

The router, the consumer's `wrong_partition` check and every producer must agree on this function, or a user's state is
looked for where it is not. Java, aiokafka and kafka-python hash keys with this murmur2 by default; librdkafka needs
`partitioner=murmur2_random`. Compiled (hashing.cpp): Python takes 2 to 4 us a call, and a worker hashes the user of
every event and of every question.

>>> murmur2(b"21")  # Java prints the same bits as the signed number -973932308
3321034988
>>> partition_of("21", 12)
0
"""

from reco_stream.domain.hashing import murmur2, partition_of

__all__ = ["murmur2", "partition_of"]
