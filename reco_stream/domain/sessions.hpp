// From the postings of a context's items to scored candidates and their evidence, by the formula of
// retrievers/kernel.py.
//
// Sums are in the order of sessions (newest first), so equal indexes give equal sums whatever their slots and numbers.

#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "arrays.hpp"

constexpr int ROWS = 4;  // kernels evaluated at once; rows that are not used cost less than a loop over those that are

// One row of a SessionIndex's figures by slot.
struct Stored {
    int64_t offset, length, order, last_ms;
};

// The arrays of a SessionIndex that scoring reads.
struct Sessions {
    Array<int32_t> items;  // of the arena
    Array<int64_t> table;
    std::size_t numbers;  // items are numbered below this

    Sessions(PyObject* const* given) : items(given[0]), table(given[1]), numbers(PyLong_AsSize_t(given[2])) {}

    std::size_t size() const { return table.size() / 4; }
    const Stored& at(int64_t slot) const { return reinterpret_cast<const Stored*>(table.begin())[slot]; }
    // The items of a session, oldest first.
    const int32_t* content(int64_t slot) const {
        const Stored& stored = at(slot);
        if (static_cast<std::size_t>(stored.offset + stored.length) > items.size())
            throw std::out_of_range("a session lies beyond the arena");
        return items.begin() + stored.offset;
    }
};

// Sessions lie all over memory: asked for this many steps before, they are there when their turn comes.
constexpr std::size_t AHEAD = 8;

template <typename T>
void soon(const T* address) {
    __builtin_prefetch(address);
}

struct Session {
    int64_t order, slot, last_ms;
    int32_t best, length, anchor;  // rank of the newest shared item; place of its last event
    double age_s;
    double weight[ROWS];
};

struct Candidate {
    int64_t number;
    double votes[ROWS];
};

struct Proof {
    int64_t sessions = 0, after = 0, seen_by = -1;
    double age_s = 0.0;
};

class Scorer {
public:
    int rows = 0, last_n = 0, reach = 0;
    std::vector<double> rank_weight, match_weight;  // [rank][ROWS]
    std::vector<double> nearness;  // [distance + reach][ROWS]
    std::vector<double> length_weight;  // [length][ROWS]
    double support_power[ROWS] = {}, age_power[ROWS] = {};
    std::vector<Session> sessions;  // chosen ones, newest first
    std::vector<Candidate> candidates;  // in the order of their newest event, newest first

    void score(const Sessions& index, PyObject* postings, const Array<double>& support, const std::vector<int64_t>& items,
               int64_t now_ms, std::size_t limit, std::size_t per_item, std::size_t k, int64_t max_events) {
        gather(index, postings, support, std::min(per_item, limit));
        if (sessions.size() > limit) {
            std::nth_element(sessions.begin(), sessions.begin() + static_cast<std::ptrdiff_t>(limit), sessions.end(), newer);
            sessions.resize(limit);
        }
        weigh(now_ms);
        choose(k, max_events);
        std::sort(sessions.begin(), sessions.end(), newer);
        vote(index, items);
    }

    // Makes the scratch as it was at first, after a failure.
    void forget() {
        sessions.clear();
        session_at_.clear();
        place_of_.clear();
    }

    // For each of `numbers` and rank of the context: the sessions of that best rank that hold the item.
    std::vector<std::vector<Proof>> evidence(const Sessions& index, const std::vector<int64_t>& numbers) {
        std::vector<std::vector<Proof>> proofs(numbers.size(), std::vector<Proof>(static_cast<std::size_t>(last_n)));
        fit(place_of_, index.numbers);
        for (std::size_t at = 0; at < numbers.size(); at++) place_of_[numbers[at]] = static_cast<int32_t>(at) + 1;
        for (std::size_t place = 0; place < sessions.size(); place++) {
            const Session& session = sessions[place];
            const int32_t* content = index.content(session.slot);
            for (int32_t at = session.length - 1; at >= 0; at--) {
                const int32_t wanted = place_of_[content[at]];
                if (wanted == 0) continue;
                Proof& proof = proofs[static_cast<std::size_t>(wanted) - 1][static_cast<std::size_t>(session.best)];
                if (proof.seen_by == static_cast<int64_t>(place)) continue;  // an earlier event on the same item
                proof.seen_by = static_cast<int64_t>(place);
                proof.sessions++;
                proof.after += at > session.anchor;
                proof.age_s = session.age_s;
            }
        }
        for (const int64_t number : numbers) place_of_[number] = 0;
        return proofs;
    }

private:
    std::vector<int32_t> session_at_;  // by slot: 1 + place in sessions, 0 elsewhere
    std::vector<int32_t> place_of_;  // by item number: 1 + place in a list, 0 elsewhere
    std::vector<std::pair<int64_t, int64_t>> posting_;

    static bool newer(const Session& one, const Session& other) { return one.order > other.order; }
    static bool stronger(const Session& one, const Session& other) {
        return one.weight[0] != other.weight[0] ? one.weight[0] > other.weight[0] : newer(one, other);
    }
    static void fit(std::vector<int32_t>& scratch, std::size_t size) {
        if (scratch.size() < size) scratch.resize(2 * size, 0);
    }

    // Every session that holds an item of the context, with the summed weights of the items that it holds.
    void gather(const Sessions& index, PyObject* postings, const Array<double>& support, std::size_t per_item) {
        sessions.clear();
        fit(session_at_, index.size());
        const Py_ssize_t ranks = PyList_GET_SIZE(postings);
        for (Py_ssize_t rank = 0; rank < ranks; rank++) {
            double weight[ROWS];
            for (int row = 0; row < ROWS; row++)
                weight[row] = rank_weight[static_cast<std::size_t>(rank * ROWS + row)] *
                              std::pow(support[static_cast<std::size_t>(rank)], -support_power[row]);
            const Array<int64_t> posting(PyList_GET_ITEM(postings, rank));
            take(index, posting, per_item);
            for (std::size_t at = 0; at < posting_.size(); at++) {
                if (at + AHEAD < posting_.size()) soon(&session_at_[posting_[at + AHEAD].second]);
                const auto [order, slot] = posting_[at];
                int32_t& place = session_at_[slot];
                if (place == 0) {
                    const Stored& stored = index.at(slot);
                    sessions.push_back({order, slot, stored.last_ms, static_cast<int32_t>(rank),
                                        static_cast<int32_t>(stored.length), 0, 0.0, {}});
                    place = static_cast<int32_t>(sessions.size());
                }
                Session& session = sessions[static_cast<std::size_t>(place) - 1];
                for (int row = 0; row < ROWS; row++) session.weight[row] += weight[row];
            }
        }
        for (const Session& session : sessions) session_at_[session.slot] = 0;
    }

    // The newest `most` sessions of a posting, as (order, slot).
    void take(const Sessions& index, const Array<int64_t>& posting, std::size_t most) {
        posting_.clear();
        for (std::size_t at = 0; at < posting.size(); at++) {
            if (at + AHEAD < posting.size()) soon(&index.at(posting[at + AHEAD]));
            const int64_t slot = posting[at];
            if (slot < 0 || static_cast<std::size_t>(slot) >= index.size() || index.at(slot).length > reach)
                throw std::out_of_range("a posting names a session that is not there, or one that is too long");
            posting_.emplace_back(index.at(slot).order, slot);
        }
        if (posting_.size() > most) {
            std::nth_element(posting_.begin(), posting_.begin() + static_cast<std::ptrdiff_t>(most), posting_.end(),
                             std::greater<>());
            posting_.resize(most);
        }
    }

    // Similarities: the decays by age, length and newest shared item.
    void weigh(int64_t now_ms) {
        for (Session& session : sessions) {
            // Clocks of producers differ: a session of the near future is as old as now.
            session.age_s = std::max(static_cast<double>(now_ms - session.last_ms) / 1000.0, 0.0);
            const double log_age = std::log1p(session.age_s / 3600.0);
            double aged[ROWS];
            for (int row = 0; row < rows; row++) {
                int like = 0;
                while (age_power[like] != age_power[row]) like++;
                aged[row] = like < row ? aged[like] : std::exp(-age_power[row] * log_age);  // 10 ns each
            }
            const double* by_length = &length_weight[static_cast<std::size_t>(session.length * ROWS)];
            const double* by_match = &match_weight[static_cast<std::size_t>(session.best * ROWS)];
            for (int row = 0; row < rows; row++) session.weight[row] *= aged[row] * by_length[row] * by_match[row];
        }
    }

    // Keeps the k sessions of the highest first row, newer first among equals; fewer when they hold too many events.
    void choose(std::size_t k, int64_t max_events) {
        if (sessions.size() > k) {
            std::nth_element(sessions.begin(), sessions.begin() + static_cast<std::ptrdiff_t>(k), sessions.end(), stronger);
            sessions.resize(k);
        }
        int64_t events = 0;
        for (const Session& session : sessions) events += session.length;
        if (events <= max_events) return;
        std::sort(sessions.begin(), sessions.end(), stronger);
        std::size_t fitting = 0;
        for (events = 0; fitting < sessions.size(); fitting++) {
            events += sessions[fitting].length;
            if (events > max_events) break;
        }
        sessions.resize(std::max<std::size_t>(fitting, 1));
    }

    // Each event of a session votes for its item, the nearer to the newest shared item the more.
    void vote(const Sessions& index, const std::vector<int64_t>& items) {
        candidates.clear();
        fit(place_of_, index.numbers);
        for (std::size_t turn = 0; turn < sessions.size(); turn++) {
            if (turn + AHEAD < sessions.size()) soon(index.items.begin() + index.at(sessions[turn + AHEAD].slot).offset);
            Session& session = sessions[turn];
            const int32_t* content = index.content(session.slot);
            const int64_t matched = items[static_cast<std::size_t>(session.best)];
            session.anchor = session.length - 1;
            while (session.anchor > 0 && content[session.anchor] != matched) session.anchor--;
            for (int32_t at = session.length - 1; at >= 0; at--) {
                const std::size_t number = static_cast<std::size_t>(content[at]);
                if (number >= index.numbers) throw std::out_of_range("a session holds an item that is not there");
                int32_t& place = place_of_[number];
                if (place == 0) {
                    candidates.push_back({content[at], {}});
                    place = static_cast<int32_t>(candidates.size());
                }
                double* votes = candidates[static_cast<std::size_t>(place) - 1].votes;
                const double* near = &nearness[static_cast<std::size_t>((at - session.anchor + reach) * ROWS)];
                for (int row = 0; row < ROWS; row++) votes[row] += session.weight[row] * near[row];
            }
        }
        for (const Candidate& candidate : candidates) place_of_[candidate.number] = 0;
    }
};
