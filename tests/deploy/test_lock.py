"""The lock files: in step with pyproject.toml, hashed, and free of any address."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def project() -> dict[str, list[str]]:
    """The requirements of each lock file."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = table["dependencies"]
    return {LOCKS[0]: needed, LOCKS[1]: needed + table["optional-dependencies"]["dev"]}


def pinned(name: str) -> dict[str, set[str]]:
    """The versions of each package; there may be one for each range of Python versions."""
    versions: dict[str, set[str]] = {}
    for entry in re.findall(r"^[^\s#]+==[^\s;]+", (ROOT / name).read_text(), re.MULTILINE):
        package, version = entry.split("==")
        versions.setdefault(canonicalize_name(package), set()).add(version)
    return versions


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_met(name: str) -> None:
    versions = pinned(name)
    for text in project()[name]:
        requirement = Requirement(text)
        found = versions[canonicalize_name(requirement.name)]
        assert all(version in requirement.specifier for version in found), text


@pytest.mark.parametrize("name", LOCKS)
def test_every_version_has_hashes_and_there_is_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=[^\s#])", text)[1:]
    assert len(entries) > 40
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|--index|--find-links|--trusted", text)


def test_both_files_agree() -> None:
    runtime, everything = map(pinned, LOCKS)
    assert runtime.items() <= everything.items()


def test_requirements_are_bounded_below_and_above() -> None:
    for text in project()[LOCKS[1]]:
        operators = {specifier.operator for specifier in Requirement(text).specifier}
        assert operators in ({">=", "<"}, {"=="}), text
