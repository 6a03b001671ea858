"""Named rules in a JSON file: {"name": {rules}, ...}, read again when it changes; a bad file changes nothing.

The scenario "default" holds for requests that name none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from reco_stream.catalogue.expression import BadExpression, Expression
from reco_stream.domain.rules import NO_RULES, Rules

log = logging.getLogger(__name__)

DEFAULT: Final = "default"
_FILE = msgspec.json.Decoder(dict[str, Rules])


class BadScenarios(ValueError):
    """The file holds no scenarios: which one, what was found, what is wanted."""


class Scenarios:
    """The scenarios of a file, or none."""

    def __init__(self, path: Path | None) -> None:
        """Raises BadScenarios."""
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._rules: Mapping[str, Rules] = {}
        if path is not None:
            self._stamp = _stamp(path)
            self._rules = read_scenarios(path)

    @property
    def names(self) -> list[str]:
        """Names of the scenarios, sorted."""
        return sorted(self._rules)

    def get(self, name: str | None) -> Rules | None:
        """Return the rules of the scenario, those of "default" for None; None when there is no such scenario."""
        if name is None:
            return self._rules.get(DEFAULT, NO_RULES)
        return self._rules.get(name)

    def refresh(self) -> bool:
        """Read the file again when it has changed; return whether new scenarios are in force."""
        if self._path is None:
            return False
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self._rules = read_scenarios(self._path)
        except (OSError, BadScenarios) as error:
            log.error("the scenarios stay as they were: %s", error)
            return False
        log.info("scenarios in force: %s", ", ".join(self.names))
        return True


def read_scenarios(path: Path) -> dict[str, Rules]:
    """Return the scenarios of a file. Raises BadScenarios."""
    try:
        found = _FILE.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadScenarios(f"{path}: {error}") from None
    for name, rules in found.items():
        try:
            check_rules(rules)
        except ValueError as error:
            raise BadScenarios(f"{path}: scenario {name!r}: {error}") from None
    return found


def check_rules(rules: Rules) -> None:
    """Raise ValueError when the rules contradict themselves or an expression is none."""
    if rules.price_min is not None and rules.price_max is not None and rules.price_min > rules.price_max:
        raise ValueError(f"price_min is {rules.price_min:g}, wanted: at most price_max, {rules.price_max:g}")
    if rules.where is not None:
        try:
            Expression(rules.where)
        except BadExpression as error:
            raise ValueError(f"where: {error}") from None


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
