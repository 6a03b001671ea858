from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reco_stream.catalogue.scenarios import BadScenarios, Scenarios
from reco_stream.domain.rules import NO_RULES, Rules


def test_without_a_file_there_are_no_rules() -> None:
    scenarios = Scenarios(None)
    assert (scenarios.get(None), scenarios.get("home"), scenarios.refresh()) == (NO_RULES, None, False)


def test_a_changed_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "scenarios.json"
    file.write_text(json.dumps({"home": {"in_stock": True}, "default": {"diversity": 0.3}}))
    scenarios = Scenarios(file)
    assert (scenarios.get("home"), scenarios.get(None)) == (Rules(in_stock=True), Rules(diversity=0.3))
    assert not scenarios.refresh()
    file.write_text('{"home": {"in_stok": true}}')
    assert not scenarios.refresh()
    assert scenarios.get("home") == Rules(in_stock=True)
    file.write_text('{"home": {"tags": ["x"]}}')
    os.utime(file, (1, 1))
    assert scenarios.refresh()
    assert (scenarios.get("home"), scenarios.get(None)) == (Rules(tags=("x",)), NO_RULES)
    file.unlink()
    assert not scenarios.refresh()
    assert scenarios.names == ["home"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "object"),
        ('{"a": {"colour": 1}}', "colour"),
        ('{"a": {"price_min": -1}}', "price_min"),
        ('{"a": {"price_min": 5, "price_max": 4}}', "price_min is 5"),
        ('{"a": {"where": "nonsense"}}', "scenario 'a': where"),
        ('{"a": {"diversity": 2}}', "diversity"),
        ("{", "truncated"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "scenarios.json"
    file.write_text(text)
    with pytest.raises(BadScenarios, match=told):
        Scenarios(file)
