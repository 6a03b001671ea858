from reco_stream.settings import Settings


def test_every_setting_says_what_it_is_for() -> None:
    short = [field for field, info in Settings.model_fields.items() if len(info.description or "") < 15]
    assert short == []


def test_topics_carry_the_name_of_the_application() -> None:
    settings = Settings(app="shop")
    assert settings.topic("events") == "shop.events"
    assert settings.changelog_topic == "shop-state-changelog"


def test_event_rules_are_those_of_the_settings() -> None:
    rules = Settings(future_tolerance_s=5, event_max_bytes=1000).event_rules()
    assert (rules.future_tolerance_ms, rules.max_bytes) == (5000, 1000)
    assert rules.weights["purchase"] == 10
    assert rules.negative == {"dislike", "hide"}
