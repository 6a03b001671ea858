"""Names and places that the engine derives: distinct for each partition and each application."""

import dataclasses
from pathlib import Path

import pytest

from tests.engine.counting_worker import config_for


def test_partitions_share_neither_store_nor_claim() -> None:
    config = config_for("app", "localhost:9092", Path("/data"))
    other = config_for("app2", "localhost:9092", Path("/data"))
    paths = {c.store_path(number) for c in (config, other) for number in range(12)}
    ids = {c.transactional_id(number) for c in (config, other) for number in range(12)}
    assert (len(paths), len(ids)) == (24, 24)
    assert config.store_path(3) == Path("/data/app/partition-0003")
    assert config.transactional_id(3) == "app-3"


def test_config_cannot_change_under_a_running_engine() -> None:
    config = config_for("app", "localhost:9092", Path("/data"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.partitions = 13  # type: ignore[misc]
