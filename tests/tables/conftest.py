"""Random logs that reach every rule and every limit: few users and items, time that jumps both ways."""

import pytest
from hypothesis import strategies as st

from reco_stream.domain.buckets import DAY_MS, HOUR_MS
from reco_stream.events import Event
from tables.rules import TableRules

START_MS = 1_700_000_000_000
WEIGHTS: dict[str, float] = {"view": 1.0, "cart": 5, "rating": 2.5, "free": 0.0}  # a setting may be a whole number

# Mostly a step on, sometimes back, sometimes far: within a session, past its gap, past days, past every time-to-live.
STEPS_MS = st.one_of(
    st.integers(0, 5 * 60_000),
    st.integers(0, 3 * HOUR_MS),
    st.integers(-2 * HOUR_MS, 0),
    st.sampled_from([-60 * DAY_MS, -3 * DAY_MS, -DAY_MS, DAY_MS, 2 * DAY_MS, 8 * DAY_MS, 40 * DAY_MS, 500 * DAY_MS]),
)


@st.composite
def event_logs(draw: st.DrawFn, max_size: int = 40) -> list[Event]:
    """A log of one partition in order of arrival."""
    time_ms = START_MS
    log: list[Event] = []
    for _ in range(draw(st.integers(0, max_size))):
        time_ms = max(time_ms + draw(STEPS_MS), 0)
        kind = draw(st.sampled_from([*WEIGHTS, "hide"]))
        log.append(
            Event(
                user=draw(st.sampled_from(["u", "v", "~w"])),
                item=draw(st.sampled_from("abcdefgh")),
                type=kind,
                time_ms=time_ms,
                weight=WEIGHTS.get(kind, 0.0),
                negative=kind == "hide",
                session=draw(st.sampled_from([None, None, "s", "t"])),
                event_id=draw(st.one_of(st.none(), st.sampled_from("123456"))),
            )
        )
    return log


@pytest.fixture(scope="session")
def logs() -> st.SearchStrategy[list[Event]]:
    """Logs to draw from."""
    return event_logs()


@pytest.fixture(scope="session")
def small_rules() -> TableRules:
    """Limits that random logs reach."""
    return TableRules(
        recent_limit=3,
        excluded_limit=2,
        session_items=4,
        co_view_last=2,
        co_view_limit=4,
        dedupe_limit=3,
    )
