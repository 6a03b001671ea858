"""What the settings mean to the tables and to the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from reco_stream.engine.checkpoint import Limits
from reco_stream.engine.config import EngineConfig
from reco_stream.kafka_clients import client_kwargs
from reco_stream.settings import Settings
from tables import ALL_TABLES, fingerprint
from tables.rules import TableRules

_MIB = 1 << 20


def table_rules(settings: Settings) -> TableRules:
    day_ms = 86_400_000
    return TableRules(
        recent_limit=settings.recent_limit,
        recent_ttl_ms=settings.recent_ttl_days * day_ms,
        anonymous_ttl_ms=settings.anonymous_ttl_days * day_ms,
        session_gap_ms=settings.session_gap_s * 1000,
        sessions_shared=-(-settings.sessions_shared // settings.partitions),
        co_view_last=settings.co_view_last,
        co_view_limit=settings.co_view_limit,
        co_view_half_life_ms=int(settings.co_view_half_life_days * day_ms),
        co_view_window_ms=settings.co_view_window_days * day_ms,
        event_weights=settings.event_weights,
        negative_types=settings.negative_types,
    )


def _stable(value: Any) -> str:
    """Text that is the same for equal values, whatever the order of their keys."""
    if isinstance(value, Mapping):
        return repr(dict(sorted(value.items())))
    return repr(sorted(value) if isinstance(value, frozenset) else value)


def engine_config(settings: Settings, rules: TableRules, url: str) -> EngineConfig:
    described = {f"table {table.name}": f"version {table.version}" for table in ALL_TABLES}
    described |= {field.name: _stable(getattr(rules, field.name)) for field in dataclasses.fields(rules)}
    return EngineConfig(
        app=settings.state_name,
        events_topic=settings.topic("events"),
        changelog_topic=settings.changelog_topic,
        item_stats_topic=settings.topic("item-stats"),
        sessions_topic=settings.topic("sessions"),
        dead_letters_topic=settings.topic("dead-letters"),
        partitions=settings.partitions,
        data_dir=settings.data_dir,
        url=url,
        client_kwargs=client_kwargs(settings),
        limits=Limits(settings.batch_max_events, settings.batch_max_bytes, settings.batch_slice_ms),
        row_cache_bytes=settings.row_cache_mb * _MIB,
        store_cache_bytes=settings.rocksdb_cache_mb * _MIB,
        publish_interval_s=settings.publish_interval_ms / 1000,
        rules=described,
        fingerprint=fingerprint(rules),
        truncated_log=settings.truncated_log,
        standbys=settings.standbys,
    )
