from pathlib import Path

import pytest

from reco_stream.settings import Settings, env_name
from reco_stream.settings_page import allowed_text, effective, markdown, value_text

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_page_in_docs_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(), "run: reco settings --markdown > docs/settings.md"


def test_the_page_has_every_setting_once() -> None:
    lines = markdown().splitlines()
    for field in Settings.model_fields:
        assert len([line for line in lines if line.startswith(f"| `{env_name(field)}` |")]) == 1


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("web_port", 6066, "6066"),
        ("publish_interval_ms", 200, "200ms"),
        ("co_view_half_life_days", 0.5, "0.5d"),
        ("testing", True, "true"),
        ("negative_types", frozenset({"hide", "dislike"}), "dislike,hide"),
        ("advertised_url", None, "not set"),
        ("kafka_sasl_password", None, "not set"),
    ],
)
def test_a_value_is_written_as_in_the_environment(field: str, value: object, text: str) -> None:
    assert value_text(field, value) == text


@pytest.mark.parametrize(
    ("field", "text"),
    [("app", ""), ("standbys", "0 to 8"), ("row_cache_mb", "1 or more"), ("co_view_half_life_days", "more than 0d")],
)
def test_allowed_values_are_told(field: str, text: str) -> None:
    assert allowed_text(field) == text


def test_effective_values_written_back_make_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(session_gap_s=90, blend={"co_view": 0.25, "popularity": 0.75}, heartbeat_s=0.5)
    for field, text in effective(settings):
        if text != "not set":
            monkeypatch.setenv(env_name(field), text)
    assert Settings() == settings
