"""The units of the rules."""

from reco_stream.domain.buckets import DAY_MS
from tables.rules import TableRules


def test_visitors_without_account_are_forgotten_by_their_own_time() -> None:
    rules = TableRules(recent_ttl_ms=90 * DAY_MS, anonymous_ttl_ms=DAY_MS)
    assert rules.ttl_ms("u") == 90 * DAY_MS
    assert rules.ttl_ms("~u") == DAY_MS
