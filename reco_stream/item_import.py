"""A catalogue file into the catalogue: in batches, bad rows told with their line number."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from reco_stream.catalogue import Catalogue, Item
from reco_stream.catalogue.incoming import BadItem, convert_item, parse_item
from reco_stream.catalogue.writer import ItemWriter, TopicItems
from reco_stream.event_files import item_rows
from reco_stream.settings import Settings
from reco_stream.storage.database import Database
from reco_stream.storage.items import StoredItems

BATCH: Final = 1_000
EXAMPLES: Final = 1_000


class BadRow(NamedTuple):
    """A line that is no item, the field to blame and why."""

    line: int
    field: str | None
    message: str


@dataclass
class ImportReport:
    """What became of the file; the first 1,000 bad rows are kept."""

    accepted: int = 0
    rejected: int = 0
    bad: list[BadRow] = field(default_factory=list)

    def reject(self, row: BadRow) -> None:
        """Counts a bad row."""
        self.rejected += 1
        if len(self.bad) < EXAMPLES:
            self.bad.append(row)


async def import_items(
    writer: ItemWriter,
    path: Path,
    updated_at: str,
    on_progress: Callable[[ImportReport, int], None] = lambda report, read: None,
) -> ImportReport:
    """Returns once every good row is durable; of two rows with one id the later one counts.

    Raises FileFormatError when the file is none that can be read, WritesUnavailable when a batch was not taken.
    """
    report = ImportReport()
    batch: dict[str, Item] = {}
    with path.open("rb") as file:
        for found in rows(path, file, updated_at):
            if isinstance(found, BadRow):
                report.reject(found)
                continue
            batch[found.item_id] = found
            if len(batch) == BATCH:
                await _flush(writer, batch, report)
                on_progress(report, file.tell())
        await _flush(writer, batch, report)
        on_progress(report, path.stat().st_size)
    return report


def rows(path: Path, file: io.BufferedReader, updated_at: str) -> Iterator[Item | BadRow]:
    """Yields the items of a file, or what is wrong with a line. Raises FileFormatError."""
    for number, fields in item_rows(path, file):
        try:
            if isinstance(fields, bytes):
                yield parse_item(fields, updated_at)
            else:
                yield convert_item(_converted(fields), updated_at)
        except BadItem as bad:
            yield BadRow(number, bad.field, str(bad))


def _converted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a CSV row with its lists and properties as such. Raises BadItem."""
    found = dict(fields)
    if "tags" in found:
        found["tags"] = [part for part in found["tags"].split("|") if part]
    if "properties" in found:
        try:
            found["properties"] = msgspec.json.decode(found["properties"], type=dict[str, Any])
        except msgspec.DecodeError:
            raise BadItem("properties", "properties is no JSON object") from None
    return found


async def _flush(writer: ItemWriter, batch: dict[str, Item], report: ImportReport) -> None:
    if batch:
        await writer.put(list(batch.values()))
        report.accepted += len(batch)
        batch.clear()


@asynccontextmanager
async def open_writer(settings: Settings) -> AsyncIterator[ItemWriter]:
    """The catalogue's writer: the database where there is one, else the topic. Raises KafkaError without Kafka."""
    from reco_stream.replay import open_producer

    database = Database.of(settings)
    if database is not None:
        try:
            yield StoredItems(database, Catalogue())
        finally:
            await database.close()
        return
    async with open_producer(settings) as producer:
        topic = settings.topic("items")
        partitions = len(await producer.partitions_for(topic))
        yield TopicItems(_Acknowledged(producer), topic, partitions, Catalogue(), timeout_s=60)


class _Acknowledged:
    """aiokafka's producer as `ItemProducer`: `send` returns with the acknowledgement."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> Any:
        return await self._producer.send_and_wait(topic, value, key, partition=partition)
