"""Decay is what the formula says, adds up, and needs nothing that differs between machines."""

import doctest
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco_stream.domain import decay
from reco_stream.domain.decay import HALF_LIVES_PER_LANDMARK, STEPS_PER_HALF_LIFE, decayed, growth, landmark_of, moved

DAY_MS = 86_400_000
TIMES = st.integers(0, 4_000_000_000_000)
HALF_LIVES = st.integers(1, 400 * DAY_MS)


def test_doctests() -> None:
    result = doctest.testmod(decay)
    assert result.attempted > 0
    assert result.failed == 0


@given(TIMES, HALF_LIVES)
def test_growth_is_the_power_of_two_of_the_time_since_the_landmark(time_ms: int, half_life_ms: int) -> None:
    landmark = landmark_of(time_ms, half_life_ms)
    exponent = Fraction(time_ms - landmark * HALF_LIVES_PER_LANDMARK * half_life_ms, half_life_ms)
    assert 0 <= exponent < HALF_LIVES_PER_LANDMARK
    step = exponent // Fraction(1, STEPS_PER_HALF_LIFE) / STEPS_PER_HALF_LIFE
    assert growth(time_ms, landmark, half_life_ms) == pytest.approx(2.0**step, rel=1e-14)


def test_every_step_is_right() -> None:
    steps = [growth(step, 0, STEPS_PER_HALF_LIFE) for step in range(STEPS_PER_HALF_LIFE)]
    assert steps == pytest.approx(
        [2.0 ** (step / STEPS_PER_HALF_LIFE) for step in range(STEPS_PER_HALF_LIFE)], rel=1e-14
    )
    assert steps == sorted(set(steps))


def test_known_bits() -> None:
    """The bytes of every row depend on these: they must not change with a C library."""
    found = [growth(time_ms, 0, 1000).hex() for time_ms in (0, 1, 500, 999, 63_999)]
    assert found == [
        "0x1.0000000000000p+0",
        "0x1.002c605e2e8cfp+0",
        "0x1.6a09e667f3bcdp+0",
        "0x1.ff9124b30d5c6p+0",
        "0x1.ff9124b30d5c6p+63",
    ]


@given(TIMES, st.integers(0, 60 * DAY_MS), st.floats(1e-3, 1e6))
def test_weights_halve_every_half_life(time_ms: int, age_ms: int, weight: float) -> None:
    half_life_ms = 7 * DAY_MS
    landmark = landmark_of(time_ms, half_life_ms)
    stored = weight * growth(time_ms, landmark, half_life_ms)
    wanted = weight * 2.0 ** (-age_ms / half_life_ms)
    assert decayed(stored, landmark, time_ms + age_ms, half_life_ms) == pytest.approx(wanted, rel=2e-4)


@given(st.floats(1.0, 1e15), st.integers(0, 100), st.integers(0, 8))
def test_moving_a_landmark_forward_and_back_is_exact(weight: float, landmark: int, by: int) -> None:
    there = moved(weight, landmark, landmark + by)
    assert moved(there, landmark + by, landmark) == weight
    assert there == weight * Fraction(1, 2 ** (HALF_LIVES_PER_LANDMARK * by))


def test_what_has_decayed_away_is_zero() -> None:
    assert decayed(1.0, landmark=0, now_ms=5_000_000, half_life_ms=1_000) == 0.0
    assert growth(0, landmark=100, half_life_ms=1_000) == 0.0


def test_asking_for_a_time_long_ago_is_no_error() -> None:
    assert decayed(1.0, landmark=300, now_ms=300 * 64_000 - 2_000, half_life_ms=1_000) == 4.0
    assert decayed(1.0, landmark=300, now_ms=0, half_life_ms=1_000) == 2.0**512
