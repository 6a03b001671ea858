// dedupe.py, compiled; the hash of an id is given.

#pragma once

#include "event.hpp"

struct Dedupe {
    std::string seen;

    // False, and nothing changes, when the id counts as sent before.
    bool add(std::string_view hashed, int64_t now_ms, const Rules& rules) {
        std::size_t from = 0;
        while (from < seen.size() && time_at(from) <= now_ms - rules.dedupe_window_ms) from += ENTRY_BYTES;
        for (std::size_t at = from; at < seen.size(); at += ENTRY_BYTES)
            if (seen.compare(at, HASH_BYTES, hashed) == 0) return false;
        const auto most = static_cast<std::size_t>(rules.dedupe_limit - 1) * ENTRY_BYTES;
        seen.erase(0, std::max(from, seen.size() - std::min(seen.size(), most)));
        seen += hashed;
        for (int shift = 56; shift >= 0; shift -= 8) seen += static_cast<char>(now_ms >> shift & 0xff);
        return true;
    }

    std::size_t bytes() const { return heap_bytes(seen); }
    void read(Reader& from) {
        if (from.array() != 1) throw NotExpected();
        seen = from.binary();
        if (seen.size() % ENTRY_BYTES) throw NotExpected();
    }
    void write(Writer& to) const {
        to.array(1);
        to.binary(seen.data(), seen.size());
    }

private:
    static constexpr std::size_t HASH_BYTES = 8, ENTRY_BYTES = 16;

    int64_t time_at(std::size_t at) const {
        int64_t time_ms = 0;
        for (std::size_t byte = at + HASH_BYTES; byte < at + ENTRY_BYTES; byte++)
            time_ms = time_ms << 8 | static_cast<unsigned char>(seen[byte]);
        return time_ms;
    }
};
