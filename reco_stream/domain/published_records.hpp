// What workers publish, as a consumer hands it over: objects with a key and a value, which reco_stream/engine/published.py
// has sealed.

#pragma once

#include <string>

#include "arrays.hpp"

struct Published {
    std::string_view key;
    bool gone;  // without a value; nothing of what follows is set
    uint64_t version;
    int64_t applied, stream_time_ms;
    std::string_view row;
};

inline int64_t big_endian(std::string_view text, std::size_t at) {
    uint64_t found = 0;
    for (std::size_t byte = at; byte < at + 8; byte++) found = found << 8 | static_cast<unsigned char>(text[byte]);
    return static_cast<int64_t>(found);
}

// Calls `action` with each of the records. Throws std::invalid_argument for a value that is shorter than a stamp.
template <typename Do>
void each_published(PyObject* records, Do action) {
    static PyObject* const key_name = PyUnicode_InternFromString("key");
    static PyObject* const value_name = PyUnicode_InternFromString("value");
    const Object found = made(PySequence_Fast(records, "wanted a sequence of records"));
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(found.get()); at++) {
        PyObject* record = PySequence_Fast_GET_ITEM(found.get(), at);
        const Object key = made(PyObject_GetAttr(record, key_name)), value = made(PyObject_GetAttr(record, value_name));
        Published published{view_of(key.get()), value.get() == Py_None, 0, 0, 0, {}};
        if (!published.gone) {
            const std::string_view sealed = view_of(value.get());
            if (sealed.size() < 24) throw std::invalid_argument("a published value is shorter than its stamp");
            published.version = static_cast<uint64_t>(big_endian(sealed, 0));
            published.applied = big_endian(sealed, 8);
            published.stream_time_ms = big_endian(sealed, 16);
            published.row = sealed.substr(24);
        }
        action(published);
    }
}

inline bool starts_with(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }
