from html.parser import HTMLParser

from reco_stream.evaluation.html_report import html_report
from reco_stream.evaluation.log import Log
from reco_stream.evaluation.run import evaluate
from tests.evaluation.logs import chained_log

VOID = {"meta", "br", "rect", "line", "polyline"}


class Tags(HTMLParser):
    """Notes what is opened, and fails on what is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_report_is_well_formed_and_needs_no_network() -> None:
    report = evaluate("a <log>", Log(chained_log(150)), split="0.6", systems=("popularity", "reco"))
    text = html_report(report)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("svg") == 6
    assert tags.seen.count("table") == 3
    assert "a &lt;log&gt;" in text
    for outside in ("http://", "https://", "<script", "<link", "@import", "src="):
        assert outside not in text
