// The newest row of each (item number, partition), packed: all partitions of an item in one block of memory.

#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "row_forms.hpp"

struct Version {
    uint64_t epoch;
    int64_t applied;
    bool above(const Version& other) const {
        return epoch != other.epoch ? epoch > other.epoch : applied > other.applied;
    }
};

// A row of one partition; an empty `packed`: it was removed.
struct Entry {
    uint64_t partition;
    Version version;
    std::string_view packed;
};

template <typename Form>
class PackedRows {
public:
    template <typename... Arguments>
    explicit PackedRows(Arguments&... arguments) : form_(arguments...) {}
    ~PackedRows() {
        for (char* block : blocks_) std::free(block);
    }
    PackedRows(const PackedRows&) = delete;
    PackedRows& operator=(const PackedRows&) = delete;

    // Items that have a row.
    std::size_t live() const { return live_; }
    std::size_t nbytes() const { return blocks_.capacity() * sizeof(char*) + bytes_; }

    // An empty `row` removes. False: `version` is not above the known one, and nothing changed.
    bool put(std::size_t number, uint64_t partition, Version version, std::string_view row) {
        const std::string_view block = this->block(number);
        std::size_t begin = block.size(), end = begin;
        bool others = false, was_live = false;
        for (Walk walk(block); walk.next();) {
            was_live |= !walk.entry.packed.empty();
            if (walk.entry.partition == partition) {
                if (!version.above(walk.entry.version)) return false;
                begin = walk.begin;
                end = walk.end;
            } else {
                if (walk.entry.partition > partition && begin == block.size()) begin = end = walk.begin;
                others |= !walk.entry.packed.empty();
            }
        }
        packed_.clear();
        if (!row.empty()) pack(row);
        entry_.assign(block.substr(0, begin));
        put_unsigned(entry_, partition);
        put_unsigned(entry_, version.epoch);
        put_unsigned(entry_, zigzag(version.applied));
        put_unsigned(entry_, packed_.size());
        entry_ += packed_;
        entry_ += block.substr(end);
        store(number, entry_);
        live_ += (others || !row.empty()) - was_live;
        return true;
    }

    // The row as it was put; false when there is none.
    bool get(std::size_t number, uint64_t partition, std::string& row) {
        for (Walk walk(block(number)); walk.next();)
            if (walk.entry.partition == partition) return unpack(walk.entry, row);
        return false;
    }

    // Calls `found(partition, row)` for each row, by rising partition.
    template <typename Found>
    void each(std::size_t number, Found found) {
        for (Walk walk(block(number)); walk.next();)
            if (unpack(walk.entry, row_)) found(walk.entry.partition, row_);
    }

    // Calls `found(partition, head)` with the first fields of each row.
    template <typename Found>
    void each_head(std::size_t number, Found found) const {
        for (Walk walk(block(number)); walk.next();) {
            const std::string_view packed = walk.entry.packed;
            if (packed.empty()) continue;
            const std::string_view rest = packed.substr(1);
            found(walk.entry.partition, packed[0] == AS_IT_IS ? Form::head(Reader(rest)) : Form::head(Short(rest)));
        }
    }

private:
    struct Walk {
        Short from;
        const char* first;
        std::size_t begin = 0, end = 0;
        Entry entry{};

        explicit Walk(std::string_view block) : from(block), first(block.data()) {}
        bool next() {
            if (from.at_end()) return false;
            begin = static_cast<std::size_t>(from.at() - first);
            entry.partition = from.unsigned_number();
            entry.version.epoch = from.unsigned_number();
            entry.version.applied = from.integer();
            entry.packed = from.view(from.unsigned_number());
            end = static_cast<std::size_t>(from.at() - first);
            return true;
        }
    };

    Form form_;
    std::vector<char*> blocks_;  // by number: size, then the entries by rising partition
    std::size_t live_ = 0, bytes_ = 0;
    std::string packed_, entry_, row_;

    std::string_view block(std::size_t number) const {
        if (number >= blocks_.size() || blocks_[number] == nullptr) return {};
        uint32_t size;
        std::memcpy(&size, blocks_[number], sizeof size);
        return {blocks_[number] + sizeof size, size};
    }
    void store(std::size_t number, const std::string& entries) {
        if (number >= blocks_.size()) blocks_.resize(number + 1, nullptr);
        const std::size_t before = block(number).size();
        const auto size = static_cast<uint32_t>(entries.size());
        if (size != before || blocks_[number] == nullptr) {
            auto* block = static_cast<char*>(std::realloc(blocks_[number], sizeof size + size));
            if (block == nullptr) throw std::bad_alloc();
            blocks_[number] = block;
        }
        std::memcpy(blocks_[number], &size, sizeof size);
        std::memcpy(blocks_[number] + sizeof size, entries.data(), size);
        bytes_ += size - before;
    }
    void pack(std::string_view row) {
        try {
            packed_ += '\0';
            form_.pack(row, packed_);
        } catch (const NotExpected&) {
            packed_.assign(1, AS_IT_IS);
            packed_ += row;
        }
    }
    bool unpack(const Entry& entry, std::string& row) {
        if (entry.packed.empty()) return false;
        row.clear();
        if (entry.packed[0] == AS_IT_IS) row = entry.packed.substr(1);
        else form_.unpack(entry.packed.substr(1), row);
        return true;
    }
};
