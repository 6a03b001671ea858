// popularity.py, compiled: what counts an event.

#pragma once

#include "event.hpp"

struct Popularity : PopularityRow {
    void count(const Event& event, int64_t now_ms, int64_t landmark_now, double factor) {
        weighted += event.weight;
        last_ms = std::max(last_ms, event.time_ms);
        if (landmark_now != landmark) {
            score = moved(score, landmark, landmark_now);
            landmark = landmark_now;
        }
        score += event.weight * factor;
        count(by_type, event, true);
        const int64_t event_hour = event.time_ms / HOUR_MS;
        if (event_hour < hour) return count_late(event, event_hour, now_ms);
        if (event_hour > hour) {
            if (hour >= 0) close_hour(now_ms);
            hour = event_hour;
        }
        count(open, event, false);
    }
    // Events in the open hour.
    int64_t open_events() const {
        int64_t events = 0;
        for (const Tally& tally : open) events += tally.count;
        return events;
    }

    std::size_t bytes() const { return heap_bytes(by_type) + heap_bytes(open) + heap_bytes(hours) + heap_bytes(days); }
    void read(Reader& from) { PopularityRow::read(from, event_types()); }
    void write(Writer& to) const { PopularityRow::write(to, event_types()); }

private:
    static constexpr int64_t HOURS_KEPT = 48, DAYS_KEPT = 30;
    static constexpr std::size_t MAX_TYPES = 1 << 16;

    static std::vector<Tally>::iterator of(std::vector<Tally>& tallies, uint32_t type) {
        return std::find_if(tallies.begin(), tallies.end(), [type](const Tally& tally) { return tally.type == type; });
    }
    static void count(std::vector<Tally>& tallies, const Event& event, bool limited) {
        auto tally = of(tallies, event.type);
        if (tally == tallies.end()) {
            if (limited && tallies.size() == MAX_TYPES) throw std::invalid_argument("an item has 65536 event types already");
            tally = tallies.insert(tally, {event.type, 0, 0.0});
        }
        tally->count++;
        tally->weight += event.weight;
    }
    void close_hour(int64_t now_ms) {
        for (std::size_t kind = 0; kind < by_type.size(); kind++) {
            const auto tally = of(open, by_type[kind].type);
            if (tally != open.end()) hours.push_back(cell_of(hour, kind, tally->count, tally->weight));
        }
        open.clear();
        age(now_ms);
    }
    void count_late(const Event& event, int64_t event_hour, int64_t now_ms) {
        const auto kind = static_cast<std::size_t>(of(by_type, event.type) - by_type.begin());
        add(hours, cell_of(event_hour, kind, 1, event.weight));
        age(now_ms);
    }
    void age(int64_t now_ms) {
        for (const Cell& cell : split(hours, now_ms / HOUR_MS - HOURS_KEPT + 1))
            add(days, cell_of(cell.bucket / 24, cell.kind, cell.events, cell.weight));
        split(days, now_ms / DAY_MS - DAYS_KEPT);
    }
};
