from __future__ import annotations

import pytest

from reco_stream.domain.ranker import WINDOW_WORDS, WINDOWS, Reason


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason("co_view", item="a"), "people who viewed a also viewed this"),
        (Reason("popular", window="1h"), "popular in the last hour"),
        (Reason("popular", window="all"), "popular of all time"),
        (Reason("recent"), "viewed by others just now"),
        (Reason("unknown_user"), "popular"),
        (Reason("same_brand"), "same brand"),
    ],
)
def test_reasons_in_words(reason: Reason, words: str) -> None:
    assert reason.words() == words


def test_items_without_title_are_named_by_id() -> None:
    assert Reason("co_view", item="a").words({"b": "Bulb"}.get) == "people who viewed a also viewed this"


def test_every_window_has_words() -> None:
    assert set(WINDOW_WORDS) == set(WINDOWS)
