"""Exponential decay whose sums add up: forward decay with a common landmark.

A weight w of time t is stored as w * 2 ** ((t - landmark) / half_life). Stored weights of one landmark simply add, in
any order and over partitions, and the value at a later time is the sum divided by the growth up to then. To keep the
numbers small the landmark moves on every 64 half-lives, and sums move with it by a power of two, which is exact.

All of it is made of integer arithmetic, square roots and multiplications, which IEEE 754 rounds correctly everywhere:
`pow` differs by a last bit between C libraries, and then a rebuild on another machine would not give the same bytes.

Source: Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems"
(2009).
"""

from math import ldexp, sqrt
from typing import Final

HALF_LIVES_PER_LANDMARK: Final = 64
_LANDMARKS_BACK: Final = 8  # 512 half-lives: a float holds 1,023
_STEP_BITS: Final = 12  # time within a half-life is cut to steps of 1/4096 of it: at most 0.017 % of a weight
STEPS_PER_HALF_LIFE: Final = 1 << _STEP_BITS


def _fractional_powers() -> tuple[float, ...]:
    powers = [1.0]
    root = 2.0
    for bit in range(_STEP_BITS):
        root = sqrt(root)  # 2 ** (1/2), 2 ** (1/4), ...
        step = STEPS_PER_HALF_LIFE >> (bit + 1)
        wanted = range(0, STEPS_PER_HALF_LIFE, step)
        known = dict(zip(range(0, STEPS_PER_HALF_LIFE, 2 * step), powers, strict=True))
        powers = [known[i] if i in known else known[i - step] * root for i in wanted]
    return tuple(powers)


_POWERS: Final = _fractional_powers()  # _POWERS[i] = 2 ** (i / 4096)


def landmark_of(time_ms: int, half_life_ms: int) -> int:
    """Return the number of the landmark in force at `time_ms`; it is at `number * 64 * half_life_ms`.

    >>> landmark_of(129_000, half_life_ms=1_000)
    2
    """
    return time_ms // (HALF_LIVES_PER_LANDMARK * half_life_ms)


def growth(time_ms: int, landmark: int, half_life_ms: int) -> float:
    """Return 2 ** ((time_ms - landmark time) / half_life_ms), cut to steps of 1/4096 half-life.

    0.0 when it is too small for a float, which is 1,075 half-lives before the landmark. Raises OverflowError from
    1,024 half-lives after it on: a fold uses the landmark of its stream time, and `decayed` asks for no more.

    >>> growth(3_000, landmark=0, half_life_ms=1_000), growth(-1_000, landmark=0, half_life_ms=1_000)
    (8.0, 0.5)
    """
    steps = ((time_ms << _STEP_BITS) // half_life_ms) - landmark * (HALF_LIVES_PER_LANDMARK * STEPS_PER_HALF_LIFE)
    return ldexp(_POWERS[steps & (STEPS_PER_HALF_LIFE - 1)], steps >> _STEP_BITS)


def moved(weight: float, landmark: int, to: int) -> float:
    """Return a stored `weight` of `landmark` as stored under landmark `to`; exact unless it vanishes or overflows.

    >>> moved(3.0 * 2.0**64, landmark=1, to=2)
    3.0
    """
    return ldexp(weight, (landmark - to) * HALF_LIVES_PER_LANDMARK)


def decayed(weight: float, landmark: int, now_ms: int, half_life_ms: int) -> float:
    """Return the value at `now_ms` of a stored `weight`; 0.0 when it has decayed away.

    At a time before the event it is more than the weight, up to 2**512 times: no earlier time is asked for in earnest.

    >>> decayed(8.0, landmark=0, now_ms=4_000, half_life_ms=1_000)
    0.5
    """
    now_ms = max(now_ms, (landmark - _LANDMARKS_BACK) * HALF_LIVES_PER_LANDMARK * half_life_ms)
    current = landmark_of(now_ms, half_life_ms)
    return moved(weight, landmark, current) / growth(now_ms, current, half_life_ms)
