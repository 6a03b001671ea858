// The rows of items as tables/popularity.py and tables/co_view.py encode them.
//
//   popularity  [weighted, last_ms, score, landmark, sessions, {type: [count, weight]}, hour, {the same}, hours, days]
//   co_view     [landmark, aged_day, items joined by NUL, three doubles a pair: weight, sessions, last_ms]

#pragma once

#include "msgpack.hpp"
#include "numbers.hpp"

constexpr int64_t HOUR_MS = 3'600'000;
constexpr int64_t DAY_MS = 24 * HOUR_MS;

#pragma pack(push, 1)
struct Cell {  // as buckets.py packs it
    uint32_t bucket;
    uint16_t kind;
    uint32_t events;
    double weight;
};
#pragma pack(pop)

// Entries of a fixed size, one behind the other. Throws NotExpected.
template <typename Entry>
void read_entries(Reader& from, std::vector<Entry>& to) {
    const std::string_view found = from.binary();
    if (found.size() % sizeof(Entry)) throw NotExpected();
    to.resize(found.size() / sizeof(Entry));
    if (!to.empty()) std::memcpy(static_cast<void*>(to.data()), found.data(), found.size());
}

template <typename Entry>
void write_entries(Writer& to, const std::vector<Entry>& entries) {
    to.binary(entries.data(), entries.size() * sizeof(Entry));
}

// Fields as in popularity.py; an event type is its number among `types`.
struct PopularityRow {
    struct Tally {
        uint32_t type;
        int64_t count;
        double weight;
    };
    double weighted = 0.0;
    int64_t last_ms = -1;
    double score = 0.0;
    int64_t landmark = 0, sessions = 0;
    std::vector<Tally> by_type;
    int64_t hour = -1;
    std::vector<Tally> open;
    std::vector<Cell> hours, days;

    void read(Reader& from, Numbers& types) {
        if (from.array() != 10) throw NotExpected();
        weighted = from.number();
        last_ms = from.integer();
        score = from.number();
        landmark = from.integer();
        sessions = from.integer();
        read(from, types, by_type);
        hour = from.integer();
        read(from, types, open);
        read_entries(from, hours);
        read_entries(from, days);
        if (!from.at_end()) throw NotExpected();
    }
    void write(Writer& to, const Numbers& types) const {
        to.array(10);
        to.number(weighted);
        to.integer(last_ms);
        to.number(score);
        to.integer(landmark);
        to.integer(sessions);
        write(to, types, by_type);
        to.integer(hour);
        write(to, types, open);
        write_entries(to, hours);
        write_entries(to, days);
    }

private:
    static void read(Reader& from, Numbers& types, std::vector<Tally>& tallies) {
        tallies.resize(from.map());
        for (Tally& tally : tallies) {
            tally.type = types.add(from.string());
            if (from.array() != 2) throw NotExpected();
            tally.count = from.integer();
            tally.weight = from.number();
        }
    }
    static void write(Writer& to, const Numbers& types, const std::vector<Tally>& tallies) {
        to.map(tallies.size());
        for (const Tally& tally : tallies) {
            to.string(types.text(tally.type));
            to.array(2);
            to.integer(tally.count);
            to.number(tally.weight);
        }
    }
};

// Fields as in co_view.py.
struct CoViewRow {
    struct Pair {
        double weight, sessions, last_ms;
    };
    int64_t landmark = 0, aged_day = 0;
    std::string names;
    std::vector<Pair> pairs;

    void read(Reader& from) {
        if (from.array() != 4) throw NotExpected();
        landmark = from.integer();
        aged_day = from.integer();
        names = from.string();
        read_entries(from, pairs);
        if (!from.at_end()) throw NotExpected();
    }
    void write(Writer& to) const {
        to.array(4);
        to.integer(landmark);
        to.integer(aged_day);
        to.string(names);
        write_entries(to, pairs);
    }
    // The other item of each pair. Throws NotExpected when there are more names than pairs, or fewer.
    void split(std::vector<std::string_view>& to) const {
        to.clear();
        std::string_view rest = names;
        if (!pairs.empty()) {
            std::size_t end;
            for (; (end = rest.find('\0')) != rest.npos; rest.remove_prefix(end + 1)) to.push_back(rest.substr(0, end));
            to.push_back(rest);
        } else if (!rest.empty()) {
            throw NotExpected();
        }
        if (to.size() != pairs.size()) throw NotExpected();
    }
};
