// SessionStore for Python.

#pragma once

#include "msgpack.hpp"
#include "published_records.hpp"
#include "session_store.hpp"

namespace session_store {

struct Held {
    PyObject_HEAD
    SessionStore* store;
    PyObject *keys, *names;  // what the store refers to
};

inline SessionStore& store_of(PyObject* self) { return *reinterpret_cast<Held*>(self)->store; }

inline void dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    auto* held = reinterpret_cast<Held*>(self);
    delete held->store;
    Py_XDECREF(held->keys);
    Py_XDECREF(held->names);
    type->tp_free(self);
    Py_DECREF(type);
}

template <typename Do>
PyObject* guarded(Do action) {
    try {
        return action();
    } catch (const NotExpected&) {
        return PyErr_Format(PyExc_ValueError, "a session is not what tables/sessions.py encodes");
    } catch (const std::exception& error) {
        return refused(error);
    }
}

inline int64_t integer_of(PyObject* number) {
    const int64_t found = PyLong_AsLongLong(number);
    if (found == -1 && PyErr_Occurred()) throw std::bad_exception();
    return found;
}

inline PyObject* list_of(const Entries& entries) {
    Object list = made(PyList_New(static_cast<Py_ssize_t>(entries.size())));
    for (std::size_t at = 0; at < entries.size(); at++)
        PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(at),
                        made(Py_BuildValue("(IL)", entries[at].first, static_cast<long long>(entries[at].second))).release());
    return list.release();
}

inline PyObject* told(const Change& change) {
    Object added = made(list_of(change.added)), removed = made(list_of(change.removed));
    return Py_BuildValue("(NN)", added.release(), removed.release());
}

// put(key, [(item, type, time_ms)], last_ms) -> (added, removed)
inline PyObject* put(PyObject* self, PyObject* args) {
    PyObject *key, *given;
    long long last_ms;
    if (!PyArg_ParseTuple(args, "UOL", &key, &given, &last_ms)) return nullptr;
    return guarded([&] {
        const Object events = made(PySequence_Fast(given, "wanted a sequence of events"));
        std::vector<std::string_view> items;
        std::vector<int64_t> times;
        for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(events.get()); at++) {
            PyObject *item, *type, *time;
            if (!PyArg_ParseTuple(PySequence_Fast_GET_ITEM(events.get(), at), "UUO", &item, &type, &time))
                throw std::bad_exception();
            items.push_back(text_of(item));
            times.push_back(integer_of(time));
        }
        if (items.empty()) return told(store_of(self).remove(text_of(key)));
        return told(store_of(self).put(text_of(key), items, times, last_ms));
    });
}

// [id, opened_ms, start_ms, last_ms, events, {item: [time_ms, weight, type]}, shared]
inline void put_row(SessionStore& store, std::string_view key, std::string_view row) {
    Reader from(row);
    if (from.array() != 7) throw NotExpected();
    if (!from.nil()) from.string();
    from.integer();
    from.integer();
    const int64_t last_ms = from.integer();
    from.integer();
    std::vector<std::string_view> items(from.map());
    std::vector<int64_t> times;
    for (std::string_view& item : items) {
        item = from.string();
        if (from.array() != 3) throw NotExpected();
        times.push_back(from.integer());
        from.number();
        from.string();
    }
    if (items.empty()) store.remove(key);
    else store.put(key, items, times, last_ms);
}

// take(records, version, hidden) -> newest version
inline PyObject* take(PyObject* self, PyObject* args) {
    PyObject* records;
    unsigned long long version;
    const char* text;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "OKy#", &records, &version, &text, &size)) return nullptr;
    return guarded([&] {
        const std::string_view hidden{text, static_cast<std::size_t>(size)};
        each_published(records, [&](const Published& published) {
            if (starts_with(published.key, hidden)) return;
            if (published.gone) {
                store_of(self).remove(published.key);
            } else if (published.version >= version) {
                version = published.version;
                put_row(store_of(self), published.key, published.row);
            }
        });
        return PyLong_FromUnsignedLongLong(version);
    });
}

inline PyObject* remove(PyObject* self, PyObject* key) {
    return guarded([&] { return told(store_of(self).remove(text_of(key))); });
}

inline PyObject* expire(PyObject* self, PyObject* before_ms) {
    return guarded([&] { return PyLong_FromSize_t(store_of(self).expire(integer_of(before_ms))); });
}

// content(slot) -> [(item number, time_ms)]
inline PyObject* content(PyObject* self, PyObject* slot) {
    return guarded([&] {
        Entries found;
        store_of(self).content(static_cast<std::size_t>(integer_of(slot)), found);
        return list_of(found);
    });
}

// count(half_life_ms) -> number of the counts
inline PyObject* count(PyObject* self, PyObject* half_life_ms) {
    return guarded([&] { return PyLong_FromSize_t(store_of(self).count(integer_of(half_life_ms))); });
}

// counts(number) -> array by item
inline PyObject* counts(PyObject* self, PyObject* number) {
    return guarded([&] {
        const auto at = static_cast<std::size_t>(integer_of(number));
        return Py_NewRef(store_of(self).counts(at).weights.array());
    });
}

inline PyObject* changes(PyObject* self, void*) { return PyLong_FromUnsignedLongLong(store_of(self).changes); }

template <auto column>
PyObject* array(PyObject* self, void*) {
    return Py_NewRef((store_of(self).*column).array());
}

inline PyObject* nbytes(PyObject* self, void*) { return PyLong_FromSize_t(store_of(self).nbytes()); }

inline PyType_Spec spec(const char* name, newfunc make) {
    static PyMethodDef methods[] = {
        {"put", put, METH_VARARGS, nullptr},
        {"take", take, METH_VARARGS, nullptr},
        {"remove", remove, METH_O, nullptr},
        {"expire", expire, METH_O, nullptr},
        {"content", content, METH_O, nullptr},
        {"count", count, METH_O, nullptr},
        {"counts", counts, METH_O, nullptr},
        {nullptr, nullptr, 0, nullptr},
    };
    static PyGetSetDef properties[] = {
        {"items", array<&SessionStore::items>, nullptr, nullptr, nullptr},
        {"order", array<&SessionStore::order>, nullptr, nullptr, nullptr},
        {"table", array<&SessionStore::table>, nullptr, nullptr, nullptr},
        {"support", array<&SessionStore::support>, nullptr, nullptr, nullptr},
        {"posted", array<&SessionStore::posted>, nullptr, nullptr, nullptr},
        {"offsets", array<&SessionStore::offsets>, nullptr, nullptr, nullptr},
        {"item_last_ms", array<&SessionStore::item_last_ms>, nullptr, nullptr, nullptr},
        {"changes", changes, nullptr, nullptr, nullptr},
        {"nbytes", nbytes, nullptr, nullptr, nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr},
    };
    static PyType_Slot slots[] = {
        {Py_tp_new, reinterpret_cast<void*>(make)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_methods, methods},
        {Py_tp_getset, properties},
        {0, nullptr},
    };
    return {name, sizeof(Held), 0, Py_TPFLAGS_DEFAULT, slots};
}

}  // namespace session_store
