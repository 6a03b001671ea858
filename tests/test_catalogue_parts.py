from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reco_stream.catalogue import Catalogue
from reco_stream.catalogue_parts import CatalogueParts, check_admin_token
from reco_stream.settings import Settings
from reco_stream.settings_loader import SettingsError


class NoProducer:
    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int) -> Any:
        raise OSError("no Kafka")


def test_beyond_the_loopback_a_token_is_needed() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_admin_token(Settings(web_host=host))
    with pytest.raises(SettingsError, match="RECO_ADMIN_TOKEN is not set"):
        check_admin_token(Settings(web_host="0.0.0.0"))
    check_admin_token(Settings(web_host="0.0.0.0", admin_token="0123456789abcdef"))  # type: ignore[arg-type]


async def test_without_a_database_the_topic_is_written() -> None:
    parts = CatalogueParts(Settings(), NoProducer(), Catalogue())
    assert (parts.writer.kind, parts.probes) == ("topic", {})
    await parts.start()
    await parts.stop()


async def test_a_database_that_is_away_disturbs_nothing_but_its_probe() -> None:
    url: Any = "postgresql://u:p@127.0.0.1:1/d"
    parts = CatalogueParts(Settings(database_url=url), NoProducer(), Catalogue())
    assert parts.writer.kind == "database"
    await parts.start()
    await asyncio.sleep(0.05)
    with pytest.raises(Exception, match="ConnectionRefusedError"):
        await parts.probes["database"]()
    await parts.stop()
