// co_view.py, compiled: which pairs an event makes, and what they add to a row.

#pragma once

#include <numeric>

#include "sessions.hpp"

// What a pair of the event's item and another gains; `first`: the session had not paired them before.
struct Gain {
    std::string other;
    double weight;
    bool first;
};

// To be called before the event is put into `session`.
inline void gains_of(const Session& session, const Event& event, const Rules& rules, std::vector<Gain>& gains) {
    double before = 0.0;
    for (const Visit& visit : session.items)
        if (visit.item == event.item) before = visit.weight;
    if (event.weight <= before) return;
    int64_t seen = 0;
    for (auto visit = session.items.rbegin(); visit != session.items.rend(); ++visit) {
        if (visit->item == event.item) continue;
        if (seen++ == rules.co_view_last) return;
        const double gain = std::min(event.weight, visit->weight) - before;
        if (gain > 0.0) gains.push_back({visit->item, gain, before == 0.0});
    }
}

struct CoView : CoViewRow {
    void start(int64_t landmark_now, int64_t day) {
        *this = CoView();
        landmark = landmark_now;
        aged_day = day;
    }
    void age(int64_t landmark_now, int64_t day, int64_t window_ms) {
        if (landmark_now == landmark && day == aged_day) return;
        if (landmark_now != landmark)
            for (Pair& pair : pairs) pair.weight = moved(pair.weight, landmark, landmark_now);
        landmark = landmark_now;
        aged_day = day;
        const auto from_ms = static_cast<double>(day * DAY_MS - window_ms);
        std::vector<std::size_t> kept;
        for (std::size_t at = 0; at < pairs.size(); at++)
            if (pairs[at].last_ms >= from_ms) kept.push_back(at);
        if (kept.size() < pairs.size()) keep(kept);
    }
    void add_pair(std::string_view other, double weight, bool first, int64_t time_ms, int64_t limit) {
        const uint32_t hash = hash_of(other);
        const auto time = static_cast<double>(time_ms);
        for (std::size_t at = 0; at < places_.size(); at++) {
            if (places_[at].hash != hash || name(at) != other) continue;
            Pair& pair = pairs[at];
            pair = {pair.weight + weight, pair.sessions + first, std::max(pair.last_ms, time)};
            return;
        }
        if (other.find('\0') != other.npos) throw std::invalid_argument("an item's id holds a NUL");
        append(other, hash, {weight, 1.0, time});
        if (static_cast<int64_t>(pairs.size()) > limit + limit / 4) cut(limit);
    }

    std::size_t bytes() const { return heap_bytes(names) + heap_bytes(pairs) + heap_bytes(places_); }
    void read(Reader& from) {
        CoViewRow::read(from);
        std::vector<std::string_view> found;
        split(found);
        std::size_t end = 0;
        for (const std::string_view one : found) {
            places_.push_back({hash_of(one), static_cast<uint32_t>(end += one.size())});
            end++;
        }
    }

private:
    struct Place {
        uint32_t hash, end;  // of the name of a pair, where it ends in `names`
    };
    std::vector<Place> places_;

    static uint32_t hash_of(std::string_view item) { return static_cast<uint32_t>(std::hash<std::string_view>()(item)); }
    std::string_view name(std::size_t at) const {
        const std::size_t begin = at ? places_[at - 1].end + 1 : 0;
        return std::string_view(names).substr(begin, places_[at].end - begin);
    }
    void append(std::string_view other, uint32_t hash, const Pair& pair) {
        if (!pairs.empty()) names += '\0';
        names += other;
        places_.push_back({hash, static_cast<uint32_t>(names.size())});
        pairs.push_back(pair);
    }
    void cut(int64_t limit) {
        std::vector<std::size_t> best(pairs.size());
        std::iota(best.begin(), best.end(), 0);
        const auto sure = best.begin() + (limit - limit / 5);
        std::stable_sort(best.begin(), best.end(), [this](auto a, auto b) { return pairs[a].weight > pairs[b].weight; });
        std::stable_sort(sure, best.end(), [this](auto a, auto b) { return pairs[a].last_ms > pairs[b].last_ms; });
        best.resize(static_cast<std::size_t>(limit));
        std::sort(best.begin(), best.end());
        keep(best);
    }
    void keep(const std::vector<std::size_t>& positions) {
        CoView kept;
        for (const std::size_t at : positions) kept.append(name(at), places_[at].hash, pairs[at]);
        kept.landmark = landmark;
        kept.aged_day = aged_day;
        *this = std::move(kept);
    }
};
