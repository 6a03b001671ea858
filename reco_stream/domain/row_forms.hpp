// Rows of items in fewer bytes: what their encoding says twice is said once, an item is its number.
//
// A popularity row of one event shrinks from 77 to 25 bytes, a co-view row of six pairs from 205 to 80. Nothing is lost;
// a row of another form than expected is kept as it is.

#pragma once

#include <cmath>

#include "item_rows.hpp"

constexpr char AS_IT_IS = '\xff';  // first byte; then the row

// -- the short form --------------------------------------------------------------------------------------------------

inline void put_unsigned(std::string& to, uint64_t value) {
    for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
    to += static_cast<char>(value);
}

inline uint64_t zigzag(int64_t value) { return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63); }
inline int64_t unzigzag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

// A time, of which many are whole hours.
inline void put_time(std::string& to, int64_t ms) {
    if (ms % HOUR_MS == 0) return put_unsigned(to, zigzag(ms / HOUR_MS) << 1 | 1);
    if (zigzag(ms) >> 63) throw NotExpected();
    put_unsigned(to, zigzag(ms) << 1);
}

inline bool same(double one, double other) { return std::memcmp(&one, &other, sizeof one) == 0; }

// Whether `value` is a whole number from 0 to 2**53.
inline bool is_whole(double value) {
    return value >= 0.0 && value <= 9007199254740992.0 && same(static_cast<double>(static_cast<int64_t>(value)), value);
}

inline void put_bits(std::string& to, double value) { to.append(reinterpret_cast<const char*>(&value), sizeof value); }

// Weights of events are whole numbers more often than not.
inline void put_weight(std::string& to, double value) {
    if (is_whole(value)) return put_unsigned(to, static_cast<uint64_t>(value) << 1);
    to += '\1';
    put_bits(to, value);
}

class Short {
public:
    explicit Short(std::string_view from) : at_(from.data()), end_(from.data() + from.size()) {}

    uint64_t unsigned_number() {
        uint64_t found = 0;
        for (int shift = 0;; shift += 7) {
            if (at_ == end_) throw std::out_of_range("a packed row ends too early");
            const auto byte = static_cast<unsigned char>(*at_++);
            found |= static_cast<uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return found;
        }
    }
    int64_t integer() { return unzigzag(unsigned_number()); }
    int64_t time() {
        const uint64_t found = unsigned_number();
        return found & 1 ? unzigzag(found >> 1) * HOUR_MS : unzigzag(found >> 1);
    }
    double bits() {
        double found;
        std::memcpy(&found, view(sizeof found).data(), sizeof found);
        return found;
    }
    double weight() {
        const uint64_t found = unsigned_number();
        return found & 1 ? bits() : static_cast<double>(found >> 1);
    }
    std::string_view view(std::size_t size) {
        if (static_cast<std::size_t>(end_ - at_) < size) throw std::out_of_range("a packed row ends too early");
        at_ += size;
        return {at_ - size, size};
    }
    bool at_end() const { return at_ == end_; }
    const char* at() const { return at_; }

private:
    const char* at_;
    const char* end_;
};

// -- popularity ------------------------------------------------------------------------------------------------------

class PopularityForm {
public:
    // The first fields of a row; of none at all, these.
    struct Head {
        double weighted = 0.0;
        int64_t last_ms = -1;
    };
    static Head head(Reader from) {
        if (from.array() != 10) throw NotExpected();
        const double weighted = from.number();
        return {weighted, from.integer()};
    }
    static Head head(Short from) {
        Head found;
        const int flags = from.view(1)[0];
        found.last_ms = from.time();
        from.bits();  // score
        from.time();  // landmark
        from.integer();  // sessions
        for (uint64_t types = from.unsigned_number(); types; types--) {
            from.unsigned_number();
            from.integer();
            found.weighted += from.weight();
        }
        if (!(flags & SUMMED)) found.weighted = from.bits();
        return found;
    }

    void pack(std::string_view row, std::string& to) {
        Reader from(row);
        row_.read(from, types_);
        const bool summed = same(row_.weighted, sum()), usual = row_.hour == row_.last_ms / HOUR_MS;
        const bool one_hour = equal(row_.open, row_.by_type), no_cells = row_.hours.empty() && row_.days.empty();
        to += static_cast<char>(summed * SUMMED | usual * USUAL | one_hour * ONE_HOUR | no_cells * NO_CELLS);
        put_time(to, row_.last_ms);
        put_bits(to, row_.score);
        put_time(to, row_.landmark);
        put_unsigned(to, zigzag(row_.sessions));
        put(to, row_.by_type);
        if (!summed) put_bits(to, row_.weighted);
        if (!usual) put_unsigned(to, zigzag(row_.hour));
        if (!one_hour) put(to, row_.open);
        if (!no_cells) {
            put_cells(to, row_.hours);
            put_cells(to, row_.days);
        }
    }

    void unpack(std::string_view packed, std::string& to) {
        Short from(packed);
        const int flags = from.view(1)[0];
        row_.last_ms = from.time();
        row_.score = from.bits();
        row_.landmark = from.time();
        row_.sessions = from.integer();
        get(from, row_.by_type);
        row_.weighted = flags & SUMMED ? sum() : from.bits();
        row_.hour = flags & USUAL ? row_.last_ms / HOUR_MS : from.integer();
        if (flags & ONE_HOUR) row_.open = row_.by_type;
        else get(from, row_.open);
        for (std::vector<Cell>* cells : {&row_.hours, &row_.days}) {
            if (flags & NO_CELLS) cells->clear();
            else get_cells(from, *cells);
        }
        Writer writer(to);
        row_.write(writer, types_);
    }

private:
    enum { SUMMED = 1, USUAL = 2, ONE_HOUR = 4, NO_CELLS = 8 };
    using Tally = PopularityRow::Tally;

    Numbers types_;
    PopularityRow row_;

    static bool equal(const std::vector<Tally>& some, const std::vector<Tally>& others) {
        return std::equal(some.begin(), some.end(), others.begin(), others.end(), [](const Tally& one, const Tally& other) {
            return one.type == other.type && one.count == other.count && same(one.weight, other.weight);
        });
    }
    double sum() const {
        double found = 0.0;
        for (const Tally& tally : row_.by_type) found += tally.weight;
        return found;
    }
    static void put(std::string& to, const std::vector<Tally>& tallies) {
        put_unsigned(to, tallies.size());
        for (const Tally& tally : tallies) {
            put_unsigned(to, tally.type);
            put_unsigned(to, zigzag(tally.count));
            put_weight(to, tally.weight);
        }
    }
    static void get(Short& from, std::vector<Tally>& tallies) {
        tallies.resize(from.unsigned_number());
        for (Tally& tally : tallies) {
            tally.type = static_cast<uint32_t>(from.unsigned_number());
            tally.count = from.integer();
            tally.weight = from.weight();
        }
    }
    static void put_cells(std::string& to, const std::vector<Cell>& cells) {
        put_unsigned(to, cells.size());
        int64_t before = 0;
        for (const Cell& cell : cells) {
            put_unsigned(to, zigzag(cell.bucket - before));
            put_unsigned(to, cell.kind);
            put_unsigned(to, cell.events);
            put_weight(to, cell.weight);
            before = cell.bucket;
        }
    }
    static void get_cells(Short& from, std::vector<Cell>& cells) {
        cells.resize(from.unsigned_number());
        int64_t bucket = 0;
        for (Cell& cell : cells) {
            bucket += from.integer();
            cell.bucket = static_cast<uint32_t>(bucket);
            cell.kind = static_cast<uint16_t>(from.unsigned_number());
            cell.events = static_cast<uint32_t>(from.unsigned_number());
            cell.weight = from.weight();
        }
    }
};

// -- co_view ---------------------------------------------------------------------------------------------------------

class CoViewForm {
public:
    explicit CoViewForm(Numbers& items) : items_(items) {}

    void pack(std::string_view row, std::string& to) {
        Reader from(row);
        row_.read(from);
        row_.split(names_);
        for (const Pair& pair : row_.pairs)
            if (!is_whole(pair.sessions) || !is_whole(pair.last_ms)) throw NotExpected();
        items_.add_all(names_, numbers_);
        put_time(to, row_.landmark);
        put_unsigned(to, zigzag(row_.aged_day));
        put_unsigned(to, row_.pairs.size());
        Pair before{};
        for (std::size_t at = 0; at < row_.pairs.size(); at++) {
            const Pair& pair = row_.pairs[at];
            const bool once = pair.sessions == 1.0, weight = same(pair.weight, before.weight);
            const bool time = pair.last_ms == before.last_ms;
            put_unsigned(to, static_cast<uint64_t>(numbers_[at]) << 3 | once * ONCE | weight * WEIGHT | time * TIME);
            if (!once) put_unsigned(to, static_cast<uint64_t>(pair.sessions));
            if (!weight) put_bits(to, pair.weight);
            if (!time) put_unsigned(to, zigzag(static_cast<int64_t>(pair.last_ms) - static_cast<int64_t>(before.last_ms)));
            before = pair;
        }
    }

    void unpack(std::string_view packed, std::string& to) {
        Short from(packed);
        row_.landmark = from.time();
        row_.aged_day = from.integer();
        row_.names.clear();
        row_.pairs.resize(from.unsigned_number());
        Pair before{};
        for (Pair& pair : row_.pairs) {
            const uint64_t head = from.unsigned_number();
            if (&pair != row_.pairs.data()) row_.names += '\0';
            row_.names += items_.text(head >> 3);
            pair.sessions = head & ONCE ? 1.0 : static_cast<double>(from.unsigned_number());
            pair.weight = head & WEIGHT ? before.weight : from.bits();
            pair.last_ms = before.last_ms;
            if (!(head & TIME)) pair.last_ms = static_cast<double>(static_cast<int64_t>(pair.last_ms) + from.integer());
            before = pair;
        }
        Writer writer(to);
        row_.write(writer);
    }

private:
    enum { ONCE = 1, WEIGHT = 2, TIME = 4 };  // one session; weight and time are those of the pair before
    using Pair = CoViewRow::Pair;

    Numbers& items_;
    CoViewRow row_;
    std::vector<std::string_view> names_;
    std::vector<uint32_t> numbers_;
};
