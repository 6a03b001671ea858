"""What a publication reads of encoded rows (published_rows.cpp), at a tenth of what decoding them takes.

All raise ValueError for bytes that are no such row.
"""

def popularity_size(row: bytes, /) -> float:
    """Return `weighted` of a row of popularity."""

def co_view_size(row: bytes, /) -> tuple[int, float]:
    """Return a hash of the names of the items in a row of co_view, and the sum of the weights of its pairs."""

def shared_sessions(user: bytes, row: bytes, /) -> list[tuple[bytes, bytes]]:
    """Return key and encoding of each shared session in a user's row of sessions.

    The key is user, NUL, opened_ms, NUL, id (none for no id): ids hold no control characters.
    """
