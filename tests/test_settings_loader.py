from pathlib import Path

import pytest
from pydantic import ValidationError

from reco_stream.settings import OTHER_VARIABLES, Settings, env_name, is_secret
from reco_stream.settings_loader import SettingsError, load_settings, source

PARTS = {"co_view": 0.4, "embedding": 0.3, "popularity": 0.2, "recency": 0.1}


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(env_name(field), raising=False)


def wrong(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, str]:
    """The lines of the error that these variables lead to, by variable."""
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return {problem.name: str(problem) for problem in caught.value.problems}


def test_nothing_has_to_be_set() -> None:
    settings = load_settings()
    assert (settings.broker, settings.app, settings.partitions) == ("localhost:9092", "reco", 12)
    assert settings.blend == PARTS


def test_variables_and_arguments_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_BROKER", "k1:9092, [::1]:9093")
    monkeypatch.setenv("RECO_WEB_PORT", "7000")
    monkeypatch.setenv("RECO_SESSION_GAP", "1h")
    monkeypatch.setenv("RECO_DATA_DIR", "here")
    settings = load_settings(web_port=7001)
    assert settings.broker == "k1:9092,[::1]:9093"
    assert (settings.web_port, settings.session_gap_s, settings.data_dir) == (7001, 3600, Path("here"))


def test_an_argument_goes_before_the_variable_that_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_SESSION_GAP", "1h")
    assert load_settings(session_gap_s=60).session_gap_s == 60


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_ADVERTISED_URL", "")
    assert load_settings().advertised_url is None
    assert source("advertised_url") == "default"


def test_a_setting_knows_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_SESSION_GAP", "20m")
    assert (source("session_gap_s"), source("app")) == ("environment", "default")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("RECO_RECENT_TTL_DAYS", "14d", "recent_ttl_days", 14),
        ("RECO_RECENT_TTL_DAYS", "48h", "recent_ttl_days", 2),
        ("RECO_CO_VIEW_HALF_LIFE_DAYS", "12h", "co_view_half_life_days", 0.5),
        ("RECO_SESSION_TIMEOUT_S", "6", "session_timeout_s", 6),
        ("RECO_PUBLISH_INTERVAL_MS", "0.5s", "publish_interval_ms", 500),
        ("RECO_EVENT_WEIGHTS", "View=1,click=2.5", "event_weights", {"view": 1, "click": 2.5}),
        ("RECO_EVENT_WEIGHTS", '{"view": 1, "click": 2.5}', "event_weights", {"view": 1, "click": 2.5}),
        ("RECO_NEGATIVE_TYPES", "Hide, block", "negative_types", {"hide", "block"}),
        ("RECO_NEGATIVE_TYPES", '["hide"]', "negative_types", {"hide"}),
        (
            "RECO_BLEND",
            "co_view=.5,popularity=.5",
            "blend",
            dict.fromkeys(PARTS, 0) | {"co_view": 0.5, "popularity": 0.5},
        ),
        ("RECO_ADVERTISED_URL", "http://w1:6066/", "advertised_url", "http://w1:6066"),
    ],
)
def test_a_value_may_be_written_like_this(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(load_settings(), field) == value


WRONG = [
    ("RECO_WEB_PORT", "http", "is 'http'; wanted: a valid integer, unable to parse string as an integer"),
    ("RECO_WEB_PORT", "0", "is '0'; wanted: greater than or equal to 1"),
    ("RECO_BROKER", "kafka://k:9092", "not 'kafka://k:9092'"),
    ("RECO_BROKER", "k:9092,", "host:port"),
    ("RECO_BROKER", "k:99999", "not 'k:99999'"),
    ("RECO_APP", "my app", "1 to 100 letters"),
    ("RECO_TIME", "now", "is 'now'; wanted: 'wall' or 'stream'"),
    ("RECO_SESSION_GAP", "half an hour", "a number of seconds, or a duration such as 250ms, 90s, 30m, 2h or 7d"),
    ("RECO_SESSION_GAP", "0", "greater than or equal to 1"),
    ("RECO_RECENT_TTL_DAYS", "36h", "a valid integer"),
    (
        "RECO_BLEND",
        "co_view=.5,popularity=.4",
        "is 'co_view=.5,popularity=.4'; wanted: weights that sum to 1, not to 0.9",
    ),
    ("RECO_BLEND", "co_view=2,popularity=-1", "weights of 0 or more"),
    ("RECO_BLEND", "co_view=nan", "weights of 0 or more"),
    ("RECO_BLEND", "luck=1", "weights of co_view, embedding, popularity, recency only, not of luck"),
    ("RECO_EVENT_WEIGHTS", "view", "pairs such as view=1,click=3 or JSON"),
    ("RECO_EVENT_WEIGHTS", '{"view": "much"}', "pairs such as view=1,click=3 or JSON"),
    ("RECO_EVENT_WEIGHTS", '{"view": true}', "pairs such as view=1,click=3 or JSON"),
    ("RECO_EVENT_WEIGHTS", "{", "pairs such as view=1,click=3 or JSON"),
    ("RECO_EVENT_WEIGHTS", "{}", "1 to 64 event types"),
    ("RECO_EVENT_WEIGHTS", "view=1,view=2", "each name once"),
    ("RECO_EVENT_WEIGHTS", "view=1,View=2", "1 to 64 event types, each once"),
    ("RECO_EVENT_WEIGHTS", "view=inf", "a weight from 0 to 1000000 for view, not inf"),
    ("RECO_EVENT_WEIGHTS", "$erase=1", "names with '$' are reserved"),
    ("RECO_NEGATIVE_TYPES", "[1", "names such as dislike,hide"),
    ("RECO_NEGATIVE_TYPES", "a b", "not 'a b'"),
    ("RECO_NEGATIVE_TYPES", "view", "is with view; wanted: types that have no weight in RECO_EVENT_WEIGHTS"),
    ("RECO_ADVERTISED_URL", "w1:6066", "http://host:port"),
    ("RECO_HEARTBEAT_S", "5", "is 5; wanted: at most 3.33333 s, a third of RECO_SESSION_TIMEOUT_S"),
    ("RECO_CRASH_AT", "after_ack", "is 'after_ack'; wanted: not set, unless RECO_TESTING=true"),
    ("RECO_KAFKA_SSL_CAFILE", "no/such.pem", "is 'no/such.pem'; wanted: the path of an existing file"),
    ("RECO_KAFKA_SASL_USERNAME", "me", "not set, for RECO_KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
    ("RECO_KAFKA_SASL_PASSWORD", "hidden", "is set; wanted: not set, for RECO_KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
]


@pytest.mark.parametrize(("name", "text", "words"), WRONG, ids=lambda part: part[:40])
def test_a_wrong_value_is_named_with_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    lines = wrong(monkeypatch, **{name: text})
    assert list(lines) == [name]
    assert words in lines[name]


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_PARTITIONS", "none")
    monkeypatch.setenv("RECO_SESSION_GAP", "soon")
    monkeypatch.setenv("RECO_BLENDS", "co_view=1")
    monkeypatch.setenv("RECO_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(SettingsError) as caught:
        load_settings(heartbeat_s=9, web_port=-1)
    assert str(caught.value).splitlines() == [
        "7 settings are wrong (`reco settings --markdown` explains all):",
        "  RECO_BLENDS is no setting; wanted: RECO_BLEND, or no such variable",
        "  RECO_PARTITIONS is 'none'; wanted: a valid integer, unable to parse string as an integer",
        "  RECO_WEB_PORT is -1; wanted: greater than or equal to 1",
        "  RECO_SESSION_GAP is 'soon'; wanted: a number of seconds, or a duration such as 250ms, 90s, 30m, 2h or 7d",
        "  RECO_KAFKA_SASL_USERNAME is not set; wanted: a value, for RECO_KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        "  RECO_KAFKA_SASL_PASSWORD is not set; wanted: a value, for RECO_KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        "  RECO_HEARTBEAT_S is 9; wanted: at most 3.33333 s, a third of RECO_SESSION_TIMEOUT_S",
    ]


def test_a_client_key_needs_its_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    lines = wrong(monkeypatch, RECO_KAFKA_SECURITY_PROTOCOL="SSL", RECO_KAFKA_SSL_KEYFILE=str(key))
    assert list(lines) == ["RECO_KAFKA_SSL_CERTFILE"]


def test_a_secret_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECO_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("RECO_KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("RECO_KAFKA_SASL_PASSWORD", "hidden-word")
    assert is_secret("kafka_sasl_password")
    assert not is_secret("kafka_sasl_username")
    assert "hidden-word" not in repr(load_settings())
    assert "hidden-word" not in str(wrong(monkeypatch, RECO_WEB_PORT="x"))


@pytest.mark.parametrize(
    "name", [*OTHER_VARIABLES, "RECO_SERVICE_HOST", "RECO_PORT_9092_TCP_ADDR", "RECO_X_SERVICE_PORT_HTTP"]
)
def test_variables_of_others_are_no_problem(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert load_settings() == Settings()


def test_a_typing_error_in_an_argument_is_the_callers() -> None:
    with pytest.raises(ValidationError, match="web_prot"):
        load_settings(web_prot=1)
