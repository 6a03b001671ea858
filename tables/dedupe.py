"""dedupe: which event ids a user has sent lately, so that an event sent twice counts once.

An id counts as sent before while stream time has moved less than 24 hours since, for the last 1,000 ids of the user.
Ids are kept as 8-byte hashes: two of 1,000 ids collide with a probability of 3e-14.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from reco_stream.engine.table import Table
from tables.rules import TableRules

_HASH_BYTES: Final = 8
_ENTRY_BYTES: Final = 16  # the hash, and the stream time (big-endian) at which the id was applied


class DedupeRow(msgspec.Struct, array_like=True, gc=False):
    """A user's ids in order of arrival, packed."""

    seen: bytes = b""

    def __len__(self) -> int:
        """Number of ids kept."""
        return len(self.seen) // _ENTRY_BYTES


DEDUPE: Table[DedupeRow] = Table(
    name="dedupe",
    prefix=b"d",
    encode=msgspec.msgpack.Encoder().encode,
    decode=msgspec.msgpack.Decoder(DedupeRow).decode,
)


def hash_id(event_id: str) -> bytes:
    """Return the 8 bytes that stand for an event id."""
    return blake2b(event_id.encode(), digest_size=_HASH_BYTES).digest()


def add(row: DedupeRow, event_id: str, now_ms: int, rules: TableRules) -> bool:
    """Keep the id at stream time `now_ms` and return True; False, and nothing changes, when it counts as sent
    before."""
    seen = _since(row.seen, now_ms - rules.dedupe_window_ms)
    hashed = hash_id(event_id)
    at = seen.find(hashed)
    while at >= 0 and at % _ENTRY_BYTES:  # bytes of two entries that look like the hash
        at = seen.find(hashed, at + 1)
    if at >= 0:
        return False
    spare = len(seen) - (rules.dedupe_limit - 1) * _ENTRY_BYTES
    row.seen = seen[max(spare, 0) :] + hashed + now_ms.to_bytes(_ENTRY_BYTES - _HASH_BYTES, "big")
    return True


def _since(seen: bytes, until_ms: int) -> bytes:
    """Returns the entries later than `until_ms`; entries are in order of stream time."""
    at = 0
    while at < len(seen) and int.from_bytes(seen[at + _HASH_BYTES : at + _ENTRY_BYTES], "big") <= until_ms:
        at += _ENTRY_BYTES
    return seen[at:]
