"""Turns: one slice of background work a pass of the loop."""

import asyncio

import pytest

from reco_stream.engine.turns import Slices, Turns, take_turn


async def passes(log: list[str], count: int) -> None:
    for _ in range(count):
        log.append("|")
        await asyncio.sleep(0)


async def work(turns: Turns, log: list[str], name: str) -> None:
    for _ in range(2):
        await turns.take()
        log.append(name)


async def test_one_slice_a_pass_in_the_order_of_asking() -> None:
    log = list[str]()
    turns = Turns(asyncio.get_running_loop())
    await asyncio.gather(passes(log, 20), *(work(turns, log, name) for name in "abc"))
    found = "".join(log)
    assert max(map(len, found.split("|"))) == 1
    assert found.replace("|", "") == "aabcbc"  # a asks for its second before b asks for its first


async def test_alone_nobody_waits() -> None:
    turns = Turns(asyncio.get_running_loop())
    for _ in range(3):
        taking = asyncio.ensure_future(turns.take())
        await asyncio.sleep(0)
        assert taking.done()
        await asyncio.sleep(0)


async def test_who_is_cancelled_keeps_nobody_waiting() -> None:
    turns = Turns(asyncio.get_running_loop())
    await turns.take()
    first, second = asyncio.ensure_future(turns.take()), asyncio.ensure_future(turns.take())
    first.cancel()
    async with asyncio.timeout(10):
        await second
    assert first.cancelled()


async def test_each_loop_has_turns_of_its_own() -> None:
    def elsewhere() -> None:
        asyncio.run(take_turn())

    await take_turn()
    await asyncio.to_thread(elsewhere)
    async with asyncio.timeout(10):
        await take_turn()


async def test_work_on_many_things_takes_a_turn_once_its_slice_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("reco_stream.engine.turns.time.perf_counter", lambda: now[0])
    log = list[str]()

    async def count() -> None:
        await take_turn()
        slices = Slices()
        for number in range(6):
            if slices.is_over:
                await slices.next()
            log.append(str(number))
            now[0] += 0.0015

    await asyncio.gather(count(), passes(log, 20))
    found = "".join(log)
    assert found.replace("|", "") == "012345"
    assert max(map(len, found.split("|"))) == 2  # 1.5 ms each, in slices of 2
