// What the compiled rules read: an event (reco_stream/events.py) and the rules (rules.py), and what they share.

#pragma once

#include <optional>

#include "../reco_stream/domain/buckets.hpp"
#include "../reco_stream/domain/decay.hpp"

struct Event {
    std::string_view user, item;
    uint32_t type;  // among `event_types`
    int64_t time_ms;
    double weight;
    bool negative;
    std::optional<std::string_view> session, event_id;
};

struct Rules {
    int64_t recent_limit, excluded_limit, recent_ttl_ms, anonymous_ttl_ms, session_gap_ms, sessions_kept, session_items,
        sessions_shared, co_view_last, co_view_limit, co_view_half_life_ms, co_view_window_ms, popularity_half_life_ms,
        dedupe_window_ms, dedupe_limit;

    int64_t ttl_ms(std::string_view user) const {
        return !user.empty() && user[0] == '~' ? anonymous_ttl_ms : recent_ttl_ms;
    }
};

// Event types are the few that the settings name; each has one number in this process.
inline Numbers& event_types() {
    static Numbers types;
    return types;
}

// Bytes of a string or a vector beside the object itself.
inline std::size_t heap_bytes(const std::string& text) { return text.capacity() > 15 ? text.capacity() + 16 : 0; }
template <typename Entry>
std::size_t heap_bytes(const std::vector<Entry>& entries) {
    return entries.capacity() * sizeof(Entry) + 16;
}

// Lists of entries that are the dicts of the Python rules: one an item, from the oldest time to the newest, equal times
// in order of arrival.
template <typename Entry>
typename std::vector<Entry>::iterator found(std::vector<Entry>& entries, std::string_view item) {
    return std::find_if(entries.begin(), entries.end(), [item](const Entry& entry) { return entry.item == item; });
}

template <typename Entry>
void insert(std::vector<Entry>& entries, Entry entry, int64_t limit) {
    auto at = entries.end();
    while (at != entries.begin() && (at - 1)->time_ms > entry.time_ms) --at;
    entries.insert(at, std::move(entry));
    if (static_cast<int64_t>(entries.size()) > limit) entries.erase(entries.begin());
}

template <typename Entry>
std::size_t entry_bytes(const std::vector<Entry>& entries) {
    std::size_t bytes = heap_bytes(entries);
    for (const Entry& entry : entries) bytes += heap_bytes(entry.item);
    return bytes;
}
