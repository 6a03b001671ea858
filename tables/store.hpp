// What the compiled fold asks of Python: a partition's store, and two hash functions. Errors of Python are
// std::bad_exception here.

#pragma once

#include "../reco_stream/domain/arrays.hpp"
#include "event.hpp"

// A stored row is not what its table encodes: StoreFailed in Python.
struct Undecodable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline PyObject* bytes_of(std::string_view text) {
    return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

// What reco_stream.engine.store.PartitionStore answers.
class Store {
public:
    explicit Store(PyObject* store)
        : get_(made(PyObject_GetAttrString(store, "get"))), scan_(made(PyObject_GetAttrString(store, "scan"))) {}

    // None is no object.
    Object get(char prefix, std::string_view key) const {
        Object found = made(PyObject_CallOneArg(get_.get(), stored(prefix, key).get()));
        return Object(found.get() == Py_None ? nullptr : found.release());
    }
    // Calls `seen` with up to `limit` keys under `below`, ascending.
    template <typename Seen>
    void scan(char prefix, std::string_view below, std::size_t limit, Seen seen) const {
        const Object first = stored(prefix, ""), end = stored(prefix, below);
        const Object rows = made(PyObject_CallFunctionObjArgs(scan_.get(), first.get(), end.get(), nullptr));
        while (limit--) {
            const Object row(PyIter_Next(rows.get()));
            if (!row) break;
            seen(view_of(made(PySequence_GetItem(row.get(), 0)).get()).substr(1));
        }
        if (PyErr_Occurred()) throw std::bad_exception();
    }

private:
    Object get_, scan_;

    static Object stored(char prefix, std::string_view key) {
        Object made_key = made(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(key.size() + 1)));
        char* to = PyBytes_AS_STRING(made_key.get());
        *to = prefix;
        std::memcpy(to + 1, key.data(), key.size());
        return made_key;
    }
};

// hashlib.blake2b and zlib.crc32 of Python.
class Hashes {
public:
    Hashes() {
        const Object hashlib = made(PyImport_ImportModule("tables.dedupe")), zlib = made(PyImport_ImportModule("zlib"));
        hash_id_ = made(PyObject_GetAttrString(hashlib.get(), "hash_id"));
        crc32_ = made(PyObject_GetAttrString(zlib.get(), "crc32"));
    }
    // The 8 bytes that stand for an event id.
    std::string id(std::string_view text) const {
        const Object given = made(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
        return std::string(view_of(made(PyObject_CallOneArg(hash_id_.get(), given.get())).get()));
    }
    uint32_t crc32(std::string_view text) const {
        const Object found = made(PyObject_CallOneArg(crc32_.get(), made(bytes_of(text)).get()));
        return static_cast<uint32_t>(PyLong_AsUnsignedLongMask(found.get()));
    }

private:
    Object hash_id_, crc32_;
};
