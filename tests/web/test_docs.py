from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.conftest import Worker

from web import VIEWS
from web.docs import page
from web.openapi import document

DOCUMENT = document(VIEWS)


class Links(HTMLParser):
    """Collects what a page refers to and what it can be referred to by."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.ids: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.add(value)
            if name == "id" and value:
                self.ids.add(value)


def test_every_route_and_body_is_on_the_page() -> None:
    html = page(DOCUMENT)
    for path in DOCUMENT["paths"]:
        assert f"</span>{path}</h2>" in html
    links = Links()
    links.feed(html)
    assert set(DOCUMENT["components"]["schemas"]) <= links.ids


def test_the_page_fetches_nothing_and_its_links_lead_somewhere() -> None:
    links = Links()
    links.feed(page(DOCUMENT))
    assert not links.tags & {"script", "link", "img", "iframe"}
    outside = {target for target in links.targets if not target.startswith("#")}
    assert outside == {"/openapi.json"}
    assert {target[1:] for target in links.targets - outside} <= links.ids


def test_text_is_escaped() -> None:
    html = page({**DOCUMENT, "info": {"title": "<b>x</b>", "version": "1", "description": "a & b"}})
    assert "<b>" not in html
    assert "a &amp; b" in html


async def test_the_page_is_served_as_html(worker: Worker) -> None:
    response = await worker.client.get("/docs")
    assert response.content_type == "text/html"
    assert re.match("<!doctype html>", await response.text())
