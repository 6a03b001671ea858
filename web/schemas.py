"""Bodies of requests and responses. The OpenAPI document is generated from these structs, so they cannot disagree.

Times in JSON are RFC 3339 in UTC. `as_of` is the event time up to which the answer knows the log, null before the first
event, `read_model_lag_seconds` the time since the worker last had everything that was published. A field that is UNSET
is left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from reco_stream.domain.rules import NO_RULES, Rules

Score = Annotated[float, Meta(ge=0)]
ItemId = Annotated[str | int, Meta(description="1 to 256 bytes of UTF-8; an integer becomes its decimal text")]
Source = Literal["owner", "standby", "read_model", "fallback"]


class ErrorDetail(msgspec.Struct):
    """What was wrong: a code for programs, a message for people, and the field to blame when there is one."""

    code: str
    message: str
    field: str | None = None


class ErrorBody(msgspec.Struct):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class EventResult(msgspec.Struct):
    """What became of one event of a request.

    accepted: on Kafka with acks=all. rejected: breaks the contract, sending it again will not help. unknown: Kafka did
    not answer in time, send it again with the `event_id` returned and it will count once.
    """

    index: int
    event_id: str | None
    status: Literal["accepted", "rejected", "unknown"]
    partition: int | None = None
    offset: int | None = None
    error: ErrorDetail | UnsetType = UNSET


class EventsAnswer(msgspec.Struct):
    """Counts of what became of the events, and one result an event, in the order of the request.

    token: `partition:offset` of the newest accepted event in each partition, separated by commas, for `?after=`.
    """

    accepted: int
    rejected: int
    unknown: int
    results: list[EventResult]
    token: str | None = None


class EventsRefused(msgspec.Struct):
    """No event was accepted: the error, and (when events could be told apart) the results as in a success."""

    error: ErrorDetail
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    results: list[EventResult] = []


class RecommendedItem(msgspec.Struct):
    """One item: `score` falls along the list.

    With explain: `parts` are what the score was made from, each 0..1, and `evidence` is the data behind the reason.
    """

    item_id: str
    score: Score
    reason: str
    title: str | UnsetType = UNSET
    parts: dict[str, float] | UnsetType = UNSET
    evidence: dict[str, Any] | UnsetType = UNSET


class Arm(msgspec.Struct):
    """How well one way of ranking did on the sample: mean reciprocal rank and hit rate, both at 20."""

    mrr: float
    hit_rate: float


class FusionWeights(msgspec.Struct):
    """Weights of one scenario: over all, and those in force by length of the session (1, 2-3, 4+ items).

    `samples` is the decayed number of events that they were learned from.
    """

    weights: dict[str, float]
    by_length: dict[str, dict[str, float]]
    pinned: bool
    samples: float
    arms: dict[str, Arm]


class Models(msgspec.Struct):
    """How a worker ranks: the default ranker, those that may be asked for, and the fusion's weights by scenario."""

    default: str
    rankers: list[str]
    fusion: dict[str, FusionWeights]


class Freshness(msgspec.Struct):
    """How far the state of the user's partition is: last source offset applied (-1 for none) and what is behind it.

    `lag_*` are null for a copy, which cannot know. `after_applied` answers `?after=`: are those events in the state?
    """

    partition: int
    applied: int
    lag_records: int | None
    lag_seconds: float | None
    after_applied: bool | UnsetType = UNSET


class Recommendations(msgspec.Struct):
    """Items for somebody.

    source: `owner` knows the user's own history; `standby` knows it up to `as_of`, from a copy that may be behind;
    `read_model` was made from the items given; `fallback` is what is popular, as nobody who knows the user answered.
    next: ask again with it for more of the same, without repeats; not there when the list is shorter than asked for.
    stale: made from a copy that may be behind.
    """

    user_id: str | None
    recommendation_id: str
    recommendations: list[RecommendedItem]
    as_of: str | None
    source: Source
    model: str
    took_ms: float
    read_model_lag_seconds: float
    stale: bool = False
    notes: list[str] = []
    freshness: Freshness | UnsetType = UNSET
    next: str | UnsetType = UNSET


class SessionQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """The items that an anonymous visitor looked at, oldest first, and how many recommendations are wanted."""

    items: Annotated[list[ItemId], Meta(max_length=100)]
    count: Annotated[int, Meta(ge=1, le=100)] = 10
    exclude_seen: bool = True
    explain: bool = False
    ranker: Literal["fusion", "blend"] | None = None
    scenario: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    rules: Rules = NO_RULES
    next: Annotated[str, Meta(max_length=8_000)] | None = None


class ScoredItem(msgspec.Struct):
    """An item and its score in the window: events, each times the weight of its type."""

    item_id: str
    score: Score
    title: str | UnsetType = UNSET


class Popular(msgspec.Struct):
    """The items with the highest score in a window, over all partitions."""

    window: str
    category: str | None
    items: list[ScoredItem]
    as_of: str | None
    read_model_lag_seconds: float


class SimilarItem(msgspec.Struct):
    """An item seen in the same sessions, or like in content, or both: `source`, where content is known.

    `score` is relative to the first. `weight` is that of the sessions, decayed to now, and `last_seen` the newest of
    them: 0 and null for content alone.
    """

    item_id: str
    score: Score
    weight: float
    last_seen: str | None
    title: str | UnsetType = UNSET
    source: Literal["behaviour", "content", "both"] | UnsetType = UNSET


class Similar(msgspec.Struct):
    """Neighbours of an item, heaviest first, over all partitions."""

    item_id: str
    items: list[SimilarItem]
    as_of: str | None
    title: str | UnsetType = UNSET
    read_model_lag_seconds: float = 0.0


class TouchedItem(msgspec.Struct):
    """An item that the user touched, with the type and time of the newest event on it."""

    item_id: str
    event_type: str
    at: str
    title: str | UnsetType = UNSET


class RecentItems(msgspec.Struct):
    """What the owner of the user's partition knows: items newest first, and items never shown again (dislike, hide)."""

    user_id: str
    items: list[TouchedItem]
    hidden: list[str]
    as_of: str | None
    source: Source
    freshness: Freshness
    stale: bool = False


class Counts(msgspec.Struct):
    """Events, their weighted sum, and events by type. Only a window has fractions: its oldest bucket counts in part."""

    events: int | float
    weighted: float
    by_type: dict[str, int | float]


class ItemStats(msgspec.Struct):
    """Exact figures of an item, asked from the owners of all partitions.

    `applied` is the last source offset that each partition's figures contain (-1 for none), `lag_records` how many
    records of all of them came after; `missing` names partitions
    whose owner did not answer, which only ?partial=true accepts.
    """

    item_id: str
    total: Counts
    windows: dict[str, Counts]
    applied: dict[str, int]
    as_of: str | None
    lag_records: int
    missing: list[int] = []
    title: str | UnsetType = UNSET


class PartitionStats(msgspec.Struct):
    """One partition's share of the figures of an item."""

    partition: int
    applied: int
    stream_time_ms: int
    lag_records: int
    total: Counts
    windows: dict[str, Counts]


class PartitionStatsList(msgspec.Struct):
    """Shares of the partitions that this worker is running; the others that it was asked for are `missing`."""

    item_id: str
    partitions: list[PartitionStats]
    missing: list[int]


class Links(msgspec.Struct):
    """What answers here, and where the interface is described for people and for programs."""

    name: str
    docs: str
    openapi: str


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["alive"]


class Ready(msgspec.Struct):
    """Every partition of this worker is restored and caught up, and so are the read models."""

    status: Literal["ready"]
    partitions: list[int]


class Dependency(msgspec.Struct):
    """One thing that the worker needs, and how long it took to answer."""

    status: Literal["ok", "failed"]
    latency_ms: float
    error: str | UnsetType = UNSET


class PartitionHealth(msgspec.Struct):
    """One partition of this worker."""

    partition: int
    running: bool
    applied: int
    end_offset: int
    lag_records: int
    lag_seconds: float


class UserAttributesBody(msgspec.Struct):
    """What is known of a user beside the events."""

    user_id: str
    attributes: dict[str, Any]


class ContentHealth(msgspec.Struct):
    """The content of items on this worker: the encoder, items with a vector, waiting for one, and the index.

    `recall` is the index's recall@50 against exact search, null while exact search does it all.
    """

    stage: str
    model: str | None
    vectors: int
    waiting: int
    indexed: int
    recall: float | None


class CatalogueHealth(msgspec.Struct):
    """Where changes of the catalogue go (to the topic alone, or to the database), and what this worker has of it."""

    writes: str
    items: int
    content: ContentHealth | None


class Health(msgspec.Struct):
    """This worker: what it needs, what it owns, and what is not ready yet, in words."""

    status: Literal["ok", "failed"]
    url: str
    app: str
    uptime_s: float
    not_ready: list[str]
    dependencies: dict[str, Dependency]
    partitions: list[PartitionHealth]
    read_model_items: int
    catalogue: CatalogueHealth
