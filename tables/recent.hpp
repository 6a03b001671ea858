// recent.py, compiled.

#pragma once

#include "event.hpp"

struct Recent {
    struct Seen {
        std::string item;
        int64_t time_ms;
        uint32_t type;
    };
    struct Excluded {
        std::string item;
        int64_t time_ms;
    };
    std::vector<Seen> items;
    std::vector<Excluded> excluded;
    int64_t newest_ms = -1, due_day = -1;

    void see(const Event& event, const Rules& rules) {
        const auto known = found(items, event.item);
        if (event.time_ms >= newest_ms) newest_ms = event.time_ms;
        else if (known != items.end() && known->time_ms > event.time_ms) return;
        if (known != items.end()) items.erase(known);
        insert(items, Seen{std::string(event.item), event.time_ms, event.type}, rules.recent_limit);
    }
    void exclude(const Event& event, const Rules& rules) {
        int64_t time_ms = event.time_ms;
        const auto known = found(excluded, event.item);
        if (known != excluded.end()) {
            time_ms = std::max(known->time_ms, time_ms);
            excluded.erase(known);
        }
        insert(excluded, Excluded{std::string(event.item), time_ms}, rules.excluded_limit);
    }
    void prune(int64_t before_ms) {
        items.erase(std::remove_if(items.begin(), items.end(), [=](const Seen& one) { return one.time_ms < before_ms; }),
                    items.end());
    }

    std::size_t bytes() const { return entry_bytes(items) + entry_bytes(excluded); }
    void read(Reader& from) {
        if (from.array() != 4) throw NotExpected();
        items.resize(from.map());
        for (Seen& seen : items) {
            seen.item = from.string();
            if (from.array() != 2) throw NotExpected();
            seen.time_ms = from.integer();
            seen.type = event_types().add(from.string());
        }
        excluded.resize(from.map());
        for (Excluded& one : excluded) {
            one.item = from.string();
            one.time_ms = from.integer();
        }
        newest_ms = from.integer();
        due_day = from.integer();
    }
    void write(Writer& to) const {
        to.array(4);
        to.map(items.size());
        for (const Seen& seen : items) {
            to.string(seen.item);
            to.array(2);
            to.integer(seen.time_ms);
            to.string(event_types().text(seen.type));
        }
        to.map(excluded.size());
        for (const Excluded& one : excluded) {
            to.string(one.item);
            to.integer(one.time_ms);
        }
        to.integer(newest_ms);
        to.integer(due_day);
    }
};
