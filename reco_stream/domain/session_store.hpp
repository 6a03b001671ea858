// The newest sessions of every item, and the items of those sessions: session_index.py says what is kept, and why.
//
// Sessions and items have numbers: a session's is its slot. What queries read lies in numpy's arrays.

#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "columns.hpp"
#include "crc.hpp"
#include "decay.hpp"
#include "numbers.hpp"

// Where blocks of 2, 4, 8, ... entries lie in an array that the owner grows; a block freed is used again.
class Blocks {
public:
    int64_t top = 0;

    // Half of all shopping and news sessions hold two events or fewer.
    static int32_t size_for(std::size_t length) {
        int32_t size = 2;
        while (static_cast<std::size_t>(size) < length) size *= 2;
        return size;
    }
    int64_t allocate(int32_t size) {
        std::vector<int64_t>& free = free_[size];
        if (free.empty()) return std::exchange(top, top + size);
        const int64_t offset = free.back();
        free.pop_back();
        return offset;
    }
    void release(int64_t offset, int32_t size) { free_[size].push_back(offset); }

private:
    std::map<int32_t, std::vector<int64_t>> free_;
};

// (item number, time) of what came and went.
using Entries = std::vector<std::pair<uint32_t, int64_t>>;
struct Change {
    Entries added, removed;
};

// Events by item, decayed forward; with a half-life of 0 none is.
class Counts {
public:
    Column<double> weights{"float64"};

    explicit Counts(int64_t half_life_ms) : half_life_ms_(half_life_ms) {}

    void add(uint32_t number, int64_t time_ms) { weights[number] += grown(time_ms); }
    // `support`: how many sessions still hold the item; rounding leaves nothing of one that none holds.
    void take(uint32_t number, int64_t time_ms, int64_t support) {
        const double left = weights[number] - grown(time_ms);
        weights[number] = left <= 0.0 || !support ? 0.0 : left;
    }

private:
    const int64_t half_life_ms_;
    int64_t landmark_ = 0;

    double grown(int64_t time_ms) {
        if (!half_life_ms_) return 1.0;
        const int64_t landmark = landmark_of(time_ms, half_life_ms_);
        if (landmark > landmark_) {
            const double by = moved(1.0, landmark_, landmark);
            for (std::size_t number = 0; number < weights.size(); number++) weights[number] *= by;
            landmark_ = landmark;
        }
        return growth(time_ms, landmark_, half_life_ms_);
    }
};

class SessionStore {
public:
    uint64_t changes = 0;
    Column<int32_t> items{"int32"};  // of all sessions, in blocks; `times` beside them
    Column<int64_t> times{"int64"};
    Column<int64_t> order{"int64"};  // by slot: last_ms and a hash of the key
    Column<int64_t> table{"int64", 3072};  // by slot: offset, length, last_ms
    Column<int64_t> support{"int64"}, item_last_ms{"int64"};  // by item: postings; time of the newest session
    Column<int64_t> posted{"int64"};  // slots of sessions by item, in blocks
    Column<int64_t> offsets{"int64"};  // by item: where its slots begin, of which there are `support`

    SessionStore(Numbers& keys, Numbers& names, int64_t per_item, std::size_t events, int64_t orphan_age_ms)
        : keys_(keys), names_(names), per_item_(per_item), events_(events), orphan_age_ms_(orphan_age_ms) {}

    // Replaces the session of `key`; `visited`, oldest first, is not empty.
    Change put(std::string_view key, const std::vector<std::string_view>& visited, const std::vector<int64_t>& at_ms,
               int64_t last_ms) {
        const std::size_t slot = slot_of(key), skipped = visited.size() - std::min(visited.size(), events_);
        texts_.assign(visited.begin() + static_cast<std::ptrdiff_t>(skipped), visited.end());
        names_.add_all(texts_, numbers_);
        new_.clear();
        for (std::size_t at = 0; at < numbers_.size(); at++) new_.emplace_back(numbers_[at], at_ms[skipped + at]);
        fit_items();
        // The order is set before the postings change: cutting a full posting back needs the order of every entry.
        const bool turned_back = last_ms < this->last_ms(slot);
        this->last_ms(slot) = last_ms;
        order[slot] = last_ms * (1 << HASH_BITS) + (crc<ZLIB>(key) & ((1 << HASH_BITS) - 1));
        stream_ms_ = std::max(stream_ms_, last_ms);
        Change change;
        write(slot, change);
        for (const uint32_t number : numbers_)  // of a session that got shorter: look again
            item_last_ms[number] = turned_back ? newest_ms(number) : std::max(item_last_ms[number], last_ms);
        drop_orphans();
        return counted(change);
    }

    Change remove(std::string_view key) {
        const int64_t slot = keys_.find(key);
        return slot == Numbers::UNKNOWN ? Change() : remove(static_cast<std::size_t>(slot));
    }
    std::size_t expire(int64_t before_ms) {
        std::size_t removed = 0;
        for (std::size_t slot = 0; slot < slots_.size(); slot++) {
            if (!slots_[slot].block || last_ms(slot) >= before_ms) continue;
            remove(slot);
            removed++;
        }
        return removed;
    }

    // Counts events from now on; the number of the counts is the argument of `counts`.
    std::size_t count(int64_t half_life_ms) {
        counts_.emplace_back(half_life_ms);
        return counts_.size() - 1;
    }
    const Counts& counts(std::size_t number) {
        counts_.at(number).weights.fit(names_.bound());
        return counts_[number];
    }

    // Items and times of a session, oldest first; none of a slot that is free.
    void content(std::size_t slot, Entries& to) const {
        to.clear();
        if (slot >= slots_.size() || !slots_[slot].block) return;
        const auto from = static_cast<std::size_t>(offset(slot));
        for (std::size_t at = from; at < from + static_cast<std::size_t>(length(slot)); at++)
            to.emplace_back(items[at], times[at]);
    }
    std::size_t nbytes() const {
        return 12 * static_cast<std::size_t>(arena_.top) + 8 * static_cast<std::size_t>(posting_blocks_.top) +
               40 * slots_.size() + 32 * postings_.size();
    }

private:
    static constexpr int HASH_BITS = 22;  // 41 hold the time

    struct Slot {
        int32_t block = 0, references = 0;  // size of its block, 0: the slot is free; postings that hold it
    };
    struct Posting {
        int32_t count = 0, room = 0;  // entries that fit: the size of the block, or the limit
    };
    Numbers& keys_;
    Numbers& names_;
    const int64_t per_item_;
    const std::size_t events_;
    const int64_t orphan_age_ms_;
    int64_t stream_ms_ = 0;
    std::vector<Slot> slots_;
    std::vector<Posting> postings_;
    std::deque<std::size_t> orphans_;  // sessions that no posting held any more
    Blocks arena_, posting_blocks_;
    std::deque<Counts> counts_;
    std::vector<std::string_view> texts_;  // of a put, as the next ones
    std::vector<uint32_t> numbers_, seen_;
    Entries new_, old_;
    std::vector<std::pair<int64_t, int64_t>> by_order_;

    int64_t& offset(std::size_t slot) { return table[3 * slot]; }
    int64_t offset(std::size_t slot) const { return table[3 * slot]; }
    int64_t& length(std::size_t slot) { return table[3 * slot + 1]; }
    int64_t length(std::size_t slot) const { return table[3 * slot + 1]; }
    int64_t& last_ms(std::size_t slot) { return table[3 * slot + 2]; }

    const Change& counted(const Change& change) {
        changes++;
        for (Counts& counts : counts_) {
            counts.weights.fit(names_.bound());
            for (const auto& [number, time_ms] : change.added) counts.add(number, time_ms);
            for (const auto& [number, time_ms] : change.removed) counts.take(number, time_ms, support[number]);
        }
        return change;
    }

    // -- sessions ------------------------------------------------------------------------------------------------

    std::size_t slot_of(std::string_view key) {
        const std::size_t slot = keys_.add(key);
        if (slot == slots_.size()) {
            slots_.emplace_back();
            order.fit(slots_.size());
            table.fit(3 * slots_.size());
        }
        if (!slots_[slot].block) length(slot) = last_ms(slot) = 0;
        return slot;
    }

    Change remove(std::size_t slot) {
        Change change;
        content(slot, change.removed);
        distinct(change.removed, 0);
        for (const uint32_t number : seen_) unpost(number, slot);
        free(slot);
        return counted(change);
    }

    void free(std::size_t slot) {
        if (!slots_[slot].block) return;
        keys_.remove(slot);
        arena_.release(offset(slot), slots_[slot].block);
        slots_[slot] = Slot();
        length(slot) = 0;
    }

    // Puts the numbers of the entries from `first` on, each once, into `seen_`.
    void distinct(const Entries& entries, std::size_t first) {
        seen_.clear();
        for (std::size_t at = first; at < entries.size(); at++)
            if (std::find(seen_.begin(), seen_.end(), entries[at].first) == seen_.end())
                seen_.push_back(entries[at].first);
    }
    static bool holds(const Entries& entries, uint32_t number) {
        return std::any_of(entries.begin(), entries.end(), [number](const auto& entry) { return entry.first == number; });
    }

    // Makes `new_` the content of the slot.
    void write(std::size_t slot, Change& change) {
        content(slot, old_);
        const std::size_t kept = old_.size();
        distinct(old_, 0);
        const bool complete = slots_[slot].references == static_cast<int32_t>(seen_.size());  // no item has pushed it out
        if (complete && kept <= new_.size() && std::equal(old_.begin(), old_.end(), new_.begin())) {
            store(slot, kept);
            distinct(new_, kept);
            for (const uint32_t number : seen_)
                if (!holds(old_, number)) post(number, slot);
            change.added.assign(new_.begin() + static_cast<std::ptrdiff_t>(kept), new_.end());
            return;
        }
        difference(change);
        store(slot, 0);
        distinct(new_, 0);
        for (const uint32_t number : seen_)
            if (!holds(old_, number) || (!complete && !is_posted(number, slot))) post(number, slot);
        distinct(old_, 0);
        for (const uint32_t number : seen_)
            if (!holds(new_, number)) unpost(number, slot);
    }

    // What is in `new_` only and what is in `old_` only, as multisets.
    void difference(Change& change) const {
        change.removed = old_;
        for (const auto& entry : new_) {
            const auto same = std::find(change.removed.begin(), change.removed.end(), entry);
            if (same == change.removed.end()) change.added.push_back(entry);
            else change.removed.erase(same);
        }
    }

    // Writes `new_`, of which the first `kept` are there.
    void store(std::size_t slot, std::size_t kept) {
        int32_t& block = slots_[slot].block;
        if (new_.size() > static_cast<std::size_t>(block)) {
            if (block) arena_.release(offset(slot), block);
            block = Blocks::size_for(new_.size());
            offset(slot) = arena_.allocate(block);
            items.fit(static_cast<std::size_t>(arena_.top));
            times.fit(static_cast<std::size_t>(arena_.top));
            kept = 0;
        }
        const auto to = static_cast<std::size_t>(offset(slot));
        for (std::size_t at = kept; at < new_.size(); at++) {
            items[to + at] = static_cast<int32_t>(new_[at].first);
            times[to + at] = new_[at].second;
        }
        length(slot) = static_cast<int64_t>(new_.size());
    }

    // Frees sessions that no posting has held for long: two a put, so that the queue shrinks and no put is slow.
    void drop_orphans() {
        for (int turn = 0; turn < 2 && !orphans_.empty(); turn++) {
            const std::size_t slot = orphans_.front();
            if (slots_[slot].block && slots_[slot].references == 0) {
                if (last_ms(slot) >= stream_ms_ - orphan_age_ms_) return;
                free(slot);
            }
            orphans_.pop_front();
        }
    }

    // -- postings ------------------------------------------------------------------------------------------------

    void fit_items() {
        postings_.resize(std::max(postings_.size(), names_.bound()));
        support.fit(postings_.size());
        item_last_ms.fit(postings_.size());
        offsets.fit(postings_.size());
    }
    int64_t* begin(uint32_t number) { return &posted[0] + offsets[number]; }
    int64_t* end(uint32_t number) { return begin(number) + postings_[number].count; }

    bool is_posted(uint32_t number, std::size_t slot) {
        return std::find(begin(number), end(number), static_cast<int64_t>(slot)) != end(number);
    }
    int64_t newest_ms(uint32_t number) {
        int64_t newest = 0;
        for (const int64_t* slot = begin(number); slot != end(number); slot++)
            newest = std::max(newest, last_ms(static_cast<std::size_t>(*slot)));
        return newest;
    }

    void post(uint32_t number, std::size_t slot) {
        Posting& posting = postings_[number];
        if (posting.count == posting.room) {
            if (posting.count == 2 * per_item_) cut(number);
            else move(number, std::min<int64_t>(Blocks::size_for(static_cast<std::size_t>(posting.count) + 1), 2 * per_item_));
        }
        *end(number) = static_cast<int64_t>(slot);
        support[number] = ++posting.count;
        slots_[slot].references++;
    }

    void unpost(uint32_t number, std::size_t slot) {
        Posting& posting = postings_[number];
        const int64_t* kept = std::remove(begin(number), end(number), static_cast<int64_t>(slot));
        if (kept != end(number)) {
            support[number] = --posting.count;
            slots_[slot].references--;
            if (!posting.count) move(number, 0);
            item_last_ms[number] = newest_ms(number);
        }
        if (!posting.count && names_.has(number)) names_.remove(number);
    }

    // Keeps the newest of a full posting; sessions that nothing refers to any more become orphans.
    void cut(uint32_t number) {
        by_order_.clear();
        for (const int64_t* slot = begin(number); slot != end(number); slot++)
            by_order_.emplace_back(order[static_cast<std::size_t>(*slot)], *slot);
        const auto first_kept = by_order_.end() - per_item_;
        std::nth_element(by_order_.begin(), first_kept, by_order_.end());
        for (auto dropped = by_order_.begin(); dropped != first_kept; ++dropped) {
            const auto slot = static_cast<std::size_t>(dropped->second);
            if (--slots_[slot].references == 0) orphans_.push_back(slot);
        }
        std::transform(first_kept, by_order_.end(), begin(number), [](const auto& kept) { return kept.second; });
        postings_[number].count = static_cast<int32_t>(per_item_);
    }

    // Gives the posting a block with room for so many, more than it has; or none.
    void move(uint32_t number, int64_t room) {
        Posting& posting = postings_[number];
        const int64_t from = offsets[number];
        int64_t to = 0;
        if (room) {
            to = posting_blocks_.allocate(Blocks::size_for(static_cast<std::size_t>(room)));
            posted.fit(static_cast<std::size_t>(posting_blocks_.top));
            std::copy(begin(number), end(number), &posted[0] + to);
        }
        if (posting.room) posting_blocks_.release(from, Blocks::size_for(static_cast<std::size_t>(posting.room)));
        offsets[number] = to;
        posting.room = static_cast<int32_t>(room);
    }
};
