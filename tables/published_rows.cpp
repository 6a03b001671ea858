// What a publication reads of encoded rows: for Python two functions, that look at bytes and decode nothing else.

#include "store.hpp"
#include "../reco_stream/domain/item_rows.hpp"

namespace {

// Prefixes of the tables.
constexpr char POPULARITY = 'p', CO_VIEW = 'c', SESSIONS = 's';

template <typename Do>
PyObject* read(Do action) {
    try {
        return action();
    } catch (const NotExpected&) {
        return PyErr_Format(PyExc_ValueError, "not a row of the table that its key names");
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyObject* sized(Py_ssize_t make_up, double size) {
    const Object first = made(PyLong_FromSsize_t(make_up)), second = made(PyFloat_FromDouble(size));
    return PyTuple_Pack(2, first.get(), second.get());
}

// What tells how far a row moves: popularity by its weight, co-view by all its pairs' and by every pair that comes or goes.
PyObject* popularity_size(Reader from) {
    if (from.array() != 10) throw NotExpected();
    return sized(0, from.number());
}

PyObject* co_view_size(Reader from) {
    if (from.array() != 4) throw NotExpected();
    from.integer();
    from.integer();
    const std::size_t names = std::hash<std::string_view>()(from.string());
    const std::string_view pairs = from.binary();
    double weights = 0.0;
    for (std::size_t at = 0; at + sizeof(CoViewRow::Pair) <= pairs.size(); at += sizeof(CoViewRow::Pair)) {
        double weight;
        std::memcpy(&weight, &pairs[at], sizeof weight);
        weights += weight;
    }
    return sized(static_cast<Py_ssize_t>(names), weights);
}

char prefix_of(std::string_view key) { return key.empty() ? '\0' : key[0]; }

// measure(key, row) -> (make-up, size) or None
PyObject* measure(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "measure takes 2 arguments, found %zd", count);
    return read([&] {
        const char prefix = prefix_of(view_of(given[0]));
        if (prefix == POPULARITY) return popularity_size(Reader(view_of(given[1])));
        if (prefix == CO_VIEW) return co_view_size(Reader(view_of(given[1])));
        return Py_NewRef(Py_None);
    });
}

// Goes past a session; as it lies in a row, so it is encoded by itself.
struct Session {
    std::string_view id;
    int64_t opened_ms;
    bool shared;

    explicit Session(Reader& from) {
        if (from.array() != 7) throw NotExpected();
        if (!from.nil()) id = from.string();
        opened_ms = from.integer();
        for (int skipped = 0; skipped < 3; skipped++) from.integer();
        for (std::size_t items = from.map(); items; items--) {
            from.string();
            if (from.array() != 3) throw NotExpected();
            from.integer();
            from.number();
            from.string();
        }
        shared = from.boolean();
    }
};

// Of a user's row the shared sessions, each under user, NUL, opening time, NUL, id.
void put_sessions(PyObject* topic, std::string_view user, std::string_view row, PyObject* found) {
    Reader from(row);
    if (from.array() != 1) throw NotExpected();
    for (std::size_t sessions = from.array(); sessions; sessions--) {
        const std::size_t begin = row.size() - from.left();
        const Session session(from);
        if (!session.shared) continue;
        std::string key(user);
        key.append(1, '\0').append(std::to_string(session.opened_ms)).append(1, '\0').append(session.id);
        const std::string_view encoded = row.substr(begin, row.size() - from.left() - begin);
        append(found, Py_BuildValue("(ONN)", topic, bytes_of(key), bytes_of(encoded)));
    }
}

// values(item_stats_topic, sessions_topic, key, row) -> [(topic, key, value)]
PyObject* values(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 4) return PyErr_Format(PyExc_TypeError, "values takes 4 arguments, found %zd", count);
    return read([&] {
        PyObject *key = given[2], *row = given[3];
        const std::string_view name = view_of(key);
        Object found = made(PyList_New(0));
        if (prefix_of(name) != SESSIONS) append(found.get(), PyTuple_Pack(3, given[0], key, row));
        else if (row != Py_None) put_sessions(given[1], name.substr(1), view_of(row), found.get());
        return found.release();
    });
}

PyMethodDef methods[] = {
    {"measure", method(measure), METH_FASTCALL, nullptr},
    {"values", method(values), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "published_rows", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_published_rows() { return PyModule_Create(&definition); }
