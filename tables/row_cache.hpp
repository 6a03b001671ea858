// The rows of one table that a fold reads and changes between two checkpoints, over the partition's store.
//
// Two generations bound the memory at constant cost: rows touched since the last turn are young, the others old; when
// the young ones exceed half of the budget the old ones are forgotten. A rule may change the row it is given in place,
// so what a checkpoint has not written can only be dropped whole.

#pragma once

#include <unordered_map>

#include "store.hpp"

template <typename Row>
class RowCache {
public:
    struct Slot {
        std::optional<Row> row;  // none: it does not exist
        std::size_t bytes = 0;   // as counted last
        bool dirty = false;
    };
    using Rows = std::unordered_map<std::string, Slot>;
    using Entry = typename Rows::value_type;  // stays where it is while its generation lives

    RowCache(const Store& store, const char* name, char prefix) : name(name), prefix(prefix), store_(store) {}

    const char* const name;
    const char prefix;

    // The row of `key` as it is now, read from the store when it is not in memory.
    Entry& load(std::string_view key) {
        if (Entry* known = find(key)) return *known;
        const Object raw = store_.get(prefix, key);
        Entry& entry = added(key);
        if (raw) {
            Reader from(view_of(raw.get()));
            try {
                entry.second.row.emplace().read(from);
                if (!from.at_end()) throw NotExpected();
            } catch (const NotExpected&) {
                throw Undecodable(name + (" '" + std::string(key) + "': its stored row cannot be decoded"));
            }
        }
        measure(entry);
        return entry;
    }
    // The same without a look into the store, for who will overwrite the row.
    Entry& place(std::string_view key) {
        if (Entry* known = find(key)) return *known;
        Entry& entry = added(key);
        measure(entry);
        return entry;
    }
    // To be called after each change.
    void mark(Entry& entry) {
        if (!entry.second.dirty) dirty_.push_back(&entry);
        entry.second.dirty = true;
    }
    void remove(std::string_view key) {
        Entry& entry = place(key);
        entry.second.row.reset();
        mark(entry);
    }

    // Up to `limit` keys under `below`, ascending, as the fold so far sees them.
    std::vector<std::string> first_keys(const std::string& below, std::size_t limit) {
        std::vector<std::string> found;
        if (below <= none_below_) return found;
        for (const Entry* entry : dirty_)
            if (entry->first < below && entry->second.row) found.push_back(entry->first);
        // The dirty keys can hide at most so many stored ones.
        store_.scan(prefix, below, limit + dirty_.size(), [&](std::string_view key) {
            const auto known = young_.find(std::string(key));
            if (known == young_.end() || !known->second.dirty) found.emplace_back(key);
        });
        if (found.empty()) none_below_ = below;
        std::sort(found.begin(), found.end());
        if (found.size() > limit) found.resize(limit);
        return found;
    }

    // Appends (key, encoded row, or None where deleted) of what changed since `begin`, in the order of first change.
    void encode_dirty(PyObject* records) {
        for (Entry* entry : dirty_) {
            append(records, new_record(bytes_of(prefix + entry->first), encoded(*entry)));
            measure(*entry);
        }
    }
    // New reference to the encoded row, or to None.
    PyObject* encoded(const Entry& entry) {
        if (!entry.second.row) return Py_NewRef(Py_None);
        buffer_.clear();
        Writer to(buffer_);
        entry.second.row->write(to);
        return bytes_of(buffer_);
    }

    std::size_t young_bytes() const { return young_bytes_; }
    void begin() {
        for (Entry* entry : dirty_) entry->second.dirty = false;
        dirty_.clear();
    }
    void turn() {
        gone_ = std::move(old_);
        old_ = std::move(young_);
        young_ = {};
        young_bytes_ = 0;
    }
    // Every row that was read or changed since `begin` is young.
    void forget_young() {
        dirty_.clear();
        young_.clear();
        young_bytes_ = 0;
        none_below_.clear();
    }
    void forget() {
        forget_young();
        old_.clear();
    }

private:
    const Store& store_;
    Rows young_, old_, gone_;
    std::vector<Entry*> dirty_;
    // No row sorts before it, and no rule makes one there: the sweep asks after every event, an iterator costs 9 us.
    std::string none_below_;
    std::size_t young_bytes_ = 0;
    std::string key_, buffer_;

    Entry* find(std::string_view key) {
        key_ = key;
        const auto young = young_.find(key_);
        if (young != young_.end()) return &*young;
        if (old_.empty()) return nullptr;
        auto moving = old_.extract(key_);
        if (!moving) return nullptr;
        free_some();
        young_bytes_ += moving.mapped().bytes;
        return &*young_.insert(std::move(moving)).position;
    }
    Entry& added(std::string_view key) {
        free_some();
        return *young_.try_emplace(std::string(key)).first;
    }
    // Faster than rows become young; to free 5 MB of them at once takes 5 to 10 ms.
    void free_some() {
        for (int rows = 2; rows > 0 && !gone_.empty(); rows--) gone_.erase(gone_.begin());
    }
    void measure(Entry& entry) {
        Slot& slot = entry.second;
        const std::size_t bytes = sizeof(Entry) + 32 + heap_bytes(entry.first) + (slot.row ? slot.row->bytes() : 0);
        young_bytes_ += bytes - slot.bytes;
        slot.bytes = bytes;
    }
};
