"""Whatever changes rows changes the fingerprint, and nothing else does."""

from dataclasses import fields, replace
from typing import Any

import pytest

from tables import ALL_TABLES, TableRules, describe, fingerprint

RULES = TableRules(event_weights={"view": 1.0, "cart": 5.0}, negative_types=frozenset({"hide", "dislike"}))


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, dict):
        return {**value, "view": 2.0}
    if isinstance(value, frozenset):
        return value | {"block"}
    return value + 1


@pytest.mark.parametrize("name", [field.name for field in fields(TableRules)])
def test_every_rule_counts(name: str) -> None:
    changed = replace(RULES, **{name: other(getattr(RULES, name))})
    assert fingerprint(changed) != fingerprint(RULES)
    assert {key for key, value in describe(changed).items() if describe(RULES)[key] != value} == {name}


def test_every_table_counts() -> None:
    assert {f"table {table.name}" for table in ALL_TABLES} <= set(describe(RULES))


def test_order_does_not_count() -> None:
    again = replace(RULES, event_weights={"cart": 5.0, "view": 1.0}, negative_types=frozenset({"dislike", "hide"}))
    assert fingerprint(again) == fingerprint(RULES)


def test_it_is_the_same_on_every_machine() -> None:
    assert fingerprint(RULES) == fingerprint(replace(RULES))
    assert len(fingerprint(RULES)) == 16
