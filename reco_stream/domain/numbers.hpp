// Strings and their numbers: 0, 1, 2, ..., a number freed is given again.
//
// A Python dictionary and a list for the same take some 180 bytes a string of 8 characters, this takes about 28.

#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <vector>

class Numbers {
public:
    static constexpr int64_t UNKNOWN = -1;

    std::size_t live() const { return live_; }
    // All numbers ever given are below this.
    std::size_t bound() const { return places_.size(); }

    int64_t find(std::string_view text) const { return find(text, hash(text)); }

    uint32_t add(std::string_view text) {
        const uint32_t hashed = hash(text);
        const int64_t known = find(text, hashed);
        return known == UNKNOWN ? insert(text, hashed) : static_cast<uint32_t>(known);
    }

    // Adds many at once: what each look-up waits for is asked for before, so that it waits once and not for each.
    void add_all(const std::vector<std::string_view>& texts, std::vector<uint32_t>& found) {
        hashes_wanted_.clear();
        for (const std::string_view text : texts) {
            hashes_wanted_.push_back(hash(text));
            if (!slots_.empty()) __builtin_prefetch(&slots_[hashes_wanted_.back() & mask()]);
        }
        if (!slots_.empty())
            for (const uint32_t hashed : hashes_wanted_)
                if (const uint32_t slot = slots_[hashed & mask()]) {
                    __builtin_prefetch(&hashes_[slot - 1]);
                    if (places_[slot - 1] != NOWHERE) __builtin_prefetch(&heap_[places_[slot - 1]]);
                }
        found.clear();
        for (std::size_t at = 0; at < texts.size(); at++) {
            const int64_t known = find(texts[at], hashes_wanted_[at]);
            found.push_back(known == UNKNOWN ? insert(texts[at], hashes_wanted_[at]) : static_cast<uint32_t>(known));
        }
    }

    // Empty for a number that is free.
    std::string_view text(std::size_t number) const {
        if (number >= places_.size()) throw std::out_of_range("a number was never given");
        if (places_[number] == NOWHERE) return {};
        const char* at = reinterpret_cast<const char*>(&heap_[places_[number]]);
        const auto first = static_cast<unsigned char>(*at);
        if (first < LONG) return {at + 1, first};
        uint32_t length;
        std::memcpy(&length, at + 1, sizeof length);
        return {at + 1 + sizeof length, length};
    }

    bool has(std::size_t number) const { return number < places_.size() && places_[number] != NOWHERE; }

    void remove(std::size_t number) {
        if (!has(number)) throw std::out_of_range("a number is not in use");
        std::size_t hole = hashes_[number] & mask();
        while (slots_[hole] != number + 1) hole = (hole + 1) & mask();
        // Those behind move up, so that a search may end at the first empty slot.
        for (std::size_t at = (hole + 1) & mask(); slots_[at]; at = (at + 1) & mask()) {
            const std::size_t home = hashes_[slots_[at] - 1] & mask();
            if (((at - home) & mask()) < ((at - hole) & mask())) continue;
            slots_[hole] = slots_[at];
            hole = at;
        }
        slots_[hole] = 0;
        free_blocks_[words(text(number).size())].push_back(places_[number]);
        places_[number] = NOWHERE;
        free_numbers_.push_back(static_cast<uint32_t>(number));
        live_--;
    }

    std::size_t nbytes() const {
        return 8 * heap_.size() + 4 * (places_.size() + hashes_.size() + slots_.size() + free_numbers_.size());
    }

private:
    static constexpr uint32_t NOWHERE = UINT32_MAX;
    static constexpr unsigned char LONG = 255;  // a first byte below this is the length itself

    std::vector<uint64_t> heap_;
    std::vector<uint32_t> places_;  // by number: where in the heap, in words
    std::vector<uint32_t> hashes_;  // by number
    std::vector<uint32_t> slots_;  // 1 + number, 0: empty; open addressing, at most 3/4 full
    std::vector<uint32_t> free_numbers_;
    std::unordered_map<std::size_t, std::vector<uint32_t>> free_blocks_;  // by words
    std::vector<uint32_t> hashes_wanted_;
    std::size_t live_ = 0;

    std::size_t mask() const { return slots_.size() - 1; }

    static uint32_t hash(std::string_view text) {
        const uint64_t found = std::hash<std::string_view>()(text);
        return static_cast<uint32_t>(found ^ (found >> 32));
    }

    static std::size_t words(std::size_t length) { return (length + (length < LONG ? 1 : 5) + 7) / 8; }

    int64_t find(std::string_view text, uint32_t hashed) const {
        if (slots_.empty()) return UNKNOWN;
        for (std::size_t at = hashed & mask(); const uint32_t slot = slots_[at]; at = (at + 1) & mask())
            if (hashes_[slot - 1] == hashed && this->text(slot - 1) == text) return slot - 1;
        return UNKNOWN;
    }

    uint32_t insert(std::string_view text, uint32_t hashed) {
        if (4 * (live_ + 1) > 3 * slots_.size()) grow();
        uint32_t number;
        const uint32_t place = store(text);
        if (free_numbers_.empty()) {
            number = static_cast<uint32_t>(places_.size());
            places_.push_back(place);
            hashes_.push_back(hashed);
        } else {
            number = free_numbers_.back();
            free_numbers_.pop_back();
            places_[number] = place;
            hashes_[number] = hashed;
        }
        enter(number);
        live_++;
        return number;
    }

    void enter(uint32_t number) {
        std::size_t at = hashes_[number] & mask();
        while (slots_[at]) at = (at + 1) & mask();
        slots_[at] = number + 1;
    }

    void grow() {
        slots_.assign(slots_.empty() ? 16 : 2 * slots_.size(), 0);
        for (std::size_t number = 0; number < places_.size(); number++)
            if (has(number)) enter(static_cast<uint32_t>(number));
    }

    uint32_t store(std::string_view text) {
        const std::size_t size = words(text.size());
        auto& free = free_blocks_[size];
        std::size_t place = heap_.size();
        if (free.empty()) {
            if (place + size >= NOWHERE) throw std::length_error("more than 32 GB of strings");
            heap_.resize(place + size);
        } else {
            place = free.back();
            free.pop_back();
        }
        char* at = reinterpret_cast<char*>(&heap_[place]);
        if (text.size() < LONG) {
            *at++ = static_cast<char>(text.size());
        } else {
            const auto length = static_cast<uint32_t>(text.size());
            *at++ = static_cast<char>(LONG);
            std::memcpy(at, &length, sizeof length);
            at += sizeof length;
        }
        std::memcpy(at, text.data(), text.size());
        return static_cast<uint32_t>(place);
    }
};
