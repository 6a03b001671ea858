from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reco_stream.archive.parquet import ParquetEvents, ParquetSink
from reco_stream.archive.record import Record
from reco_stream.cli import build
from reco_stream.engine_settings import table_rules
from reco_stream.event_files import write_events
from reco_stream.kafka_server import KafkaServer
from reco_stream.ports import free_ports
from reco_stream.sample_data import SampleSize, sample_events
from reco_stream.settings import Settings
from reco_stream.verify.log import open_reader
from reco_stream.verify.recount import Recount


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), list(arguments))
    return result.exit_code, result.output


async def archived(folder: Path) -> None:
    event = b'{"user_id": "u", "item_id": "a", "event_type": "view"}'
    await ParquetSink(folder).write("t", 0, [Record(0, 1_000, b"u", event), Record(1, 2_000, b"u", event)])


def test_old_days_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asyncio.run(archived(tmp_path))
    monkeypatch.setenv("RECO_ARCHIVE_DIR", str(tmp_path))
    code, output = invoke("archive", "prune", "--days", "30")
    assert code == 0
    assert output.startswith("removed day=1970-01-01\n1 days before")
    assert not list(tmp_path.iterdir())


def test_the_archive_is_replayed(tmp_path: Path) -> None:
    asyncio.run(archived(tmp_path))
    assert len(list(ParquetEvents(tmp_path))) == 2
    code, output = invoke("replay", "--help")
    assert (code, "Parquet archive" in output) == (0, True)


def test_without_a_database_it_says_so() -> None:
    code, output = invoke("archive", "run", "--to", "database")
    assert (code, "RECO_DATABASE_URL is not set" in output) == (78, True)


async def recounted(settings: Settings) -> tuple[list[Any], int]:
    """Returns the rows that a fold of the events topic gives, and how many events it has."""
    folded: list[Any] = []
    events = 0
    async with open_reader(settings) as reader:
        for partition in range(settings.partitions):
            rules = settings.event_rules(), table_rules(settings)
            recount = Recount(partition, settings.partitions, *rules, letters={})
            start, end = await reader.bounds(settings.topic("events"), partition)
            async for records in reader.read(settings.topic("events"), partition, start, end):
                for record in records:
                    recount.fold(record)
            folded.append(recount.rows.snapshot())
            events += recount.events
    return folded, events


@pytest.mark.kafka
def test_events_go_through_the_archive_into_another_application_with_the_same_counts(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app, (port,) = f"archived-{uuid.uuid4().hex[:8]}", free_ports(1)
    environment = {
        "RECO_BROKER": kafka.bootstrap,
        "RECO_PARTITIONS": "2",
        "RECO_ARCHIVE_DIR": str(tmp_path / "archive"),
        "RECO_ARCHIVE_FLUSH_S": "0.2",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    write_events(tmp_path / "events.csv", sample_events(SampleSize(events=2_000, users=40, items=50, days=2), seed=1))
    monkeypatch.setenv("RECO_APP", app)
    assert invoke("topics", "create")[0] == 0
    assert invoke("replay", str(tmp_path / "events.csv"))[0] == 0
    command = [sys.executable, "-m", "reco_stream", "archive", "run", "--to", "parquet", "--metrics-port", str(port)]
    archiver = subprocess.Popen(command, env={**os.environ, "RECO_APP": app})
    try:
        wait_for_metric(port, "archived_records_total", 2_000.0)
        wait_for_metric(port, "archive_lag_records", 0.0)
    finally:
        archiver.terminate()
        assert archiver.wait(30) == 0
    monkeypatch.setenv("RECO_APP", f"{app}-second")
    assert invoke("topics", "create")[0] == 0
    assert invoke("replay", str(tmp_path / "archive"))[0] == 0
    first = asyncio.run(recounted(Settings(app=app)))
    second = asyncio.run(recounted(Settings(app=f"{app}-second")))
    assert first[1] == second[1] == 2_000
    assert len(first[0][0]) > 50  # rows of items and users
    assert first[0] == second[0]


def wait_for_metric(port: int, name: str, wanted: float) -> None:
    """Waits until the sum over all labels is as wanted."""
    found = -1.0
    until = time.monotonic() + 60
    while found != wanted:
        assert time.monotonic() < until, f"{name} is {found}, wanted: {wanted}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
                lines = answer.read().decode().splitlines()
            values = [float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{")]
            found = sum(values) if values else -1.0
        except OSError:
            pass
        time.sleep(0.05)
