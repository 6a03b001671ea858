import pytest

from reco_stream.domain.reasons import SessionReason


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            SessionReason("sessions", "A", "purchase", 1, True, 30.0),
            "people who bought A then viewed this: 1 session in 1 minute",
        ),
        (
            SessionReason("sessions", "A", "odd", 2, False, 7_200.0),
            "people who chose A also viewed this: 2 sessions in 2 hours",
        ),
        (SessionReason("transitive"), "near what similar people viewed"),
        (SessionReason("transitive", "A"), "near what people who chose A viewed"),
        (SessionReason("repeat"), "you looked at it a moment ago"),
        (SessionReason("history"), "you chose it before"),
        (SessionReason("trending"), "popular now"),
    ],
)
def test_words(reason: SessionReason, words: str) -> None:
    assert reason.words() == words


def test_items_are_named_by_title() -> None:
    reason = SessionReason("sessions", "A", "view", 2, True, 60.0)
    assert reason.words({"A": "Blue lamp"}.get).startswith("people who viewed Blue lamp then")
