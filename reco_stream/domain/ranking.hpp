// The whole way of a question, from the context's items to the best ones with their evidence.
//
// The same steps in the same order as `Recommender._scored`, `_slate`, `_fused` and `_reasons` take them one by one, which
// learning and explanations need.

#pragma once

#include "sessions.hpp"
#include "slate.hpp"

namespace {

// Fails where Python has noticed an error.
template <typename T>
T checked(T value) {
    if (PyErr_Occurred()) throw std::bad_exception();
    return value;
}

// A field of a tuple, borrowed.
PyObject* field(PyObject* tuple, Py_ssize_t at) { return checked(PyTuple_GetItem(tuple, at)); }
int64_t integer(PyObject* tuple, Py_ssize_t at) { return checked(PyLong_AsLongLong(field(tuple, at))); }
PyObject* const* fields(PyObject* tuple, Py_ssize_t count) {
    field(tuple, count - 1);
    return PySequence_Fast_ITEMS(tuple);
}
std::size_t amount(PyObject* tuple, Py_ssize_t at) { return checked(PyLong_AsSize_t(field(tuple, at))); }

// The index: (the fields of Sessions, support, most support, last_ms).
struct Known {
    Sessions sessions;
    ItemFigures figures;

    explicit Known(PyObject* given)
        : sessions(fields(given, Sessions::FIELDS + 3)),
          figures(field(given, Sessions::FIELDS), integer(given, Sessions::FIELDS + 1), field(given, Sessions::FIELDS + 2),
                  sessions.numbers) {}
};

// (items of the context newest first, items of the history, their scores, items left out, now_ms)
struct Question {
    std::vector<int64_t> seen, past;
    Array<double> past_scores;
    std::vector<int64_t> banned;
    int64_t now_ms;

    Question(PyObject* given, std::size_t numbers)
        : seen(numbers_below(field(given, 0), numbers)),
          past(numbers_below(field(given, 1), numbers)),
          past_scores(field(given, 2)),
          banned(numbers_below(field(given, 3), numbers)),
          now_ms(integer(given, 4)) {}
};

// (sessions, voters, events of the first hop; candidates that are enough without a second; its seeds and sessions;
// candidates kept; floor of a share)
struct Limits {
    std::size_t limit, k;
    int64_t max_events;
    std::size_t enough, seeds, hop_limit, kept;
    double floor;

    explicit Limits(PyObject* given)
        : limit(amount(given, 0)),
          k(amount(given, 1)),
          max_events(integer(given, 2)),
          enough(amount(given, 3)),
          seeds(amount(given, 4)),
          hop_limit(amount(given, 5)),
          kept(amount(given, 6)),
          floor(checked(PyFloat_AsDouble(field(given, 7)))) {}
};

struct Ranked {
    int64_t number;
    double chance;
    bool past, again;  // of the history; of the context
    int anchor;  // rank in the context, -1: none
    Proof proof;
};

class Ranking {
public:
    std::vector<Ranked> rank(Scorer& first, Scorer& second, const Known& known, const Question& question,
                             const Limits& limits, const Array<double>& weights, std::size_t count) {
        std::vector<int64_t> items = question.seen;
        items.resize(std::min(items.size(), static_cast<std::size_t>(first.last_n)));
        score(first, known, items, question.now_ms, limits.limit, limits.k, limits.max_events);
        first.columns(numbers_, votes_);
        hop(first, second, known, items, question.now_ms, limits);
        const Slate slate = merged(first, known, question, limits.kept);
        if (slate.numbers.empty()) return {};
        const std::vector<double> found = chances(slate.shares, slate.signals, slate.rank, weights, limits.floor);
        return best(first, known, slate, found, count);
    }

private:
    std::vector<int64_t> numbers_, further_;  // candidates of the first hop and of the second
    std::vector<double> votes_, reached_;
    Merger merger_;

    static void score(Scorer& scorer, const Known& known, const std::vector<int64_t>& items, int64_t now_ms,
                      std::size_t limit, std::size_t k, int64_t max_events) {
        std::vector<double> support;
        for (const int64_t number : items) support.push_back(known.figures.counted(number));
        scorer.score(known.sessions, support, items, now_ms, limit, static_cast<std::size_t>(known.figures.most), k,
                     max_events);
    }

    // The sessions near the first hop's best items, where that found fewer than `enough`.
    void hop(const Scorer& first, Scorer& second, const Known& known, const std::vector<int64_t>& items, int64_t now_ms,
             const Limits& limits) {
        further_.clear();
        reached_.clear();
        if (numbers_.size() >= limits.enough || first.candidates.empty()) return;
        std::vector<int64_t> seeds;
        for (const int64_t place : best_places(votes_.data(), numbers_.size(), limits.seeds + items.size())) {
            const int64_t number = numbers_[static_cast<std::size_t>(place)];
            if (seeds.size() < limits.seeds && std::find(items.begin(), items.end(), number) == items.end())
                seeds.push_back(number);
        }
        if (seeds.empty()) return;
        score(second, known, seeds, now_ms, limits.hop_limit, limits.hop_limit, limits.max_events);
        second.columns(further_, reached_);
    }

    Slate merged(const Scorer& first, const Known& known, const Question& question, std::size_t kept) {
        try {
            merger_.begin(known.sessions.numbers, question.banned);
            merger_.add(numbers_, votes_, static_cast<std::size_t>(first.rows));
            merger_.add(further_, reached_, 1);
            merger_.add(question.past, question.past_scores, 1);
            Slate slate = merger_.slate(kept, question.seen, known.figures, question.now_ms);
            merger_.end();
            return slate;
        } catch (...) {
            merger_.end();
            throw;
        }
    }

    static std::vector<Ranked> best(Scorer& first, const Known& known, const Slate& slate,
                                    const std::vector<double>& found, std::size_t count) {
        const std::vector<int64_t> order = best_places(found.data(), found.size(), count);
        const double* past = &slate.scores[slate.scores.size() - slate.numbers.size()];  // the last row
        std::vector<int64_t> numbers;
        for (const int64_t place : order) numbers.push_back(slate.numbers[static_cast<std::size_t>(place)]);
        const auto proofs = first.evidence(known.sessions, numbers);
        std::vector<Ranked> ranked;
        for (std::size_t at = 0; at < order.size(); at++) {
            const std::size_t place = static_cast<std::size_t>(order[at]);
            ranked.push_back({numbers[at], found[place], past[place] > 0.0, slate.rank[place] > 0, proofs[at].first,
                              proofs[at].second});
        }
        return ranked;
    }
};

}  // namespace
