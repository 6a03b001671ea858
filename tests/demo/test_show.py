"""What the demo prints."""

from datetime import UTC, datetime

import pytest

from reco_stream.demo.show import ago, recent_lines, recommendation_lines, url_lines, utc_now

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_recent_events() -> None:
    items = [
        {"item_id": "i1", "event_type": "purchase", "at": "2026-01-31T11:57:00.000Z", "title": "Blue lamp"},
        {"item_id": "i2", "event_type": "view", "at": "2026-01-31T10:00:00.000Z"},
        {"item_id": "i3", "event_type": "view", "at": "2026-01-29T10:00:00.000Z"},
    ]
    assert recent_lines({"user_id": "u1", "items": items}, NOW, count=2) == [
        "u1 looked at lately",
        "     3 min ago  purchase  Blue lamp",
        "       2 h ago  view      i2",
    ]


def test_recommendations() -> None:
    answer = {
        "user_id": "u1",
        "took_ms": 1.26,
        "source": "owner",
        "model": "blend",
        "recommendations": [
            {"item_id": "i1", "title": "Blue lamp", "score": 0.91, "reason": "viewed together with Stool"},
            {"item_id": "i2", "score": 0.5, "reason": "popular"},
        ],
        "notes": ["no embedding yet"],
    }
    assert recommendation_lines(answer) == [
        "Recommended to u1 (1.3 ms, owner, model blend)",
        "   1. Blue lamp                    0.910  viewed together with Stool",
        "   2. i2                           0.500  popular",
        "  (no embedding yet)",
    ]


def test_urls_name_every_worker_and_log() -> None:
    text = "\n".join(url_lines(["http://127.0.0.1:1", "http://127.0.0.1:2"], "u7", ["one.log", "two.log"]))
    assert "curl -s 'http://127.0.0.1:1/recommendations?user_id=u7&count=5&explain=true'" in text
    assert "http://127.0.0.1:1/docs" in text
    for word in ("http://127.0.0.1:1/health", "http://127.0.0.1:2/metrics", "one.log", "two.log"):
        assert word in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "now"),
        (0, "now"),
        (30, "30 s ago"),
        (60, "1 min ago"),
        (3600, "1 h ago"),
        (47 * 3600, "47 h ago"),
        (1e6, "12 d ago"),
    ],
)
def test_ago(seconds: float, words: str) -> None:
    assert ago(seconds) == words


def test_now_has_a_zone() -> None:
    assert utc_now().tzinfo is UTC
