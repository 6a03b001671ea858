from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.conftest import Start, Worker


async def test_now_is_the_clock(worker: Worker) -> None:
    worker.items.stream_time_ms = 5
    assert worker.services.now_ms() == worker.services.clock()


async def test_now_is_stream_time_where_the_log_is_an_old_one(start: Start) -> None:
    worker = await start(time="stream")
    worker.items.stream_time_ms = 5
    assert worker.services.now_ms() == 5


async def test_without_a_catalogue_there_are_no_titles(worker: Worker) -> None:
    worker.services.catalogue = None
    assert worker.services.title_of("a") is None


async def test_what_it_waits_for_comes_from_the_state_when_nothing_is_wired(worker: Worker) -> None:
    worker.state.owned = lambda: frozenset({1, 2})  # type: ignore[method-assign]
    worker.state.running = {1}
    assert worker.services.waiting_for() == ["partition 2 is being restored"]
