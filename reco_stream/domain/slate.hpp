// One slate out of the candidates of all sources, and the chances of its items: the formula of fusion.py.

#pragma once

#include <algorithm>
#include <cmath>

#include "arrays.hpp"

namespace {

constexpr std::size_t SOURCES = 8;  // at most
constexpr std::size_t SIGNALS = 2;

// A fusion.Slate: rows of scores, shares and signals with one value an item each.
struct Slate {
    std::vector<int64_t> numbers, rank;
    std::vector<double> scores, shares, signals;
};

// Sessions by item, of which at most `most` count, and the newest session by item.
struct ItemFigures {
    Array<int64_t> support;
    int64_t most;
    Array<int64_t> last_ms;

    ItemFigures(PyObject* support_, int64_t most_, PyObject* last_ms_, std::size_t numbers)
        : support(support_), most(most_), last_ms(last_ms_) {
        if (support.size() < numbers || last_ms.size() < numbers) throw std::invalid_argument("an item has no figures");
    }
    double counted(int64_t number) const {
        return static_cast<double>(std::min(support[static_cast<std::size_t>(number)], most));
    }
};

// Adds sources up, one row of scores each; an item keeps the place of its first occurrence.
class Merger {
public:
    void begin(std::size_t limit, const std::vector<int64_t>& banned) {
        items_.clear();
        rows_ = 0;
        limit_ = limit;
        if (place_of_.size() < limit) place_of_.resize(2 * limit, 0);
        banned_ = banned;
        for (const int64_t number : banned_) place_of_[at(number)] = -1;
    }

    // One source or several: `scores` has `rows` rows, with one value an item of `numbers` each.
    template <typename Numbers, typename Scores>
    void add(const Numbers& numbers, const Scores& scores, std::size_t rows) {
        const std::size_t size = numbers.size();
        if (scores.size() != rows * size || rows_ + rows > SOURCES) throw std::invalid_argument("wanted a score an item");
        for (std::size_t column = 0; column < size; column++) {
            int32_t& place = place_of_[at(numbers[column])];
            if (place < 0) continue;
            if (place == 0) {
                items_.push_back({numbers[column], static_cast<int32_t>(items_.size()), 0.0, {}});
                place = static_cast<int32_t>(items_.size());
            }
            double* found = &items_[static_cast<std::size_t>(place) - 1].scores[rows_];
            for (std::size_t row = 0; row < rows; row++) found[row] = scores[row * size + column];
        }
        rows_ += rows;
    }

    // Leaves the scratch as it was found, also after a failure.
    void end() {
        for (const int64_t number : banned_) place_of_[static_cast<std::size_t>(number)] = 0;
        for (const Item& item : items_) place_of_[static_cast<std::size_t>(item.number)] = 0;
    }

    // The `kept` items of the highest sum of shares, in the order of their places.
    Slate slate(std::size_t kept, const std::vector<int64_t>& seen, const ItemFigures& figures, int64_t now_ms) {
        std::vector<double> best(rows_, 1e-300);
        for (const Item& item : items_)
            for (std::size_t row = 0; row < rows_; row++) best[row] = std::max(best[row], item.scores[row]);
        keep(kept, best);
        const std::size_t size = items_.size();
        Slate found;
        found.numbers.resize(size);
        found.rank.resize(size);
        found.scores.resize(rows_ * size);
        found.shares.resize(rows_ * size);
        found.signals.resize(SIGNALS * size);
        double most = 1.0;
        for (const Item& item : items_) most = std::max(most, figures.counted(item.number));
        for (std::size_t place = 0; place < size; place++) {
            const Item& item = items_[place];
            found.numbers[place] = item.number;
            const auto met = std::find(seen.begin(), seen.end(), item.number);
            found.rank[place] = met == seen.end() ? 0 : met - seen.begin() + 1;
            for (std::size_t row = 0; row < rows_; row++) {
                found.scores[row * size + place] = item.scores[row];
                found.shares[row * size + place] = item.scores[row] / best[row];
            }
            const int64_t age_ms = std::max<int64_t>(now_ms - figures.last_ms[static_cast<std::size_t>(item.number)], 0);
            found.signals[place] = figures.counted(item.number) / most;
            found.signals[size + place] = 1.0 / (1.0 + static_cast<double>(age_ms) / 3.6e6);
        }
        return found;
    }

private:
    struct Item {
        int64_t number;
        int32_t place;
        double sum;
        double scores[SOURCES];
    };
    std::size_t limit_ = 0, rows_ = 0;
    std::vector<Item> items_;
    std::vector<int64_t> banned_;
    std::vector<int32_t> place_of_;  // by item number: 1 + place, -1 for banned ones, 0 elsewhere

    std::size_t at(int64_t number) const {
        if (number < 0 || static_cast<std::size_t>(number) >= limit_) throw std::out_of_range("an item is not there");
        return static_cast<std::size_t>(number);
    }

    void keep(std::size_t kept, const std::vector<double>& best) {
        if (items_.size() <= kept) return;
        for (Item& item : items_)
            for (std::size_t row = 0; row < rows_; row++) item.sum += item.scores[row] / best[row];
        for (Item& item : items_) place_of_[static_cast<std::size_t>(item.number)] = 0;
        std::nth_element(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(kept), items_.end(),
                         [](const Item& one, const Item& other) {
                             return one.sum != other.sum ? one.sum > other.sum : one.place > other.place;
                         });
        items_.resize(kept);
        std::sort(items_.begin(), items_.end(),
                  [](const Item& one, const Item& other) { return one.place < other.place; });
    }
};

// P(next) of each item: the weights are those of the sources, the two signals and, where they are asked for, repeats.
template <typename Doubles, typename Integers>
std::vector<double> chances(const Doubles& shares, const Doubles& signals, const Integers& rank,
                            const Array<double>& weights, double floor) {
    const std::size_t size = rank.size();
    const std::size_t rows = size == 0 ? 0 : shares.size() / size;
    const bool repeats = weights.size() == rows + SIGNALS + 4;
    if (size == 0 || shares.size() != rows * size || signals.size() != SIGNALS * size ||
        (!repeats && weights.size() != rows + SIGNALS))
        throw std::invalid_argument("wanted one weight a source and signal, and four more for repeats or none");
    std::vector<double> found(size);
    const double log_floor = std::log(floor);
    double most = -INFINITY, sum = 0.0;
    for (std::size_t place = 0; place < size; place++) {
        double logit = 0.0;
        for (std::size_t row = 0; row < rows; row++) {
            const double share = shares[row * size + place];
            logit += weights[row] * (share > 0.0 ? std::log(share + floor) : log_floor);
        }
        for (std::size_t row = 0; row < SIGNALS; row++)
            logit += weights[rows + row] * std::log(signals[row * size + place]);
        if (repeats && rank[place] > 0) {
            logit += weights[rows + SIGNALS + 3];
            if (rank[place] <= 3) logit += weights[rows + SIGNALS + static_cast<std::size_t>(rank[place]) - 1];
        }
        found[place] = logit;
        most = std::max(most, logit);
    }
    for (std::size_t place = 0; place < size; place++) sum += found[place] = std::exp(found[place] - most);
    for (std::size_t place = 0; place < size; place++) found[place] /= sum;
    return found;
}

// Places of the `wanted` highest scores, highest first; the later place among equals.
std::vector<int64_t> best_places(const double* scores, std::size_t size, std::size_t wanted) {
    std::vector<int64_t> places(size);
    for (std::size_t at = 0; at < size; at++) places[at] = static_cast<int64_t>(at);
    const auto end = places.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, size));
    std::partial_sort(places.begin(), end, places.end(), [&](int64_t one, int64_t other) {
        return scores[one] != scores[other] ? scores[one] > scores[other] : one > other;
    });
    places.erase(end, places.end());
    return places;
}

}  // namespace
