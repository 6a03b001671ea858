// sessions.py, compiled.

#pragma once

#include "event.hpp"

struct Visit {
    std::string item;
    int64_t time_ms;
    double weight;
    uint32_t type;
};

struct Session {
    std::optional<std::string> id;
    int64_t opened_ms = 0, start_ms = 0, last_ms = 0, events = 0;
    std::vector<Visit> items;
    bool shared = false;

    // Whether the event's item is new in the session.
    bool visit(const Event& event, const Rules& rules) {
        events++;
        Visit visit{{}, event.time_ms, event.weight + 0.0, event.type};
        const auto known = found(items, event.item);
        const bool is_new = known == items.end();
        if (is_new) {
            visit.item = event.item;
        } else {
            if (!(visit.weight > known->weight)) {
                visit.weight = known->weight;
                visit.type = known->type;
            }
            visit.time_ms = std::max(visit.time_ms, known->time_ms);
            visit.item = std::move(known->item);
            items.erase(known);
        }
        if (event.time_ms >= last_ms) last_ms = event.time_ms;
        else start_ms = std::min(start_ms, event.time_ms);
        insert(items, std::move(visit), rules.session_items);
        return is_new;
    }

    void read(Reader& from) {
        if (from.array() != 7) throw NotExpected();
        id.reset();
        if (!from.nil()) id = from.string();
        opened_ms = from.integer();
        start_ms = from.integer();
        last_ms = from.integer();
        events = from.integer();
        items.resize(from.map());
        for (Visit& visit : items) {
            visit.item = from.string();
            if (from.array() != 3) throw NotExpected();
            visit.time_ms = from.integer();
            visit.weight = from.number();
            visit.type = event_types().add(from.string());
        }
        shared = from.boolean();
    }
    void write(Writer& to) const {
        to.array(7);
        if (id) to.string(*id);
        else to.nil();
        to.integer(opened_ms);
        to.integer(start_ms);
        to.integer(last_ms);
        to.integer(events);
        to.map(items.size());
        for (const Visit& visit : items) {
            to.string(visit.item);
            to.array(3);
            to.integer(visit.time_ms);
            to.number(visit.weight);
            to.string(event_types().text(visit.type));
        }
        to.boolean(shared);
    }
};

struct Sessions {
    std::vector<Session> kept;

    // The session that the event belongs to; nullptr when it is too late. One that a new one pushes out goes to `ended`.
    Session* join(const Event& event, const Rules& rules, std::vector<Session>& ended) {
        const int64_t time_ms = event.time_ms, gap_ms = rules.session_gap_ms;
        int64_t newest_ms = -1;
        for (auto session = kept.rbegin(); session != kept.rend(); ++session) {
            if (session->start_ms - gap_ms <= time_ms && time_ms <= session->last_ms + gap_ms &&
                session->id == event.session)
                return &*session;
            newest_ms = std::max(newest_ms, session->last_ms);
        }
        if (newest_ms > time_ms) return nullptr;
        Session& opened = kept.emplace_back();
        if (event.session) opened.id = *event.session;
        opened.opened_ms = opened.start_ms = opened.last_ms = time_ms;
        if (static_cast<int64_t>(kept.size()) > rules.sessions_kept) {
            const auto oldest = std::min_element(kept.begin(), kept.end() - 1, [](const Session& one, const Session& other) {
                return one.last_ms < other.last_ms;
            });
            ended.push_back(std::move(*oldest));
            kept.erase(oldest);
        }
        return &kept.back();
    }

    std::size_t bytes() const {
        std::size_t bytes = heap_bytes(kept);
        for (const Session& session : kept) bytes += entry_bytes(session.items) + heap_bytes(session.id.value_or(""));
        return bytes;
    }
    void read(Reader& from) {
        if (from.array() != 1) throw NotExpected();
        kept.resize(from.array());
        for (Session& session : kept) session.read(from);
    }
    void write(Writer& to) const {
        to.array(1);
        to.array(kept.size());
        for (const Session& session : kept) session.write(to);
    }
};
