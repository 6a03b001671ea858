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
#include "ranges.hpp"

constexpr int ROWS = 4;  // kernels evaluated at once; rows that are not used cost less than a loop over those that are

// One row of a SessionIndex's figures by slot.
struct Stored {
    int64_t offset, length, last_ms;
};

// The slots of an item's sessions, in no particular order.
struct Posting {
    const int64_t* slots;
    std::size_t size;
};

// The arrays of a SessionIndex that scoring reads.
struct Sessions {
    static constexpr Py_ssize_t FIELDS = 7;
    Array<int32_t> items;  // of the arena
    Array<int64_t> orders, table;  // by slot
    Array<int64_t> posted;  // slots of all postings
    Array<int64_t> offsets, counts;  // by item: where its slots begin, and how many
    std::size_t numbers;  // items are numbered below this

    Sessions(PyObject* const* given)
        : items(given[0]),
          orders(given[1]),
          table(given[2]),
          posted(given[3]),
          offsets(given[4]),
          counts(given[5]),
          numbers(PyLong_AsSize_t(given[6])) {
        if (table.size() != 3 * orders.size()) throw std::invalid_argument("a session has no figures");
        if (offsets.size() < numbers || counts.size() < numbers) throw std::invalid_argument("an item has no posting");
    }

    std::size_t size() const { return orders.size(); }
    const Stored& at(int64_t slot) const { return reinterpret_cast<const Stored*>(table.begin())[slot]; }
    // The items of a session, oldest first.
    const int32_t* content(int64_t slot) const {
        const Stored& stored = at(slot);
        if (static_cast<std::size_t>(stored.offset + stored.length) > items.size())
            throw std::out_of_range("a session lies beyond the arena");
        return items.begin() + stored.offset;
    }
    Posting posting(int64_t number) const {
        const std::size_t at = static_cast<std::size_t>(number);
        if (at >= numbers) throw std::out_of_range("an item is not there");
        const int64_t begin = offsets[at], size = counts[at];
        if (begin < 0 || size < 0 || begin + size > static_cast<int64_t>(posted.size()))
            throw std::out_of_range("a posting lies beyond the others");
        return {posted.begin() + begin, static_cast<std::size_t>(size)};
    }
};

// Sessions lie all over memory: asked for this many steps before, they are there when their turn comes. A step of a
// posting takes 2 ns, one of a session's events 30.
constexpr std::size_t AHEAD = 8, FAR_AHEAD = 32;

template <typename T>
void soon(const T* address) {
    __builtin_prefetch(address);
}

// A session that holds an item of the context: small, because there are a thousand of them to sort.
struct Session {
    int64_t order;
    int32_t slot, best;  // rank of the newest shared item
    double age;  // 1 + hours
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
    std::vector<int32_t> anchors;  // of each chosen session: place of the last event on its newest shared item
    std::vector<Candidate> candidates;  // in the order of their newest event, newest first

    // `support`: one an item. The newest `limit` sessions count, of each item at most `per_item`.
    void score(const Sessions& index, const std::vector<double>& support, const std::vector<int64_t>& items,
               int64_t now_ms, std::size_t limit, std::size_t per_item, std::size_t k, int64_t max_events) {
        if (support.size() != items.size() || items.size() > static_cast<std::size_t>(last_n))
            throw std::invalid_argument("wanted one support an item, and no more items than last_n");
        now_ms_ = now_ms;
        gather(index, items, support, std::min(per_item, limit), limit);
        if (sessions.size() > limit) {
            std::nth_element(sessions.begin(), sessions.begin() + static_cast<std::ptrdiff_t>(limit), sessions.end(), newer);
            sessions.resize(limit);
        }
        weigh(index);
        choose(index, k, max_events);
        weigh_other_rows(index);
        sort();
        vote(index, items);
    }

    // Makes the scratch as it was at first, after a failure.
    void forget() {
        sessions.clear();
        session_at_.clear();
        place_of_.clear();
    }

    // Candidates by their newest session, oldest first, and their votes, one row a kernel.
    void columns(std::vector<int64_t>& numbers, std::vector<double>& votes) const {
        const std::size_t size = candidates.size();
        numbers.resize(size);
        votes.resize(size * static_cast<std::size_t>(rows));
        for (std::size_t at = 0; at < size; at++) {
            const Candidate& candidate = candidates[size - 1 - at];
            numbers[at] = candidate.number;
            for (int row = 0; row < rows; row++) votes[static_cast<std::size_t>(row) * size + at] = candidate.votes[row];
        }
    }

    // For each of `numbers`: the rank of the context whose sessions hold the item most often, the newer among equals,
    // and those sessions; none where no session holds it.
    std::vector<std::pair<int, Proof>> evidence(const Sessions& index, const std::vector<int64_t>& numbers) {
        count_proofs(index, numbers);
        std::vector<std::pair<int, Proof>> found;
        for (auto first = proofs_.begin(); first != proofs_.end(); first += last_n) {
            const auto best = std::max_element(first, first + last_n, [](const Proof& one, const Proof& other) {
                return one.sessions < other.sessions;
            });
            found.emplace_back(best->sessions > 0 ? static_cast<int>(best - first) : -1, *best);
        }
        return found;
    }

private:
    std::vector<int32_t> session_at_;  // by slot: 1 + place in sessions, 0 elsewhere
    std::vector<int32_t> place_of_;  // by item number: 1 + place in a list, 0 elsewhere
    std::vector<std::pair<int64_t, int64_t>> posting_;
    std::vector<int64_t> orders_;
    std::vector<Session> sorted_;
    int64_t now_ms_ = 0;
    std::vector<Proof> proofs_;  // one an item and rank

    void count_proofs(const Sessions& index, const std::vector<int64_t>& numbers) {
        proofs_.assign(numbers.size() * static_cast<std::size_t>(last_n), Proof());
        fit(place_of_, index.numbers);
        for (std::size_t at = 0; at < numbers.size(); at++) place_of_[numbers[at]] = static_cast<int32_t>(at) + 1;
        for (std::size_t place = 0; place < sessions.size(); place++) {
            if (place + AHEAD < sessions.size()) soon(index.content(sessions[place + AHEAD].slot));
            const Session& session = sessions[place];
            const int32_t* content = index.content(session.slot);
            for (int32_t at = static_cast<int32_t>(index.at(session.slot).length) - 1; at >= 0; at--) {
                const int32_t wanted = place_of_[content[at]];
                if (wanted == 0) continue;
                Proof& proof = proofs_[static_cast<std::size_t>((wanted - 1) * last_n + session.best)];
                if (proof.seen_by == static_cast<int64_t>(place)) continue;  // an earlier event on the same item
                proof.seen_by = static_cast<int64_t>(place);
                proof.sessions++;
                proof.after += at > anchors[place];
                proof.age_s = age_s(index.at(session.slot));
            }
        }
        for (const int64_t number : numbers) place_of_[number] = 0;
    }

    static int64_t order_of(const Session& session) { return session.order; }
    static bool newer(const Session& one, const Session& other) { return one.order > other.order; }
    static bool stronger(const Session& one, const Session& other) {
        return one.weight[0] != other.weight[0] ? one.weight[0] > other.weight[0] : newer(one, other);
    }
    static void fit(std::vector<int32_t>& scratch, std::size_t size) {
        if (scratch.size() < size) scratch.resize(2 * size, 0);
    }

    // Every session that holds an item of the context, with the summed weights of the items that it holds; once there
    // are `limit` of them, those that are older than all of these may be missing.
    void gather(const Sessions& index, const std::vector<int64_t>& items, const std::vector<double>& support,
                std::size_t per_item, std::size_t limit) {
        sessions.clear();
        int64_t oldest = INT64_MIN;
        std::size_t enough = limit;
        fit(session_at_, index.size());
        for (std::size_t rank = 0; rank < items.size(); rank++) {
            double weight[ROWS];
            for (int row = 0; row < ROWS; row++)
                weight[row] = rank_weight[rank * ROWS + static_cast<std::size_t>(row)] *
                              power(support[rank], -support_power[row]);
            take(index, index.posting(items[rank]), per_item, oldest);
            add(static_cast<int32_t>(rank), weight);
            if (sessions.size() >= enough && rank + 1 < items.size()) {
                oldest = edge_of(sessions, limit, order_of);
                enough = sessions.size() + limit / 4;  // before it would move much again
            }
        }
        for (const Session& session : sessions) session_at_[session.slot] = 0;
    }

    // Adds the weights of an item to those of its sessions. New ones are told without a branch: every other one would be
    // mispredicted.
    void add(int32_t rank, const double* weight) {
        const std::size_t before = sessions.size();
        sessions.resize(before + posting_.size());
        Session* next = sessions.data() + before;
        for (std::size_t at = 0; at < posting_.size(); at++) {
            if (at + FAR_AHEAD < posting_.size()) soon(&session_at_[posting_[at + FAR_AHEAD].second]);
            const auto [order, slot] = posting_[at];
            int32_t& place = session_at_[slot];
            const bool is_new = place == 0;
            place = is_new ? static_cast<int32_t>(next - sessions.data()) + 1 : place;
            Session& session = sessions[static_cast<std::size_t>(place) - 1];
            session.order = order;
            session.slot = static_cast<int32_t>(slot);
            session.best = is_new ? rank : session.best;
            for (int row = 0; row < ROWS; row++) session.weight[row] += weight[row];
            next += is_new;
        }
        sessions.resize(static_cast<std::size_t>(next - sessions.data()));
    }

    // The least of the `count` highest orders.
    template <typename Values, typename Order>
    int64_t edge_of(const Values& values, std::size_t count, Order order) {
        const Ranges ranges(values, order);
        std::size_t range = Ranges::COUNT - 1;
        for (; ranges.held[range] < count; range--) count -= ranges.held[range];
        orders_.clear();
        for (const auto& value : values)
            if (ranges.of(order(value)) == range) orders_.push_back(order(value));
        const auto edge = orders_.begin() + static_cast<std::ptrdiff_t>(count) - 1;
        std::nth_element(orders_.begin(), edge, orders_.end(), std::greater<>());
        return *edge;
    }

    // Brings the sessions in their order, newest first.
    void sort() {
        if (sessions.size() < Ranges::COUNT) return std::sort(sessions.begin(), sessions.end(), newer);
        Ranges ranges(sessions, order_of);
        uint32_t behind = 0;
        for (std::size_t range = Ranges::COUNT; range-- > 0;) behind += std::exchange(ranges.held[range], behind);
        sorted_.resize(sessions.size());
        for (const Session& session : sessions) sorted_[ranges.held[ranges.of(session.order)]++] = session;
        sessions.swap(sorted_);
        uint32_t begin = 0;
        for (std::size_t range = Ranges::COUNT; range-- > 0; begin = ranges.held[range])
            std::sort(sessions.begin() + begin, sessions.begin() + ranges.held[range], newer);
    }

    // The newest `most` sessions of a posting, as (order, slot), without those of an order below `oldest`.
    void take(const Sessions& index, const Posting& posting, std::size_t most, int64_t oldest) {
        posting_.resize(posting.size);
        std::size_t size = 0;
        for (std::size_t at = 0; at < posting.size; at++) {
            if (at + FAR_AHEAD < posting.size) soon(index.orders.begin() + posting.slots[at + FAR_AHEAD]);
            const int64_t slot = posting.slots[at];
            if (slot < 0 || static_cast<std::size_t>(slot) >= index.size())
                throw std::out_of_range("a posting names a session that is not there");
            const int64_t order = index.orders[static_cast<std::size_t>(slot)];
            posting_[size] = {order, slot};
            size += order >= oldest;  // no branch: half of them would be mispredicted
        }
        posting_.resize(size);
        if (size <= most) return;
        const int64_t edge = edge_of(posting_, most, [](const auto& posted) { return posted.first; });
        size = 0;
        for (const auto& posted : posting_) {
            posting_[size] = posted;
            size += posted.first >= edge;
        }
        posting_.resize(most);  // no more but where two have the same millisecond and hash
    }

    // Similarities by the first kernel, which decides who votes: the decays by age, length and newest shared item.
    void weigh(const Sessions& index) {
        for (std::size_t at = 0; at < sessions.size(); at++) {
            if (at + AHEAD < sessions.size()) soon(&index.at(sessions[at + AHEAD].slot));
            Session& session = sessions[at];
            const Stored& stored = index.at(session.slot);
            if (stored.length > reach) throw std::out_of_range("a session is too long");
            session.age = 1.0 + age_s(stored) / 3600.0;
            session.weight[0] *= power(session.age, -age_power[0]) * by_length(stored)[0] * by_match(session)[0];
        }
    }

    // Clocks of producers differ: a session of the near future is as old as now.
    double age_s(const Stored& stored) const {
        return std::max(static_cast<double>(now_ms_ - stored.last_ms) / 1000.0, 0.0);
    }

    // Similarities by the other kernels, of those who vote.
    void weigh_other_rows(const Sessions& index) {
        for (Session& session : sessions) {
            const Stored& stored = index.at(session.slot);
            double aged[ROWS];
            for (int row = 0; row < rows; row++) {
                int like = 0;
                while (age_power[like] != age_power[row]) like++;
                aged[row] = like < row ? aged[like] : power(session.age, -age_power[row]);
                if (row > 0) session.weight[row] *= aged[row] * by_length(stored)[row] * by_match(session)[row];
            }
        }
    }

    // base^by, without the 20 ns of pow for the powers that the kernels have.
    static double power(double base, double by) {
        if (by == 0.0) return 1.0;
        if (by == -0.25) return 1.0 / std::sqrt(std::sqrt(base));
        return std::pow(base, by);
    }
    const double* by_length(const Stored& stored) const {
        return &length_weight[static_cast<std::size_t>(stored.length * ROWS)];
    }
    const double* by_match(const Session& session) const {
        return &match_weight[static_cast<std::size_t>(session.best * ROWS)];
    }

    // Keeps the k sessions of the highest first row, newer first among equals; fewer when they hold too many events.
    void choose(const Sessions& index, std::size_t k, int64_t max_events) {
        if (sessions.size() > k) {
            std::nth_element(sessions.begin(), sessions.begin() + static_cast<std::ptrdiff_t>(k), sessions.end(), stronger);
            sessions.resize(k);
        }
        int64_t events = 0;
        for (const Session& session : sessions) events += index.at(session.slot).length;
        if (events <= max_events) return;
        std::sort(sessions.begin(), sessions.end(), stronger);
        std::size_t fitting = 0;
        for (events = 0; fitting < sessions.size(); fitting++) {
            events += index.at(sessions[fitting].slot).length;
            if (events > max_events) break;
        }
        sessions.resize(std::max<std::size_t>(fitting, 1));
    }

    // Each event of a session votes for its item, the nearer to the newest shared item the more.
    void vote(const Sessions& index, const std::vector<int64_t>& items) {
        candidates.clear();
        anchors.resize(sessions.size());
        fit(place_of_, index.numbers);
        for (std::size_t turn = 0; turn < sessions.size(); turn++) {
            if (turn + FAR_AHEAD < sessions.size()) soon(&index.at(sessions[turn + FAR_AHEAD].slot));
            if (turn + AHEAD < sessions.size()) soon(index.content(sessions[turn + AHEAD].slot));
            const Session& session = sessions[turn];
            const int32_t* content = index.content(session.slot);
            const int32_t last = static_cast<int32_t>(index.at(session.slot).length) - 1;
            const int64_t matched = items[static_cast<std::size_t>(session.best)];
            int32_t anchor = last;
            while (anchor > 0 && content[anchor] != matched) anchor--;
            anchors[turn] = anchor;
            for (int32_t at = last; at >= 0; at--) {
                const std::size_t number = static_cast<std::size_t>(content[at]);
                if (number >= index.numbers) throw std::out_of_range("a session holds an item that is not there");
                int32_t& place = place_of_[number];
                if (place == 0) {
                    candidates.push_back({content[at], {}});
                    place = static_cast<int32_t>(candidates.size());
                }
                double* votes = candidates[static_cast<std::size_t>(place) - 1].votes;
                const double* near = &nearness[static_cast<std::size_t>((at - anchor + reach) * ROWS)];
                for (int row = 0; row < ROWS; row++) votes[row] += session.weight[row] * near[row];
            }
        }
        for (const Candidate& candidate : candidates) place_of_[candidate.number] = 0;
    }
};
