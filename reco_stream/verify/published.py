"""What readers hold of the published topics, beside what it should be, after a drain: the rows of the changelog, and
the sessions that have left their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.publication import Publication
from reco_stream.engine.published import unseal
from reco_stream.engine.store import Record
from reco_stream.verify.compare import ABSENT, Difference, clip


@dataclass(frozen=True)
class Value:
    """A published value: `version` orders the values of a key; None when it was taken back."""

    version: tuple[int, int]
    row: bytes | None


async def last_values(
    records: AsyncIterator[Sequence[Any]], where: str, faults: list[Difference]
) -> dict[bytes, Value]:
    """Returns the value of each key that compaction keeps, the last one.

    Readers keep the one of the highest version instead; a key for which the two differ is added to `faults`.
    """
    last: dict[bytes, Value] = {}
    highest: dict[bytes, tuple[int, int]] = {}
    async for batch in records:
        for record in batch:
            if record.value is None:
                last[record.key] = Value(highest.get(record.key, (0, -1)), None)
                continue
            stamp, row = unseal(record.value)
            version = (stamp.version, stamp.applied)
            last[record.key] = Value(version, row)
            highest[record.key] = max(version, highest.get(record.key, version))
    for key, value in last.items():
        if value.version != highest.get(key, value.version):
            faults.append(
                Difference(where, "version", _text(key), f"last {value.version}", f"the highest, {highest[key]}")
            )
    return last


def wanted_values(publication: Publication, rows: Iterable[Record], topic: str) -> dict[bytes, bytes]:
    """Returns what `topic` should hold of the rows of one partition, a later row's value in place of an earlier's."""
    return {
        out_key: value
        for key, row in rows
        if key[:1] in publication.prefixes
        for target, out_key, value in publication.expand(key, row)
        if target == topic and value is not None
    }


def compare_published(
    where: str, found: Mapping[bytes, Value], wanted: Mapping[bytes, bytes], *, extra_allowed: bool
) -> Iterator[Difference]:
    """Yields what differs. `extra_allowed`: there may be values of rows that are gone."""
    for key in sorted(found.keys() | wanted.keys()):
        value, row = found.get(key), wanted.get(key)
        if row is None and (extra_allowed or value is None or value.row is None):
            continue
        if value is None or value.row != row:
            shown = ABSENT if value is None or value.row is None else clip(value.row)
            yield Difference(where, "published", _text(key), shown, ABSENT if row is None else clip(row))


def _text(key: bytes) -> str:
    return key.decode(errors="replace")
