"""Procfile: two workers that do not get into each other's way."""

import re
from pathlib import Path

import pytest

from reco_stream.settings import Settings
from reco_stream.settings_loader import load_settings

ROOT = Path(__file__).resolve().parents[2]


def test_workers_have_valid_settings_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Settings] = []
    for line in (ROOT / "Procfile").read_text().splitlines():
        entry = re.fullmatch(r"worker\d: ((?:RECO_\w+=\S+ )+)reco worker", line)
        assert entry is not None, line
        for assignment in entry[1].split():
            monkeypatch.setenv(*assignment.split("=", 1))
        found.append(load_settings())
    assert len({settings.web_port for settings in found}) == len({settings.data_dir for settings in found}) == 2
