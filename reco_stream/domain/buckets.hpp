// Counts in buckets as buckets.py defines them: cells sorted by (bucket, kind).

#pragma once

#include <algorithm>

#include "item_rows.hpp"

// A number is too large for its place in a cell; struct.error in Python.
struct DoesNotFit : std::range_error {
    using std::range_error::range_error;
};

inline Cell cell_of(int64_t bucket, std::size_t kind, int64_t events, double weight) {
    if (bucket < 0 || bucket > UINT32_MAX || kind > UINT16_MAX || events < 0 || events > UINT32_MAX)
        throw DoesNotFit("a bucket, a kind or a count does not fit its cell");
    return {static_cast<uint32_t>(bucket), static_cast<uint16_t>(kind), static_cast<uint32_t>(events), weight};
}

inline void add(std::vector<Cell>& cells, const Cell& cell) {
    const auto before = [](const Cell& one, const Cell& other) {
        const uint32_t bucket = one.bucket, than = other.bucket;
        return bucket != than ? bucket < than : one.kind < other.kind;
    };
    const auto at = std::lower_bound(cells.begin(), cells.end(), cell, before);
    if (at == cells.end() || before(cell, *at)) {
        cells.insert(at, cell);
    } else {
        const int64_t events = static_cast<int64_t>(at->events) + cell.events;
        *at = cell_of(cell.bucket, cell.kind, events, at->weight + cell.weight);
    }
}

// Takes the cells of buckets before `first_bucket` away and returns them.
inline std::vector<Cell> split(std::vector<Cell>& cells, int64_t first_bucket) {
    auto at = cells.begin();
    while (at != cells.end() && static_cast<int64_t>(at->bucket) < first_bucket) ++at;
    std::vector<Cell> before(cells.begin(), at);
    cells.erase(cells.begin(), at);
    return before;
}
