// The growth of weights as decay.py defines it, to the last bit. Compile without contraction to fused operations.

#pragma once

#include <array>
#include <climits>
#include <cmath>
#include <cstdint>
#include <stdexcept>

constexpr int64_t HALF_LIVES_PER_LANDMARK = 64;
constexpr int STEP_BITS = 12;
constexpr int64_t STEPS_PER_HALF_LIFE = 1 << STEP_BITS;

// As Python's //, for a divisor above 0.
inline int64_t floor_div(int64_t value, int64_t by) { return value / by - (value % by < 0); }

inline std::array<double, STEPS_PER_HALF_LIFE> fractional_powers() {
    std::array<double, STEPS_PER_HALF_LIFE> powers{1.0};
    double root = 2.0;
    for (int64_t step = STEPS_PER_HALF_LIFE / 2; step; step /= 2) {
        root = std::sqrt(root);
        for (int64_t at = step; at < STEPS_PER_HALF_LIFE; at += 2 * step) powers[at] = powers[at - step] * root;
    }
    return powers;
}

inline int64_t landmark_of(int64_t time_ms, int64_t half_life_ms) {
    return floor_div(time_ms, HALF_LIVES_PER_LANDMARK * half_life_ms);
}

// As math.ldexp.
inline double scaled(double value, int64_t exponent) {
    const int64_t within = exponent > INT_MAX ? INT_MAX : exponent < INT_MIN ? INT_MIN : exponent;
    const double found = std::ldexp(value, static_cast<int>(within));
    if (std::isinf(found) && !std::isinf(value)) throw std::overflow_error("math range error");
    return found;
}

inline double growth(int64_t time_ms, int64_t landmark, int64_t half_life_ms) {
    static const auto powers = fractional_powers();
    const int64_t steps = floor_div(time_ms * STEPS_PER_HALF_LIFE, half_life_ms) -
                          landmark * (HALF_LIVES_PER_LANDMARK * STEPS_PER_HALF_LIFE);
    return scaled(powers[static_cast<std::size_t>(steps & (STEPS_PER_HALF_LIFE - 1))], steps >> STEP_BITS);
}

inline double moved(double weight, int64_t landmark, int64_t to) {
    return scaled(weight, (landmark - to) * HALF_LIVES_PER_LANDMARK);
}
