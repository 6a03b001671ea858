// fold.py and expiry.py, compiled: what one event does to the rows of its partition.

#pragma once

#include "co_view.hpp"
#include "dedupe.hpp"
#include "popularity.hpp"
#include "recent.hpp"
#include "row_cache.hpp"

// A row of expiry: nothing, or the last stream day of which no user is left.
struct Expiry {
    int64_t day = 0;

    std::size_t bytes() const { return 0; }
    void read(Reader& from) { day = from.integer(); }
    void write(Writer& to) const { to.integer(day); }
};

class Fold {
public:
    Fold(PyObject* store, const Rules& rules, std::size_t budget_bytes)
        : rules_(rules), store_(store), half_budget_(budget_bytes / 2) {}

    int64_t stream_time_ms = 0;

    void fold(const Event& event) {
        stream_time_ms = std::max(stream_time_ms, event.time_ms);
        if (!event.event_id || first_time(event)) {
            auto& row = touched(event.user);
            if (event.negative) {
                row.second.row->exclude(event, rules_);
                recent_.mark(row);
            } else {
                const bool new_user = row.second.row->newest_ms < 0;
                row.second.row->see(event, rules_);
                recent_.mark(row);
                fold_session(event, new_user);
            }
        }
        sweep();
    }
    // New reference to the encoded row of a table, or to None.
    PyObject* get(char prefix, std::string_view key) {
        PyObject* found = nullptr;
        each([&](auto& cache) {
            if (cache.prefix == prefix) found = cache.encoded(cache.load(key));
        });
        return found ? found : throw std::invalid_argument("no table has this prefix");
    }

    void begin(int64_t at_ms) {
        std::size_t bytes = 0;
        each([&](auto& cache) {
            cache.begin();
            bytes += cache.young_bytes();
        });
        if (bytes > half_budget_) each([](auto& cache) { cache.turn(); });
        stream_time_ms = saved_ms_ = at_ms;
        forget_left();
    }
    void encode_dirty(PyObject* records) {
        each([=](auto& cache) { cache.encode_dirty(records); });
    }
    // Appends (key, row) of each user's sessions that are in the row no more.
    void leaving(PyObject* records) const {
        for (const auto& [user, sessions] : left_) {
            std::string row;
            Writer to(row);
            sessions.write(to);
            append(records, new_record(bytes_of(sessions_.prefix + user), bytes_of(row)));
        }
    }
    void discard() {
        each([](auto& cache) { cache.forget_young(); });
        stream_time_ms = saved_ms_;
        forget_left();
    }
    void clear() {
        each([](auto& cache) { cache.forget(); });
        forget_left();
    }
    void resize(std::size_t budget_bytes) { half_budget_ = budget_bytes / 2; }

private:
    static constexpr std::size_t SWEEP = 4;

    Rules rules_;
    Store store_;
    Hashes hashes_;
    std::size_t half_budget_;
    int64_t saved_ms_ = 0;
    RowCache<Recent> recent_{store_, "recent", 'r'};
    RowCache<Sessions> sessions_{store_, "sessions", 's'};
    RowCache<Popularity> popularity_{store_, "popularity", 'p'};
    RowCache<CoView> co_view_{store_, "co_view", 'c'};
    RowCache<Dedupe> dedupe_{store_, "dedupe", 'd'};
    RowCache<Expiry> expiry_{store_, "expiry", 'x'};
    std::vector<std::pair<std::string, Sessions>> left_;  // sessions that are in no row any more, by user
    std::unordered_map<std::string, std::size_t> left_at_;
    std::vector<Session> ended_;
    std::vector<Gain> gains_;

    template <typename Do>
    void each(Do action) {
        action(recent_);
        action(sessions_);
        action(popularity_);
        action(co_view_);
        action(dedupe_);
        action(expiry_);
    }

    void forget_left() {
        left_.clear();
        left_at_.clear();
    }

    bool first_time(const Event& event) {
        auto& entry = dedupe_.load(event.user);
        auto& row = entry.second.row;
        const std::string hashed = hashes_.id(*event.event_id);
        if (!row) row.emplace();
        if (!row->add(hashed, stream_time_ms, rules_)) return false;
        dedupe_.mark(entry);
        return true;
    }

    void fold_session(const Event& event, bool new_user) {
        // A user who has seen nothing has no sessions.
        auto& entry = new_user ? sessions_.place(event.user) : sessions_.load(event.user);
        if (!entry.second.row) entry.second.row.emplace();
        Session* session = entry.second.row->join(event, rules_, ended_);
        leave(event.user);
        gains_.clear();
        bool new_in_session = false;
        if (session) {
            gains_of(*session, event, rules_, gains_);
            new_in_session = session->visit(event, rules_);
        }
        auto& item = popularity_.load(event.item);
        const bool new_item = !item.second.row;
        const int64_t events = count(item, event, new_in_session);
        if (session) {
            share(*session, event.user, events);
            sessions_.mark(entry);
        }
        if (!gains_.empty()) fold_pairs(event, new_item);
    }

    int64_t count(RowCache<Popularity>::Entry& entry, const Event& event, bool new_in_session) {
        if (!entry.second.row) entry.second.row.emplace();
        Popularity& row = *entry.second.row;
        row.sessions += new_in_session;
        const int64_t half_life_ms = rules_.popularity_half_life_ms;
        const int64_t landmark = landmark_of(stream_time_ms, half_life_ms);
        row.count(event, stream_time_ms, landmark, growth(event.time_ms, landmark, half_life_ms));
        popularity_.mark(entry);
        return row.open_events();
    }

    void share(Session& session, std::string_view user, int64_t events) const {
        if (session.shared) return;
        const auto limit = static_cast<double>(rules_.sessions_shared);
        session.shared = events <= rules_.sessions_shared || draw(session, user) * static_cast<double>(events) < limit;
    }
    double draw(const Session& session, std::string_view user) const {
        std::string text(user);
        text += '/' + std::to_string(session.opened_ms) + '/' + session.id.value_or("None");
        return hashes_.crc32(text) / 4294967296.0;
    }

    void fold_pairs(const Event& event, bool new_item) {
        const int64_t day = stream_time_ms / DAY_MS;
        const int64_t landmark = landmark_of(stream_time_ms, rules_.co_view_half_life_ms);
        const double factor = growth(event.time_ms, landmark, rules_.co_view_half_life_ms);
        // An item without events has no pairs.
        auto& entry = new_item ? co_view_.place(event.item) : co_view_.load(event.item);
        CoView& row = aged(entry, landmark, day);
        for (const Gain& gain : gains_) {
            const double weight = gain.weight * factor;
            row.add_pair(gain.other, weight, gain.first, event.time_ms, rules_.co_view_limit);
            auto& mirror = co_view_.load(gain.other);
            aged(mirror, landmark, day).add_pair(event.item, weight, gain.first, event.time_ms, rules_.co_view_limit);
            co_view_.mark(mirror);
        }
        co_view_.mark(entry);
    }
    CoView& aged(RowCache<CoView>::Entry& entry, int64_t landmark, int64_t day) {
        auto& row = entry.second.row;
        if (row) row->age(landmark, day, rules_.co_view_window_ms);
        else row.emplace().start(landmark, day);
        return *row;
    }

    // -- expiry.py ---------------------------------------------------------------------------------------------------

    static std::string due_key(int64_t due_day, std::string_view user) {
        std::string day = std::to_string(due_day);
        day.insert(0, 6 - std::min<std::size_t>(day.size(), 6), '0');
        return day.append(user);
    }

    // The user's recent row, alive and indexed as active at stream time; the caller marks it.
    RowCache<Recent>::Entry& touched(std::string_view user) {
        const int64_t today = stream_time_ms / DAY_MS, ttl_ms = rules_.ttl_ms(user);
        const int64_t due_day = (stream_time_ms + ttl_ms) / DAY_MS + 1;
        auto& entry = recent_.load(user);
        auto& row = entry.second.row;
        if (row && row->due_day == due_day) return entry;
        if (!row) {
            row.emplace();
        } else {
            expiry_.remove(due_key(row->due_day, user));
            if (row->due_day <= today) {  // due, but the sweep has not come to it
                forget_sessions(user);
                row.emplace();
            } else {
                row->prune(stream_time_ms - ttl_ms);
            }
        }
        row->due_day = due_day;
        put_expiry(due_key(due_day, user), 0);
        return entry;
    }
    void sweep() {
        const int64_t today = stream_time_ms / DAY_MS;
        const auto& swept = expiry_.load("swept").second.row;
        if (swept && swept->day == today) return;
        const auto due = expiry_.first_keys(due_key(today + 1, ""), SWEEP);
        for (const std::string& key : due) {
            const std::string user = key.substr(6);
            expiry_.remove(key);
            forget_sessions(user);
            recent_.remove(user);
            dedupe_.remove(user);
        }
        if (due.size() < SWEEP) put_expiry("swept", today);
    }
    void put_expiry(std::string_view key, int64_t day) {
        auto& entry = expiry_.place(key);
        entry.second.row.emplace().day = day;
        expiry_.mark(entry);
    }
    void forget_sessions(std::string_view user) {
        if (auto& row = sessions_.load(user).second.row) std::swap(ended_, row->kept);
        leave(user);
        sessions_.remove(user);
    }
    void leave(std::string_view user) {
        if (ended_.empty()) return;
        const auto [at, is_new] = left_at_.try_emplace(std::string(user), left_.size());
        if (is_new) left_.emplace_back(user, Sessions());
        for (Session& session : ended_) left_[at->second].second.kept.push_back(std::move(session));
        ended_.clear();
    }
};
