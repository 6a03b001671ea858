from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from reco_stream.cli import build
from reco_stream.storage.migrate import migrate

CSV = """item_id,title,categories,tags,price,stock,published_at,properties
a,"Blue, lamp",light|home,new|sale,9.5,3,788918400.0,"{""w"": 1}"
b,,,,cheap,,,
c,Chair,,,,,,not json
,nameless,,,,,,
d,Table,,,,0,,
"""


def test_a_file_goes_into_the_database_and_bad_rows_are_told(
    monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> None:
    async def prepare() -> None:
        connection = await asyncpg.connect(database_url)
        await migrate(connection)
        await connection.close()

    async def stored() -> list[tuple[str, str | None]]:
        connection = await asyncpg.connect(database_url)
        rows = await connection.fetch("SELECT item_id, title FROM items ORDER BY item_id")
        await connection.close()
        return [tuple(row) for row in rows]

    asyncio.run(prepare())
    monkeypatch.setenv("RECO_DATABASE_URL", database_url)
    file = tmp_path / "items.csv"
    file.write_text(CSV)
    result = CliRunner().invoke(build(), ["items", "import", str(file), "--rejected", str(tmp_path / "bad.txt")])
    assert result.exit_code == 1
    assert "imported 2 items" in result.output
    assert "refused 3 rows" in result.output
    told = (tmp_path / "bad.txt").read_text().splitlines()
    assert [line.split(":")[:2] for line in told] == [
        ["line 3", " price"],
        ["line 4", " properties"],
        ["line 5", " item_id"],
    ]
    assert asyncio.run(stored()) == [("a", "Blue, lamp"), ("d", "Table")]


def test_without_kafka_and_database_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text('{"item_id": "a"}\n')
    monkeypatch.setenv("RECO_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    result = CliRunner().invoke(build(), ["items", "import", str(file)])
    assert result.exit_code == 69
    assert "safe" in result.output
    file = tmp_path / "items.txt"
    file.write_text("")
    assert CliRunner().invoke(build(), ["items", "import", str(file)]).exit_code == 65
