"""Dockerfile and .dockerignore: pinned, not root, and with all that the build copies."""

import re
from pathlib import Path

import pytest

from reco_stream.settings_loader import load_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_stage_has_a_pinned_base_in_the_supported_range(lines: list[str]) -> None:
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(bases) == 2
    assert set(bases) <= {f"python:{version}-slim" for version in ("3.11", "3.12", "3.13")}


def test_it_does_not_run_as_root(lines: list[str]) -> None:
    last_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    user = next(line.split()[1] for line in last_stage if line.startswith("USER "))
    assert int(user) > 0
    created = next(line for line in last_stage if "useradd" in line)
    assert f"--uid {user} " in created
    home = re.search(r"--home-dir (\S+)", created)
    assert home is not None
    assert f"VOLUME {home[1]}" in last_stage  # so the state's folder belongs to that user


def test_what_is_copied_exists_and_is_not_ignored(lines: list[str]) -> None:
    copied = {
        source for line in lines if line.startswith("COPY ") and "--from" not in line for source in line.split()[1:-1]
    }
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == copied


def test_packages_are_installed_with_their_hashes(lines: list[str]) -> None:
    assert any("--require-hashes -r /src/requirements.lock" in line for line in lines)


def test_its_settings_exist_and_are_valid(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = next(line for line in lines if line.startswith("ENV "))
    settings = dict(word.split("=", 1) for word in environment.split()[1:] if word.startswith("RECO_"))
    assert settings
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert str(load_settings().data_dir) == settings["RECO_DATA_DIR"]
