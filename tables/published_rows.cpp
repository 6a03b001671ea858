// What a publication reads of encoded rows: for Python three functions, that look at bytes and decode nothing else.

#include "store.hpp"
#include "../reco_stream/domain/item_rows.hpp"

namespace {

template <typename Do>
PyObject* read(const char* what, Do action) {
    try {
        return action();
    } catch (const NotExpected&) {
        return PyErr_Format(PyExc_ValueError, "not a row of %s", what);
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyObject* popularity_size(PyObject*, PyObject* row) {
    return read("popularity", [&] {
        Reader from(view_of(row));
        if (from.array() != 10) throw NotExpected();
        return PyFloat_FromDouble(from.number());
    });
}

PyObject* co_view_size(PyObject*, PyObject* row) {
    return read("co_view", [&] {
        Reader from(view_of(row));
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
        return Py_BuildValue("(nd)", static_cast<Py_ssize_t>(names), weights);
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

// shared_sessions(user, row) -> [(key, session)]
PyObject* shared_sessions(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "shared_sessions takes 2 arguments, found %zd", count);
    return read("sessions", [&] {
        const std::string_view user = view_of(given[0]), row = view_of(given[1]);
        Object found = made(PyList_New(0));
        Reader from(row);
        if (from.array() != 1) throw NotExpected();
        for (std::size_t sessions = from.array(); sessions; sessions--) {
            const std::size_t begin = row.size() - from.left();
            const Session session(from);
            if (!session.shared) continue;
            std::string key(user);
            key.append(1, '\0').append(std::to_string(session.opened_ms)).append(1, '\0').append(session.id);
            const std::string_view encoded = row.substr(begin, row.size() - from.left() - begin);
            append(found.get(), new_record(bytes_of(key), bytes_of(encoded)));
        }
        return found.release();
    });
}

PyMethodDef methods[] = {
    {"popularity_size", popularity_size, METH_O, nullptr},
    {"co_view_size", co_view_size, METH_O, nullptr},
    {"shared_sessions", method(shared_sessions), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "published_rows", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_published_rows() { return PyModule_Create(&definition); }
