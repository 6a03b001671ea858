"""A partition publishes at each interval, less often while it is behind, and at once when it has caught up."""

import pytest

from reco_stream.engine.pace import BUSY_ROWS, LONGEST_S, MOST_ROWS, Pace

INTERVAL_S = 0.25


class Clocks:
    """A monotonic clock and a wall clock that move together."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.pace = Pace(INTERVAL_S, lambda: self.now_s, lambda: self.now_s)

    def apply(self, behind_s: float) -> None:
        self.pace.applied(int((self.now_s - behind_s) * 1000))

    def publications(self, seconds: float, behind_s: float, rows: int = 1) -> int:
        """How often it publishes while it applies records that are `behind_s` old; `rows` wait at each look."""
        found = 0
        for _ in range(round(seconds / INTERVAL_S)):
            self.now_s += INTERVAL_S
            self.apply(behind_s)
            found += self.pace.is_due(rows, idle=False)
        return found


def test_a_partition_that_is_up_to_date_publishes_at_each_interval() -> None:
    assert Clocks().publications(10.0, behind_s=0.01) == 40


def test_a_partition_that_changes_many_rows_publishes_at_every_second_interval() -> None:
    assert Clocks().publications(10.0, behind_s=0.01, rows=BUSY_ROWS - 1) == 40
    assert Clocks().publications(10.0, behind_s=0.01, rows=BUSY_ROWS) == 20


def test_the_last_of_many_rows_are_published_at_the_next_interval() -> None:
    clocks = Clocks()
    assert clocks.publications(2 * INTERVAL_S, behind_s=0.01, rows=BUSY_ROWS) == 1
    clocks.now_s += INTERVAL_S
    assert clocks.pace.is_due(BUSY_ROWS, idle=True)


@pytest.mark.parametrize(("behind_s", "wanted"), [(4.0, 10), (20.0, 2), (3600.0, 1)])
def test_what_is_old_may_become_a_quarter_older(behind_s: float, wanted: int) -> None:
    assert Clocks().publications(LONGEST_S + 0.1, behind_s) == wanted


def test_who_has_caught_up_publishes_at_the_next_interval() -> None:
    clocks = Clocks()
    clocks.apply(behind_s=3600.0)
    clocks.now_s += INTERVAL_S / 2
    assert not clocks.pace.is_due(1, idle=True)  # another fetch may be on its way
    clocks.now_s += INTERVAL_S / 2
    assert not clocks.pace.is_due(1, idle=False)
    assert clocks.pace.is_due(1, idle=True)


def test_rows_do_not_pile_up() -> None:
    clocks = Clocks()
    clocks.apply(behind_s=3600.0)
    assert not clocks.pace.is_due(MOST_ROWS - 1, idle=False)
    assert clocks.pace.is_due(MOST_ROWS, idle=False)


def test_a_record_from_the_future_delays_nothing() -> None:
    clocks = Clocks()
    clocks.apply(behind_s=-60.0)
    assert clocks.pace.is_due(1, idle=False)
