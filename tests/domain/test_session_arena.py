from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain.session_arena import SessionArena


def test_a_released_block_is_used_again() -> None:
    arena = SessionArena()
    first = arena.allocate(4)
    arena.release(first, 4)
    assert arena.allocate(4) == first
    assert arena.allocate(4) != first


@given(st.lists(st.integers(1, 60), max_size=80))
def test_blocks_never_overlap_and_keep_what_is_written(lengths: list[int]) -> None:
    arena = SessionArena()
    written = []
    for number, length in enumerate(lengths):
        offset = arena.allocate(arena.block_size(length))
        arena.write(offset, [number] * length, [number * 10] * length)
        written.append((offset, number, length))
    for offset, number, length in written:
        assert arena.items[offset : offset + length].tolist() == [number] * length
        assert arena.times[offset : offset + length].tolist() == [number * 10] * length
