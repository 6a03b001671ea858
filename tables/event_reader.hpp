// reco_stream/events.py, compiled for plain events: a record's bytes as an Event, without objects of Python.
//
// `decode_event` is the definition. Of what is wrong with a record, or only unusual, nothing is decided here: the reader
// says that the record is not plain, and Python looks at it.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "../reco_stream/domain/arrays.hpp"
#include "../reco_stream/domain/plain_json.hpp"
#include "../reco_stream/domain/plain_time.hpp"
#include "event.hpp"

constexpr int64_t LAST_TIME_MS = 253'402'300'799'999;  // of the event contract

class EventReader {
public:
    // An event type as the settings and BEST_MARK have it.
    struct Kind {
        std::string name;
        double weight = 0;
        bool negative = false;
        double best_mark = 0;  // 0: `value` changes nothing
        uint32_t number = event_types().add(name);
        int64_t folded = 0;    // counted by whoever folds
    };

    EventReader(std::vector<Kind> kinds, int64_t future_tolerance_ms, std::size_t max_bytes)
        : kinds_(std::move(kinds)), future_tolerance_ms_(future_tolerance_ms), max_bytes_(max_bytes) {}

    // The type of the event that was read into `event`; null when the record is not plain. The event's texts lie in
    // `key`, in `value` and in this reader.
    Kind* read(std::string_view key, std::string_view value, int64_t now_ms, Event& event) {
        if (value.size() > max_bytes_ || !is_utf8(value)) return nullptr;
        seen_ = {};
        if (!read_fields(value) || !seen_[ITEM] || !seen_[TYPE]) return nullptr;
        if (!is_user(key) || !ids_fit()) return nullptr;
        Kind* kind = kind_of(texts_[TYPE]);
        if (kind == nullptr) return nullptr;
        event.user = key;
        event.item = texts_[ITEM];
        event.type = kind->number;
        event.time_ms = has_[TIMESTAMP] ? time_ms_ : now_ms;
        event.weight = kind->weight;
        if (has_[VALUE] && kind->best_mark > 0) event.weight *= std::min(std::max(mark_ / kind->best_mark, 0.0), 1.0);
        event.negative = kind->negative;
        event.session = optional(SESSION);
        event.event_id = optional(EVENT_ID);
        const bool in_time = event.time_ms >= 0 && event.time_ms <= LAST_TIME_MS &&
                             event.time_ms - future_tolerance_ms_ <= now_ms;
        return in_time ? kind : nullptr;
    }

    std::vector<Kind>& kinds() { return kinds_; }

private:
    enum Field { ITEM, TYPE, USER, SESSION, EVENT_ID, RECOMMENDATION, TIMESTAMP, VALUE, METADATA, COUNT };
    static constexpr std::array<std::string_view, COUNT> NAMES = {
        "item_id", "event_type", "user_id", "session_id", "event_id", "recommendation_id", "timestamp", "value", "metadata",
    };
    static constexpr std::size_t MAX_ID_BYTES = 256;
    static constexpr uint64_t MILLISECONDS_FROM = 100'000'000'000;

    std::vector<Kind> kinds_;
    const int64_t future_tolerance_ms_;
    const std::size_t max_bytes_;

    // Of the record that is being read: fields that were there, and that were there and not null.
    std::array<bool, COUNT> seen_, has_;
    std::array<std::string_view, COUNT> texts_;
    std::array<std::string, COUNT> unescaped_;  // where a text lies that was written with escapes
    std::string name_, lower_;
    int64_t time_ms_ = 0;
    double mark_ = 0;

    bool read_fields(std::string_view value) {
        PlainJson json(value);
        has_ = {};
        if (!json.take('{')) return false;
        if (json.take('}')) return false;  // two fields are required
        do {
            std::string_view name;
            if (!json.string(name, name_) || !json.take(':')) return false;
            const auto field = static_cast<std::size_t>(std::find(NAMES.begin(), NAMES.end(), name) - NAMES.begin());
            if (field == COUNT) {
                if (!json.skip()) return false;
                continue;
            }
            if (seen_[field]) return false;
            seen_[field] = true;
            if (json.peek() == 'n') {
                if (field == ITEM || field == TYPE || !json.word("null")) return false;
            } else {
                if (!read_field(json, static_cast<Field>(field))) return false;
                has_[field] = true;
            }
        } while (json.take(','));
        return json.take('}') && json.at_end();
    }

    bool read_field(PlainJson& json, Field field) {
        switch (field) {
            case TYPE: return json.string(texts_[TYPE], unescaped_[TYPE]);
            case TIMESTAMP: return json.peek() == '"' ? read_time(json) : read_epoch(json);
            case VALUE: {
                PlainJson::Number number;
                if (!json.number(number) || (number.negative && number.digits == 0)) return false;
                mark_ = float_of(number);
                return true;
            }
            case METADATA: return json.peek() == '{' && json.skip();
            default: return json.peek() == '"' ? json.string(texts_[field], unescaped_[field]) : read_integer(json, field);
        }
    }
    bool read_integer(PlainJson& json, Field field) {
        PlainJson::Number number;
        if (!json.number(number) || number.negative || !number.is_integer) return false;
        texts_[field] = number.text;
        return true;
    }
    bool read_time(PlainJson& json) {
        if (!json.string(texts_[TIMESTAMP], unescaped_[TIMESTAMP])) return false;
        const auto found = plain_time_ms(texts_[TIMESTAMP]);
        time_ms_ = found.value_or(0);
        return found.has_value();
    }
    bool read_epoch(PlainJson& json) {
        PlainJson::Number number;
        if (!json.number(number) || number.negative) return false;
        if (number.is_integer) {
            if (number.digits > static_cast<uint64_t>(LAST_TIME_MS)) return false;
            const auto found = static_cast<int64_t>(number.digits);
            time_ms_ = number.digits >= MILLISECONDS_FROM ? found : found * 1'000;
            return true;
        }
        const double found = float_of(number);
        if (found > static_cast<double>(LAST_TIME_MS)) return false;
        // To the even one of two, as Python's round() does.
        time_ms_ = static_cast<int64_t>(found >= static_cast<double>(MILLISECONDS_FROM) ? found : std::nearbyint(found * 1000));
        return true;
    }

    // The nearest float, which is what JSON decoders return.
    static double float_of(const PlainJson::Number& number) {
        static constexpr double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,
                                            1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
        constexpr uint64_t EXACT = uint64_t{1} << 53;
        const auto digits = static_cast<double>(number.digits);
        // Both are exact, so there is one rounding.
        if (number.digits <= EXACT) return (number.negative ? -digits : digits) / powers[number.decimals];
        return PyOS_string_to_double(std::string(number.text).c_str(), nullptr, nullptr);
    }

    std::optional<std::string_view> optional(Field field) const {
        return has_[field] ? std::optional(texts_[field]) : std::nullopt;
    }
    // Whether the key is the user of the body.
    bool is_user(std::string_view key) const {
        if (has_[USER]) return key == texts_[USER] && !key.empty() && key[0] != '~';
        return has_[SESSION] && !key.empty() && key[0] == '~' && key.substr(1) == texts_[SESSION];
    }
    bool ids_fit() const {
        return std::all_of(std::begin(IDS), std::end(IDS), [this](Field id) {
            if (!has_[id]) return true;
            const std::string_view text = texts_[id];
            const auto is_control = [](char byte) { return static_cast<unsigned char>(byte) < ' '; };
            return !text.empty() && text.size() <= MAX_ID_BYTES && std::none_of(text.begin(), text.end(), is_control);
        });
    }
    static constexpr Field IDS[] = {ITEM, USER, SESSION, EVENT_ID, RECOMMENDATION};

    // As it is written among those with a weight; else in small letters among all.
    Kind* kind_of(std::string_view written) {
        Kind* known = find(written);
        if (known != nullptr && !known->negative) return known;
        lower_.clear();
        for (const char letter : written) {
            if (static_cast<unsigned char>(letter) >= 0x80) return nullptr;
            lower_ += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 'a' - 'A') : letter;
        }
        return find(lower_);
    }
    Kind* find(std::string_view name) {
        const auto known = std::find_if(kinds_.begin(), kinds_.end(), [=](const Kind& kind) { return kind.name == name; });
        return known == kinds_.end() ? nullptr : &*known;
    }
};
