from __future__ import annotations

from pathlib import Path

import pytest

from reco_stream.catalogue import Catalogue, Item
from reco_stream.catalogue.writer import TopicItems
from reco_stream.event_files import FileFormatError
from reco_stream.item_import import ImportReport, import_items
from reco_stream.kafka_server import KafkaServer
from reco_stream.replay import open_producer
from reco_stream.settings import Settings

NOW = "2026-01-01T00:00:00.000Z"


class Topic:
    def __init__(self) -> None:
        self.records: list[str] = []

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> None:
        self.records.append(key.decode())


async def test_batches_progress_and_bad_lines(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    lines = [f'{{"item_id": "i{number}"}}' for number in range(2500)]
    lines[3] = '{"item_id": "i3", "price": -1}'
    lines[2000] = "nonsense"
    lines[7] = '{"item_id": "i6", "title": "the later one counts"}'
    file.write_text("\n".join(lines))
    topic, progress = Topic(), []
    writer = TopicItems(topic, "items", 4, Catalogue())

    def on_progress(report: ImportReport, read: int) -> None:
        progress.append(report.accepted)

    report = await import_items(writer, file, NOW, on_progress)
    assert (report.accepted, report.rejected) == (2497, 2)
    assert [(row.line, row.field) for row in report.bad] == [(4, "price"), (2001, None)]
    assert progress == [1000, 2000, 2497]
    assert len(topic.records) == len(set(topic.records)) == 2497
    assert await writer.get("i6") == Item(item_id="i6", title="the later one counts", updated_at=NOW)


async def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("name\nx\n")
    with pytest.raises(FileFormatError, match="header"):
        await import_items(TopicItems(Topic(), "items", 4, Catalogue()), file, NOW)


@pytest.mark.kafka
async def test_without_a_database_the_writer_is_the_topic(kafka: KafkaServer, tmp_path: Path) -> None:
    from reco_stream.item_import import open_writer
    from reco_stream.topics import create_topics

    settings = Settings(broker=kafka.bootstrap, app="item-import", partitions=2)
    await create_topics(settings)
    file = tmp_path / "items.csv"
    file.write_text("item_id,tags\na,x|y\n")
    async with open_writer(settings) as writer:
        assert writer.kind == "topic"
        assert (await import_items(writer, file, NOW)).accepted == 1
    async with open_producer(settings) as producer:
        assert len(await producer.partitions_for(settings.topic("items"))) == 2
