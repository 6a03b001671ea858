from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from reco_stream import metrics

# Names that operators' dashboards and alerts rely on.
WANTED = {
    "events_ingested_total": {"event_type"},
    "events_processed_total": {"event_type"},
    "event_processing_errors_total": {"reason"},
    "recommendation_requests_total": {"endpoint", "source"},
    "recommendation_latency_seconds": {"endpoint"},
    "http_requests_total": {"method", "endpoint", "status"},
    "http_request_duration_seconds": {"method", "endpoint"},
    "partition_applied_offset": {"partition"},
    "partition_end_offset": {"partition"},
    "partition_lag_records": {"partition"},
    "partition_lag_seconds": {"partition"},
    "checkpoint_duration_seconds": {"partition"},
    "batch_size_records": {"partition"},
    "rocksdb_size_bytes": {"partition"},
    "dead_letters_total": {"partition", "reason"},
    "database_connections": {"state"},
    "items_outbox_rows": set(),
    "items_outbox_lag_seconds": set(),
    "content_index_vectors": set(),
    "content_index_age_seconds": set(),
    "content_index_recall": set(),
    "archived_records_total": {"sink", "partition"},
    "archive_lag_records": {"sink", "partition"},
    "archive_lag_seconds": {"sink", "partition"},
}


def value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_names_and_labels() -> None:
    registered = {
        f"{metric._name}_total" if metric._type == "counter" else metric._name: set(metric._labelnames)
        for metric in metrics.__dict__.values()
        if hasattr(metric, "_labelnames")
    }
    assert {name: registered.get(name) for name in WANTED} == WANTED


def test_a_checkpoint_is_counted_once() -> None:
    metrics.checkpointed(901, records=4, applied=41, seconds=0.002)
    assert value("partition_applied_offset", partition="901") == 41
    assert value("checkpoint_duration_seconds_count", partition="901") == 1
    assert value("batch_size_records_sum", partition="901") == 4
    metrics.partition_lost(901)


def test_a_lost_partition_is_no_longer_shown() -> None:
    metrics.lag_measured(902, end_offset=10, applied=7, records=2, seconds=1.5)
    metrics.recovery_progressed(902, 5, 10)
    assert value("partition_lag_seconds", partition="902") == 1.5
    assert value("partition_recovery_progress_ratio", partition="902") == 0.5
    metrics.partition_lost(902)
    metrics.partition_lost(902)
    assert 'partition="902"' not in b"".join(metrics.exposition()).decode()


def test_recovery_of_nothing_is_done() -> None:
    metrics.recovery_progressed(903, 0, 0)
    assert value("partition_recovery_progress_ratio", partition="903") == 1
    metrics.recovery_progressed(903, 12, 10)
    assert value("partition_recovery_progress_ratio", partition="903") == 1
    metrics.partition_lost(903)


def test_dead_letters_are_counted_by_partition_and_reason() -> None:
    before = value("event_processing_errors_total", reason="not_json") or 0.0
    metrics.dead_lettered(904, "not_json", 2)
    assert value("dead_letters_total", partition="904", reason="not_json") == 2
    assert value("event_processing_errors_total", reason="not_json") == before + 2


def test_strange_methods_share_a_label() -> None:
    metrics.http_answered("BREW", "/pot", 418, 0.1)
    assert value("http_requests_total", method="other", endpoint="/pot", status="418") == 1
    assert value("http_requests_total", method="BREW", endpoint="/pot", status="418") is None


def test_recommendations_are_counted_and_timed() -> None:
    metrics.recommendation_answered("test", "owner", 0.003)
    assert value("recommendation_requests_total", endpoint="test", source="owner") == 1
    assert value("recommendation_latency_seconds_sum", endpoint="test") == 0.003


def test_the_exposition_is_readable() -> None:
    families = {family.name for family in text_string_to_metric_families(b"".join(metrics.exposition()).decode())}
    assert {"events_processed", "process_cpu_seconds", "python_info"} <= families
