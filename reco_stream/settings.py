"""Every setting of the application: one environment variable each, typed and described.

`load_settings` in `settings_loader.py` is the way in: it reports all problems at once. `reco settings` prints the
effective values and `docs/settings.md` is generated from the descriptions here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from reco_stream import setting_values as values
from reco_stream.catalogue.settings import CatalogueSettings
from reco_stream.events import EventRules

ENV_PREFIX: Final = "RECO_"

# Published from the state, so every generation of it has its own.
DERIVED_TOPICS: Final = frozenset({"item-stats", "sessions", "models"})

# Variables of that prefix which are no settings of the application.
OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "RECO_CACHE_DIR": "folder in which `reco kafka` and `reco demo` keep Kafka's jars (default: ~/.cache/reco-stream)",
}
Weights = Annotated[dict[str, float], NoDecode, BeforeValidator(values.parse_weights)]
Names = Annotated[frozenset[str], NoDecode, BeforeValidator(values.parse_names)]
Milliseconds = Annotated[int, BeforeValidator(values.duration("ms"))]
Seconds = Annotated[int, BeforeValidator(values.duration("s"))]
FractionalSeconds = Annotated[float, BeforeValidator(values.duration("s"))]
Days = Annotated[int, BeforeValidator(values.duration("d"))]
FractionalDays = Annotated[float, BeforeValidator(values.duration("d"))]


class Settings(CatalogueSettings):
    """The effective settings: arguments first, then `RECO_*` variables (an empty one counts as not set), then defaults.

    Immutable. Raises pydantic's ValidationError; `load_settings` translates it for people.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        validate_default=True,
    )

    broker: Annotated[str, AfterValidator(values.check_brokers)] = Field(
        default="localhost:9092", description="Kafka's bootstrap servers: host:port, several separated by commas."
    )
    app: Annotated[str, AfterValidator(values.check_app)] = Field(
        default="reco",
        description="Name of the application: the prefix of its topics and its consumer group.",
    )
    partitions: int = Field(
        default=12,
        ge=1,
        le=1000,
        description="Partitions of the events topic, fixed when the topics are created; "
        "another number means a replay into a new RECO_APP.",
    )
    state: int = Field(
        default=1,
        ge=1,
        le=9999,
        description="Generation of the state: `reco rebuild` folds the log into the next one, "
        "and workers started with that number switch to it.",
    )
    replication: int = Field(
        default=1, ge=1, le=16, description="Replication factor of the topics that `reco topics create` makes."
    )
    data_dir: Path = Field(
        default=Path(".reco/data"), description="Folder of the local state, one database a partition."
    )

    web_host: str = Field(default="127.0.0.1", min_length=1, description="Address on which the HTTP API listens.")
    web_port: int = Field(default=6066, ge=1, le=65_535, description="Port on which the HTTP API listens.")
    advertised_url: Annotated[str | None, AfterValidator(values.check_url)] = Field(
        default=None,
        description="URL under which other workers reach this one; not set: http://RECO_WEB_HOST:RECO_WEB_PORT.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )

    event_weights: Annotated[Weights, AfterValidator(values.check_event_weights)] = Field(
        default={
            "view": 1,
            "click": 3,
            "cart": 5,
            "purchase": 10,
            "like": 4,
            "rating": 4,
            "complete": 5,
            "bookmark": 4,
            "share": 4,
            "quiz_score": 4,
        },
        description="The known event types and what one event of each counts. Replaces the default list as a whole.",
    )
    negative_types: Annotated[Names, AfterValidator(values.check_event_types)] = Field(
        default=frozenset({"dislike", "hide"}),
        description="Event types that count for nothing and exclude the item for that user.",
    )
    event_max_bytes: int = Field(
        default=1_048_576,
        ge=256,
        le=7_340_032,
        description="Largest event, in bytes of its value; larger ones are refused.",
    )
    future_tolerance_s: Seconds = Field(
        default=60, ge=0, description="How far an event's timestamp may lie after its arrival; later ones are refused."
    )
    time: Literal["wall", "stream"] = Field(
        default="wall",
        description="What queries take for now: the clock or, for replays of old logs, the highest event time applied.",
    )

    recent_limit: int = Field(default=50, ge=1, le=1000, description="Recent items kept for each user.")
    recent_ttl_days: Days = Field(default=90, ge=1, description="After so long without an event a user is forgotten.")
    anonymous_ttl_days: Days = Field(
        default=30, ge=1, description="After so long without an event a visitor without user_id is forgotten."
    )
    session_gap_s: Seconds = Field(
        default=1800,
        ge=1,
        le=86_400,
        validation_alias="RECO_SESSION_GAP",
        description="A pause longer than this ends a session.",
    )
    sessions_shared: int = Field(
        default=6_000,
        ge=1,
        description="Sessions of an item an hour that every worker learns of, about; of an item that has more, a "
        "sample. Less: workers cost each other less. More: fresher neighbours of the hottest items.",
    )
    co_view_last: int = Field(
        default=10, ge=1, le=50, description="An event pairs its item with so many last distinct items of the session."
    )
    co_view_limit: int = Field(default=100, ge=1, le=1000, description="Neighbours kept for each item and partition.")
    co_view_half_life_days: FractionalDays = Field(
        default=7, gt=0, description="Age at which a pair of items counts half of a new one."
    )
    co_view_window_days: Days = Field(default=30, ge=1, description="Pairs not seen for so long are dropped.")

    blend: Annotated[Weights, AfterValidator(values.check_blend)] = Field(
        default={"co_view": 0.4, "embedding": 0.3, "popularity": 0.2, "recency": 0.1},
        description="Weights of the blend ranker's parts; they sum to 1, a part that is not named has weight 0.",
    )
    ranker: Literal["fusion", "blend"] = Field(
        default="fusion",
        description="How candidates are ranked: by the fused session sources, or by the blend of RECO_BLEND.",
    )
    fusion_weights: dict[str, dict[str, float]] = Field(
        default={},
        description="Pins the fusion's weights of a scenario instead of learning them, as JSON: "
        'by scenario ("unseen", "repeats") and source; a source that is not named has weight 0. '
        "GET /models shows the names and the weights in force.",
    )

    session_timeout_s: FractionalSeconds = Field(
        default=10,
        ge=1,
        le=1800,
        description="After so long without a heartbeat Kafka gives a worker's partitions to others.",
    )
    heartbeat_s: FractionalSeconds = Field(
        default=1, ge=0.1, description="Time between heartbeats; at most a third of RECO_SESSION_TIMEOUT_S."
    )
    instance_id: Annotated[str | None, AfterValidator(values.check_instance_id)] = Field(
        default=None,
        description="Name of this worker in the consumer group: started again under it within RECO_SESSION_TIMEOUT_S, "
        "a worker gets its partitions back and no others move; not set: its host's name and RECO_WEB_PORT.",
    )
    leave_on_stop: bool = Field(
        default=False, description="Give the partitions to others as soon as this worker stops, as for good."
    )
    canary_s: Seconds = Field(
        default=60, ge=0, le=3600, description="Time between two measurements of freshness by this worker; 0: none."
    )
    standbys: int = Field(default=0, ge=0, le=8, description="Other workers that keep a warm copy of each partition.")
    batch_max_events: int = Field(default=2000, ge=1, le=100_000, description="Largest micro-batch, in events.")
    batch_max_bytes: int = Field(
        default=4_194_304,
        ge=10_000,
        le=7_340_032,
        description="Largest micro-batch as written to the changelog, in bytes.",
    )
    batch_slice_ms: Milliseconds = Field(
        default=4, ge=1, le=1000, description="Longest stretch of folding before HTTP requests get their turn."
    )
    publish_interval_ms: Milliseconds = Field(
        default=200, ge=10, le=60_000, description="Least time between two publications of the same changed row."
    )
    truncated_log: Literal["stop", "skip"] = Field(
        default="stop",
        description="What to do when the next event of a partition is no longer on Kafka: "
        "stop that partition with a message, or skip and count what is missing.",
    )
    row_cache_mb: int = Field(default=128, ge=1, description="Memory for decoded rows of all partitions, in MB.")
    rocksdb_cache_mb: int = Field(
        default=128, ge=8, description="Memory for RocksDB's write buffers of all partitions, in MB."
    )

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How every client talks to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="How clients authenticate, for the SASL protocols."
    )
    kafka_sasl_username: str | None = Field(
        default=None, min_length=1, description="User name, for the SASL protocols."
    )
    kafka_sasl_password: SecretStr | None = Field(
        default=None, min_length=1, description="Password, for the SASL protocols."
    )
    kafka_ssl_cafile: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; not set: the system's.",
    )
    kafka_ssl_certfile: FilePath | None = Field(
        default=None, description="PEM file of the client's certificate, when the brokers ask for one."
    )
    kafka_ssl_keyfile: FilePath | None = Field(
        default=None, description="PEM file of the client's key; not set: the key is in RECO_KAFKA_SSL_CERTFILE."
    )

    testing: bool = Field(default=False, description="Allows settings that only tests may use.")
    crash_at: str | None = Field(
        default=None, description="Point at which the process kills itself, for the crash tests; needs RECO_TESTING."
    )

    @property
    def state_name(self) -> str:
        """Name of this generation of the state: of its consumer group, its local folder and its claims."""
        return self.app if self.state == 1 else f"{self.app}-{self.state}"

    @property
    def changelog_topic(self) -> str:
        """The topic that the state is rebuilt from."""
        return f"{self.state_name}-state-changelog"

    def topic(self, name: str) -> str:
        """The application's topic called `name`: events, items, item-stats, sessions or dead-letters.

        What is derived from the state belongs to its generation; what others write does not.
        """
        return f"{self.state_name if name in DERIVED_TOPICS else self.app}.{name}"

    def event_rules(self) -> EventRules:
        """What `decode_event` has to know."""
        return EventRules(
            weights=self.event_weights,
            negative=self.negative_types,
            future_tolerance_ms=self.future_tolerance_s * 1000,
            max_bytes=self.event_max_bytes,
        )


def env_name(field: str) -> str:
    """The environment variable of the attribute `field`.

    >>> env_name("session_gap_s"), env_name("web_port")
    ('RECO_SESSION_GAP', 'RECO_WEB_PORT')
    """
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else ENV_PREFIX + field.upper()


def is_secret(field: str) -> bool:
    """Whether the value of the attribute `field` must never be shown."""
    return "SecretStr" in str(Settings.model_fields[field].annotation)


MASK: Final = "********"
