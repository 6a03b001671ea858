"""What docs/events.md says is what the code does."""

import re
from pathlib import Path

import pytest

from reco_stream.domain.partitioner import murmur2
from reco_stream.events import REASONS, parse_event
from reco_stream.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
NOW_MS = 1_800_000_000_000
JSON_SAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("sample", JSON_SAMPLES)
def test_samples_are_valid_events(sample: str) -> None:
    assert parse_event(sample.encode(), NOW_MS, Settings().event_rules()).user in ("u42", "~s7")


def test_there_are_samples() -> None:
    assert (len(JSON_SAMPLES), len(SAMPLE_TIMES)) == (2, 3)


def test_every_reason_is_explained_once() -> None:
    table = PAGE.split("| reason | the record ... |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == REASONS


def test_weights_are_the_defaults() -> None:
    sentence = PAGE.split("by default view", 1)[1].split(".", 1)[0]
    assert dict(re.findall(r"(\w+) (\d+)", "view" + sentence)) == {
        name: f"{weight:g}" for name, weight in Settings().event_weights.items()
    }


SAMPLE_TIMES = re.findall(r"\| `([\d.]{10,}|\"2026-01-31T13.*?\")` \|", PAGE)


@pytest.mark.parametrize("written", SAMPLE_TIMES)
def test_sample_timestamps_are_one_moment(written: str) -> None:
    body = f'{{"user_id":"u","item_id":"i","event_type":"view","timestamp":{written}}}'
    assert parse_event(body.encode(), NOW_MS, Settings().event_rules()).time_ms == 1_769_860_800_250


def test_sample_hashes_are_right() -> None:
    samples = re.findall(r"`(\w+)` is (\d{8,}) and of `(\w+)` (\d{8,})", PAGE.replace("\n", " "))
    assert [(murmur2(a.encode()), murmur2(b.encode())) for a, _, b, _ in samples] == [
        (int(first), int(second)) for _, first, _, second in samples
    ]
    assert samples
