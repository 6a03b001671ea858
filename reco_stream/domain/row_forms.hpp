// Rows of items in fewer bytes: what their encoding says twice is said once, an item is its number.
//
// A popularity row of one event shrinks from 77 to 25 bytes, a co-view row of six pairs from 205 to 80. Nothing is lost;
// a row of another form than expected is kept as it is. The forms are those that tables/ encode, MessagePack:
//
//   popularity  [weighted, last_ms, score, landmark, sessions, {type: [count, weight]}, hour, {the same}, hours, days]
//   co_view     [landmark, aged_day, items joined by NUL, three doubles a pair: weight, sessions, last_ms]

#pragma once

#include <cmath>
#include <string>

#include "numbers.hpp"

constexpr int64_t HOUR_MS = 3'600'000;
constexpr char AS_IT_IS = '\xff';  // first byte; then the row

// -- MessagePack -----------------------------------------------------------------------------------------------------

struct NotExpected {};

class Reader {
public:
    explicit Reader(std::string_view from) : at_(from.data()), end_(from.data() + from.size()) {}

    bool at_end() const { return at_ == end_; }

    int64_t integer() {
        const auto first = static_cast<unsigned char>(take(1)[0]);
        if (first < 0x80 || first >= 0xe0) return static_cast<int8_t>(first);
        switch (first) {
            case 0xcc: return big<uint8_t>();
            case 0xcd: return big<uint16_t>();
            case 0xce: return big<uint32_t>();
            case 0xd0: return big<int8_t>();
            case 0xd1: return big<int16_t>();
            case 0xd2: return big<int32_t>();
            case 0xcf:
            case 0xd3: {
                const int64_t found = big<int64_t>();
                if ((first == 0xcf) != (found >= 0)) throw NotExpected();
                return found;
            }
            default: throw NotExpected();
        }
    }
    double number() {
        if (take(1)[0] != '\xcb') throw NotExpected();
        const auto bits = big<uint64_t>();
        double found;
        std::memcpy(&found, &bits, sizeof found);
        return found;
    }
    std::size_t array() { return header(0x90, 15, 0, 0xdc); }
    std::size_t map() { return header(0x80, 15, 0, 0xde); }
    std::string_view string() { return view(header(0xa0, 31, 0xd9, 0xda)); }
    std::string_view binary() { return view(header(0, -1, 0xc4, 0xc5)); }

    std::string_view view(std::size_t size) { return {take(size), size}; }

private:
    const char* at_;
    const char* end_;

    const char* take(std::size_t size) {
        if (static_cast<std::size_t>(end_ - at_) < size) throw NotExpected();
        at_ += size;
        return at_ - size;
    }
    template <typename T>
    T big() {
        const auto* bytes = reinterpret_cast<const unsigned char*>(take(sizeof(T)));
        std::make_unsigned_t<T> found = 0;
        for (std::size_t at = 0; at < sizeof(T); at++) found = static_cast<decltype(found)>(found << 8 | bytes[at]);
        return static_cast<T>(found);
    }
    // `fixed` with up to `most` in its low bits; `tiny`, 0 for none, with one byte; `small` with two, the next with four.
    std::size_t header(int fixed, int most, int tiny, int small) {
        const int first = static_cast<unsigned char>(take(1)[0]);
        if (most >= 0 && (first & ~most) == fixed) return static_cast<std::size_t>(first & most);
        if (tiny && first == tiny) return big<uint8_t>();
        if (first == small) return big<uint16_t>();
        if (first == small + 1) return big<uint32_t>();
        throw NotExpected();
    }
};

class Writer {
public:
    explicit Writer(std::string& to) : to_(to) {}

    void integer(int64_t value) {
        if (value >= -32 && value < 128) return byte(static_cast<int>(value));
        if (value < 0) {
            if (value >= INT8_MIN) return tagged(0xd0, value, 1);
            if (value >= INT16_MIN) return tagged(0xd1, value, 2);
            return value >= INT32_MIN ? tagged(0xd2, value, 4) : tagged(0xd3, value, 8);
        }
        if (value <= UINT8_MAX) return tagged(0xcc, value, 1);
        if (value <= UINT16_MAX) return tagged(0xcd, value, 2);
        return value <= UINT32_MAX ? tagged(0xce, value, 4) : tagged(0xcf, value, 8);
    }
    void number(double value) {
        int64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        tagged(0xcb, bits, 8);
    }
    void array(std::size_t size) { header(0x90, 15, 0, 0xdc, size); }
    void map(std::size_t size) { header(0x80, 15, 0, 0xde, size); }
    void string(std::string_view text) {
        header(0xa0, 31, 0xd9, 0xda, text.size());
        to_ += text;
    }
    void binary_of(std::size_t size) { header(0, -1, 0xc4, 0xc5, size); }

private:
    std::string& to_;

    void byte(int value) { to_ += static_cast<char>(value); }
    void tagged(int tag, int64_t value, int bytes) {
        byte(tag);
        for (int at = bytes - 1; at >= 0; at--) byte(static_cast<int>(value >> (8 * at) & 0xff));
    }
    void header(int fixed, int most, int tiny, int small, std::size_t size) {
        const auto value = static_cast<int64_t>(size);
        if (value <= most) return byte(fixed | static_cast<int>(value));
        if (tiny && value <= UINT8_MAX) return tagged(tiny, value, 1);
        if (value <= UINT16_MAX) return tagged(small, value, 2);
        tagged(small + 1, value, 4);
    }
};

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
    void pack(std::string_view row, std::string& to) {
        Reader from(row);
        if (from.array() != 10) throw NotExpected();
        const double weighted = from.number();
        const int64_t last_ms = from.integer();
        const double score = from.number();
        const int64_t landmark = from.integer(), sessions = from.integer();
        read(from, by_type_);
        const int64_t hour = from.integer();
        read(from, open_);
        const std::string_view hours = from.binary(), days = from.binary();
        if (!from.at_end()) throw NotExpected();
        const bool summed = same(weighted, sum()), usual = hour == last_ms / HOUR_MS;
        const bool one_hour = open_ == by_type_, no_cells = hours.empty() && days.empty();
        to += static_cast<char>(summed * SUMMED | usual * USUAL | one_hour * ONE_HOUR | no_cells * NO_CELLS);
        put_time(to, last_ms);
        put_bits(to, score);
        put_time(to, landmark);
        put_unsigned(to, zigzag(sessions));
        put(to, by_type_);
        if (!summed) put_bits(to, weighted);
        if (!usual) put_unsigned(to, zigzag(hour));
        if (!one_hour) put(to, open_);
        if (!no_cells) {
            put_cells(to, hours);
            put_cells(to, days);
        }
    }

    void unpack(std::string_view packed, std::string& to) {
        Short from(packed);
        const int flags = from.view(1)[0];
        const int64_t last_ms = from.time();
        const double score = from.bits();
        const int64_t landmark = from.time(), sessions = from.integer();
        get(from, by_type_);
        const double weighted = flags & SUMMED ? sum() : from.bits();
        const int64_t hour = flags & USUAL ? last_ms / HOUR_MS : from.integer();
        if (flags & ONE_HOUR) open_ = by_type_;
        else get(from, open_);
        Writer row(to);
        row.array(10);
        row.number(weighted);
        row.integer(last_ms);
        row.number(score);
        row.integer(landmark);
        row.integer(sessions);
        write(row, by_type_);
        row.integer(hour);
        write(row, open_);
        for (int kind = 0; kind < 2; kind++) {
            if (flags & NO_CELLS) row.binary_of(0);
            else write_cells(from, row, to);
        }
    }

private:
    enum { SUMMED = 1, USUAL = 2, ONE_HOUR = 4, NO_CELLS = 8 };
    struct Tally {
        uint32_t type;
        int64_t count;
        double weight;
        bool operator==(const Tally& other) const {
            return type == other.type && count == other.count && same(weight, other.weight);
        }
    };
#pragma pack(push, 1)
    struct Cell {  // as reco_stream/domain/buckets.py packs it
        uint32_t bucket;
        uint16_t kind;
        uint32_t events;
        double weight;
    };
#pragma pack(pop)

    Numbers types_;
    std::vector<Tally> by_type_, open_;

    double sum() const {
        double found = 0.0;
        for (const Tally& tally : by_type_) found += tally.weight;
        return found;
    }
    void read(Reader& from, std::vector<Tally>& tallies) {
        tallies.resize(from.map());
        for (Tally& tally : tallies) {
            tally.type = types_.add(from.string());
            if (from.array() != 2) throw NotExpected();
            tally.count = from.integer();
            tally.weight = from.number();
        }
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
    void write(Writer& row, const std::vector<Tally>& tallies) {
        row.map(tallies.size());
        for (const Tally& tally : tallies) {
            row.string(types_.text(tally.type));
            row.array(2);
            row.integer(tally.count);
            row.number(tally.weight);
        }
    }
    static void put_cells(std::string& to, std::string_view cells) {
        if (cells.size() % sizeof(Cell)) throw NotExpected();
        put_unsigned(to, cells.size() / sizeof(Cell));
        int64_t before = 0;
        for (std::size_t at = 0; at < cells.size(); at += sizeof(Cell)) {
            Cell cell;
            std::memcpy(&cell, cells.data() + at, sizeof cell);
            put_unsigned(to, zigzag(cell.bucket - before));
            put_unsigned(to, cell.kind);
            put_unsigned(to, cell.events);
            put_weight(to, cell.weight);
            before = cell.bucket;
        }
    }
    static void write_cells(Short& from, Writer& row, std::string& to) {
        const std::size_t count = from.unsigned_number();
        row.binary_of(count * sizeof(Cell));
        int64_t bucket = 0;
        for (std::size_t at = 0; at < count; at++) {
            bucket += from.integer();
            Cell cell;
            cell.bucket = static_cast<uint32_t>(bucket);
            cell.kind = static_cast<uint16_t>(from.unsigned_number());
            cell.events = static_cast<uint32_t>(from.unsigned_number());
            cell.weight = from.weight();
            to.append(reinterpret_cast<const char*>(&cell), sizeof cell);
        }
    }
};

// -- co_view ---------------------------------------------------------------------------------------------------------

class CoViewForm {
public:
    explicit CoViewForm(Numbers& items) : items_(items) {}

    void pack(std::string_view row, std::string& to) {
        Reader from(row);
        if (from.array() != 4) throw NotExpected();
        const int64_t landmark = from.integer(), aged_day = from.integer();
        const std::string_view names = from.string(), pairs = from.binary();
        const std::size_t count = pairs.size() / sizeof(Pair);
        if (!from.at_end() || pairs.size() % sizeof(Pair)) throw NotExpected();
        split(names, count);
        check(pairs);
        items_.add_all(names_, numbers_);
        put_time(to, landmark);
        put_unsigned(to, zigzag(aged_day));
        put_unsigned(to, count);
        Pair before{};
        for (std::size_t at = 0; at < count; at++) {
            const Pair pair = pair_at(pairs, at);
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
        const int64_t landmark = from.time(), aged_day = from.integer();
        const std::size_t count = from.unsigned_number();
        std::string joined;
        std::vector<Pair> pairs(count);
        Pair pair{};
        for (std::size_t at = 0; at < count; at++) {
            const uint64_t head = from.unsigned_number();
            if (at) joined += '\0';
            joined += items_.text(head >> 3);
            pair.sessions = head & ONCE ? 1.0 : static_cast<double>(from.unsigned_number());
            if (!(head & WEIGHT)) pair.weight = from.bits();
            if (!(head & TIME)) pair.last_ms = static_cast<double>(static_cast<int64_t>(pair.last_ms) + from.integer());
            pairs[at] = pair;
        }
        Writer row(to);
        row.array(4);
        row.integer(landmark);
        row.integer(aged_day);
        row.string(joined);
        row.binary_of(count * sizeof(Pair));
        to.append(reinterpret_cast<const char*>(pairs.data()), count * sizeof(Pair));
    }

private:
    enum { ONCE = 1, WEIGHT = 2, TIME = 4 };  // one session; weight and time are those of the pair before
    struct Pair {
        double weight, sessions, last_ms;
    };

    Numbers& items_;
    std::vector<std::string_view> names_;
    std::vector<uint32_t> numbers_;

    static Pair pair_at(std::string_view pairs, std::size_t at) {
        Pair pair;
        std::memcpy(&pair, pairs.data() + at * sizeof pair, sizeof pair);
        return pair;
    }
    static void check(std::string_view pairs) {
        for (std::size_t at = 0; at < pairs.size() / sizeof(Pair); at++) {
            const Pair pair = pair_at(pairs, at);
            if (!is_whole(pair.sessions) || !is_whole(pair.last_ms)) throw NotExpected();
        }
    }
    void split(std::string_view names, std::size_t count) {
        names_.clear();
        if (count) {
            std::size_t end;
            for (; (end = names.find('\0')) != names.npos; names.remove_prefix(end + 1))
                names_.push_back(names.substr(0, end));
            names_.push_back(names);
        } else if (!names.empty()) {
            throw NotExpected();
        }
        if (names_.size() != count) throw NotExpected();
    }
};
