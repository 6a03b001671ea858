"""What the engine is told once at start; it reads no setting by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reco_stream.engine.checkpoint import Limits


@dataclass(frozen=True)
class EngineConfig:
    """Names, places and bounds.

    `row_cache_bytes` and `store_cache_bytes` are for all partitions together. `rules` maps each name that shapes rows
    to its value, for a readable refusal.
    """

    app: str
    events_topic: str
    changelog_topic: str
    item_stats_topic: str
    sessions_topic: str
    dead_letters_topic: str
    partitions: int
    data_dir: Path
    url: str
    client_kwargs: Mapping[str, Any]
    limits: Limits
    row_cache_bytes: int
    store_cache_bytes: int
    publish_interval_s: float
    rules: Mapping[str, str]
    fingerprint: str
    truncated_log: Literal["stop", "skip"] = "stop"
    standbys: int = 0

    def store_path(self, partition: int) -> Path:
        return self.data_dir / self.app / f"partition-{partition:04d}"

    def transactional_id(self, partition: int) -> str:
        return f"{self.app}-{partition}"
