// Times by ranges of equal width, to select and sort them.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

// How many values each range holds. Times lie evenly enough to be selected and sorted so in a few passes, where
// comparisons of two, which go either way, take three times as long.
class Ranges {
public:
    static constexpr std::size_t COUNT = 256;
    std::array<uint32_t, COUNT> held{};

    template <typename Values, typename Order>
    Ranges(const Values& values, Order order) {
        int64_t most = INT64_MIN;
        for (const auto& value : values) {
            least_ = std::min(least_, order(value));
            most = std::max(most, order(value));
        }
        while (most > least_ && width(most) >> shift_ >= COUNT) shift_++;
        for (const auto& value : values) held[of(order(value))]++;
    }
    std::size_t of(int64_t order) const { return width(order) >> shift_; }

private:
    uint64_t width(int64_t order) const { return static_cast<uint64_t>(order) - static_cast<uint64_t>(least_); }
    int64_t least_ = INT64_MAX;
    int shift_ = 0;
};
