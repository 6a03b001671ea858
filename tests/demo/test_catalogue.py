from __future__ import annotations

from typing import Any

import pytest

from reco_stream.demo import catalogue

LAMP = {"item_id": "i1", "title": "Blue lamp", "price": 9.5, "categories": ["light"]}


def test_a_filter_and_a_new_item_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[bytes, str | None]] = []

    def get(url: str, path: str, **query: Any) -> Any:
        if path.endswith("/recent"):
            return {"items": [{"item_id": "i1"}]}
        if path.startswith("/items/"):
            return LAMP
        reason = "similar to Blue lamp"
        items = [{"item_id": "i2", "reason": "popular"}, {"item_id": catalogue.NEW_ITEM, "reason": reason}]
        return {"recommendations": items if added else items[:1]}

    monkeypatch.setattr(catalogue, "get", get)
    monkeypatch.setattr(catalogue, "post", lambda url, path, body, token: added.append((body, token)))
    lines = list(catalogue.catalogue_lines("http://w", "u1", "secret"))
    assert lines[:2] == ["Recommended to u1 below 9.5", "      Blue lamp, 9.50 (light)"]
    assert lines[2] == "Added     New: Blue lamp, 9.50 (light)"
    assert lines[3].endswith("later without any event: similar to Blue lamp")
    assert [token for _, token in added] == ["secret"]
    monkeypatch.setattr(catalogue, "FOUND_WITHIN_S", 0.0)
    assert list(catalogue.catalogue_lines("http://w", "u1", None))[-1].strip().startswith("not recommended within 0 s")
