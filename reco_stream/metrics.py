"""All Prometheus metrics of a worker, on a registry of their own. Figures are of this process alone.

No label has unbounded values: event types are the configured ones, reasons come from closed sets, endpoints are route
templates, partitions are counted. The engine counts once a micro-batch (a labelled increment costs about 1 us), never
once an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

# Half a millisecond to 10 s: an idle answer takes 0.5 ms, a hop 2 ms, a request that waits for Kafka 5 to 50 ms.
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
FRESHNESS_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and nothing reads them

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

events_ingested = Counter(
    "events_ingested_total", "Events accepted over HTTP: on Kafka with acks=all", ["event_type"], registry=REGISTRY
)
events_processed = Counter("events_processed_total", "Events folded into the tables", ["event_type"], registry=REGISTRY)
event_processing_errors = Counter(
    "event_processing_errors_total", "Records that could not be folded, by reason", ["reason"], registry=REGISTRY
)
dead_letters = Counter(
    "dead_letters_total", "Records written to the dead letters topic", ["partition", "reason"], registry=REGISTRY
)
records_skipped_by_retention = Counter(
    "records_skipped_by_retention_total",
    "Events that retention removed before they were applied, with RECO_TRUNCATED_LOG=skip",
    ["partition"],
    registry=REGISTRY,
)
recommendation_requests = Counter(
    "recommendation_requests_total",
    "Recommendations answered, by where the answer came from",
    ["endpoint", "source"],
    registry=REGISTRY,
)
recommendation_latency = Histogram(
    "recommendation_latency_seconds",
    "Time to answer a recommendation, hops included",
    ["endpoint"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
http_requests = Counter(
    "http_requests_total", "HTTP requests by route template", ["method", "endpoint", "status"], registry=REGISTRY
)
http_request_duration = Histogram(
    "http_request_duration_seconds",
    "Time to answer an HTTP request, by route template",
    ["method", "endpoint"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
forwards = Counter(
    "forwarded_requests_total",
    "Requests sent on to the owner of a partition: answered, retried, failed or not_asked (silent)",
    ["outcome"],
    registry=REGISTRY,
)

partition_applied_offset = Gauge(
    "partition_applied_offset", "Highest source offset that the tables contain", ["partition"], registry=REGISTRY
)
partition_end_offset = Gauge(
    "partition_end_offset", "Offset that the next event of the partition will get", ["partition"], registry=REGISTRY
)
partition_lag_records = Gauge(
    "partition_lag_records", "Events on Kafka that are not applied yet", ["partition"], registry=REGISTRY
)
partition_lag_seconds = Gauge(
    "partition_lag_seconds", "Age of the oldest event that is not applied yet", ["partition"], registry=REGISTRY
)
partition_recovery_progress = Gauge(
    "partition_recovery_progress_ratio",
    "Share of the changelog that is read: 1 when done",
    ["partition"],
    registry=REGISTRY,
)
rocksdb_size = Gauge("rocksdb_size_bytes", "Size of the partition's RocksDB on disk", ["partition"], registry=REGISTRY)
checkpoint_duration = Histogram(
    "checkpoint_duration_seconds",
    "Time of one checkpoint: changelog append acknowledged and RocksDB written",
    ["partition"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
http_shed = Counter(
    "http_requests_shed_total", "Requests refused because this worker had too many (503 overloaded)", registry=REGISTRY
)
canary_failures = Counter(
    "reco_canary_failures_total", "Rounds of the canary that could not be measured", registry=REGISTRY
)
freshness = Histogram(
    "reco_freshness_seconds",
    "From sending a canary's event to seeing it in answers: of its own user, or of another one",
    ["of"],
    buckets=FRESHNESS_BUCKETS,
    registry=REGISTRY,
)

batch_size = Histogram(
    "batch_size_records", "Events in one micro-batch", ["partition"], buckets=BATCH_BUCKETS, registry=REGISTRY
)

fusion_weight = Gauge(
    "fusion_weight", "Weight in force of a source in the fusion", ["scenario", "source"], registry=REGISTRY
)
fusion_samples = Gauge(
    "fusion_samples", "Decayed number of events that the weights were learned from", ["scenario"], registry=REGISTRY
)
catalogue_items = Gauge("catalogue_items", "Items in the local copy of the catalogue", registry=REGISTRY)
catalogue_refused = Gauge("catalogue_refused_records", "Records of the items topic that are none", registry=REGISTRY)
database_connections = Gauge(
    "database_connections", "Connections to PostgreSQL, by state: in_use or idle", ["state"], registry=REGISTRY
)
outbox_rows = Gauge("items_outbox_rows", "Committed changes of items that Kafka does not have yet", registry=REGISTRY)
outbox_lag = Gauge("items_outbox_lag_seconds", "Age of the oldest of those changes", registry=REGISTRY)

content_indexed = Gauge("content_index_vectors", "Vectors in the index of content", registry=REGISTRY)
content_age = Gauge("content_index_age_seconds", "Time since the index of content was built", registry=REGISTRY)
content_recall = Gauge("content_index_recall", "recall@50 of the index against exact search", registry=REGISTRY)

archived_records = Counter(
    "archived_records_total", "Records that the archive has taken", ["sink", "partition"], registry=REGISTRY
)
archive_lag_records = Gauge(
    "archive_lag_records", "Records on Kafka that the archive does not have", ["sink", "partition"], registry=REGISTRY
)
archive_lag = Gauge(
    "archive_lag_seconds", "Age of the oldest of those that were read", ["sink", "partition"], registry=REGISTRY
)

_BY_PARTITION = (
    partition_applied_offset,
    partition_end_offset,
    partition_lag_records,
    partition_lag_seconds,
    partition_recovery_progress,
    rocksdb_size,
    checkpoint_duration,
    batch_size,
)


def fusion_learned(scenario: str, weights: Mapping[str, float], samples: float) -> None:
    """Shows the weights in force of one scenario (closed sets of scenarios and sources)."""
    fusion_samples.labels(scenario).set(samples)
    for source, weight in weights.items():
        fusion_weight.labels(scenario, source).set(weight)


def event_ingested(event_type: str, count: int) -> None:
    """Counts events that were accepted over HTTP; `event_type` is a configured one."""
    _ingested(event_type).inc(count)


@cache
def _ingested(event_type: str) -> Counter:
    return events_ingested.labels(event_type)


def checkpointed(partition: int, records: int, applied: int, seconds: float) -> None:
    """Counts one micro-batch after its checkpoint: its records, new applied offset, time from fold to store."""
    label = str(partition)
    partition_applied_offset.labels(label).set(applied)
    checkpoint_duration.labels(label).observe(seconds)
    batch_size.labels(label).observe(records)


def lag_measured(partition: int, end_offset: int, applied: int, records: int, seconds: float) -> None:
    """Shows how far a partition is behind; call it about once a second."""
    label = str(partition)
    partition_end_offset.labels(label).set(end_offset)
    partition_applied_offset.labels(label).set(applied)
    partition_lag_records.labels(label).set(records)
    partition_lag_seconds.labels(label).set(seconds)


def dead_lettered(partition: int, reason: str, count: int = 1) -> None:
    """Counts records that went to the dead letters; `reason` is one of the closed set of the event contract."""
    event_processing_errors.labels(reason).inc(count)
    dead_letters.labels(str(partition), reason).inc(count)


def recovery_progressed(partition: int, done: int, wanted: int) -> None:
    """Shows how much of the changelog a partition has read, in records; nothing to read counts as done."""
    partition_recovery_progress.labels(str(partition)).set(min(1.0, done / wanted) if wanted > 0 else 1.0)


def partition_lost(partition: int) -> None:
    """Removes the partition's figures, so that two workers never both report it after a rebalance."""
    label = str(partition)
    for metric in _BY_PARTITION:
        metric.remove_by_labels({"partition": label})


def http_answered(method: str, endpoint: str, status: int, seconds: float) -> None:
    """Counts one HTTP request; `endpoint` is the route template, an unknown method becomes "other"."""
    answered, duration = _http(method if method in METHODS else OTHER, endpoint, status)
    answered.inc()
    duration.observe(seconds)


@cache  # looking children up by their labels costs three times as much as counting
def _http(method: str, endpoint: str, status: int) -> tuple[Counter, Histogram]:
    return http_requests.labels(method, endpoint, str(status)), http_request_duration.labels(method, endpoint)


def recommendation_answered(endpoint: str, source: str, seconds: float) -> None:
    """Counts one recommendation; `source` is one of owner, forwarded, standby, read_model, fallback."""
    answered, latency = _recommendations(endpoint, source)
    answered.inc()
    latency.observe(seconds)


@cache
def _recommendations(endpoint: str, source: str) -> tuple[Counter, Histogram]:
    return recommendation_requests.labels(endpoint, source), recommendation_latency.labels(endpoint)


def exposition() -> Iterator[bytes]:
    """Yields all metrics in the Prometheus text format, a family at a time; `CONTENT_TYPE` goes with it."""
    for family in REGISTRY.collect():
        yield generate_latest(_Alone(family))


class _Alone(Collector):
    """One family: all of them take 10 to 60 ms of the loop that answers requests."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]
