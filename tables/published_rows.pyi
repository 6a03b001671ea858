"""What a publication reads of encoded rows (published_rows.cpp), at a tenth of what decoding them takes.

Both raise ValueError for bytes that are no row of the table whose prefix the key begins with.
"""

def measure(key: bytes, row: bytes, /) -> tuple[int, float] | None:
    """Return what tells how far a row moves: of popularity 0 and `weighted`; of co-view a hash of the names of its
    items and the sum of the weights of its pairs; None of other tables.
    """

def values(
    item_stats_topic: str, sessions_topic: str, key: bytes, row: bytes | None, /
) -> list[tuple[str, bytes, bytes | None]]:
    """Return the published values of one changed row: topic, key, value.

    An item's row is published as it is. Of a user's, each shared session; its key is user, NUL, opened_ms, NUL, id
    (none for no id): ids hold no control characters. A forgotten user's sessions end by the topic's retention.
    """
