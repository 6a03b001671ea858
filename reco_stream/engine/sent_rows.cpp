// What a partition has published, as far as it tells what need not be published (again): for Python one type, that takes
// many rows at a time, and a function for their keys.

#include <cmath>
#include <cstring>
#include <list>
#include <string>
#include <unordered_map>

#include "../domain/arrays.hpp"

namespace {

constexpr double SMALL_MOVE = 0.05;
// Below this size one event is no small move, so there is no need to remember what was published.
constexpr double REMEMBERED_FROM = 1 / SMALL_MOVE;
// Of each kind: what is forgotten is published once more than needed. 12 partitions take up to 30 MB for them.
constexpr std::size_t REMEMBERED_ROWS = 5'000;

PyObject* part(PyObject* tuple, Py_ssize_t at, Py_ssize_t size) {
    if (PyTuple_Check(tuple) && PyTuple_GET_SIZE(tuple) == size) return PyTuple_GET_ITEM(tuple, at);
    PyErr_Format(PyExc_TypeError, "wanted tuples of %zd, found %R", size, tuple);
    throw std::bad_exception();
}

// The newest entries by key.
template <typename T>
class Newest {
public:
    const T* find(std::string_view key) const {
        const auto found = places_.find(key);
        return found == places_.end() ? nullptr : &found->second->second;
    }
    void put(std::string_view key, T value) {
        const auto found = places_.find(key);
        if (found != places_.end()) {
            entries_.splice(entries_.end(), entries_, found->second);
            found->second->second = std::move(value);
            return;
        }
        entries_.emplace_back(key, std::move(value));
        places_.emplace(entries_.back().first, std::prev(entries_.end()));
        if (entries_.size() > REMEMBERED_ROWS) remove(std::string(entries_.front().first));
    }
    void remove(std::string_view key) {
        const auto found = places_.find(key);
        if (found == places_.end()) return;
        const auto entry = found->second;
        places_.erase(found);
        entries_.erase(entry);
    }

private:
    using Entries = std::list<std::pair<std::string, T>>;
    Entries entries_;
    std::unordered_map<std::string_view, typename Entries::iterator> places_;
};

// What a row looked like: its make-up (any difference is a large move), and its size.
struct Measure {
    int64_t make_up;
    double size;
};

class SentRows {
public:
    SentRows(PyObject* measure, PyObject* expand) : measure_(Py_NewRef(measure)), expand_(Py_NewRef(expand)) {}

    // Puts the sealed values of `row` into `batches` and returns their bytes; -1, and nothing, for one that moved little.
    Py_ssize_t take(PyObject* key, PyObject* row, std::string_view stamp, bool everything, PyObject* batches) {
        const std::string_view name = view_of(key);
        Measure measure{};
        const bool measured = row != Py_None && measure_of(key, row, measure);
        if (measured && !everything && is_small_move(name, measure)) return -1;
        if (measured && measure.size >= REMEMBERED_FROM) measures_.put(name, measure);
        else measures_.remove(name);
        PyObject* given[] = {key, row};
        const Object values = values_of(made(PyObject_Vectorcall(expand_.get(), given, 2, nullptr)));
        Py_ssize_t bytes = 0;
        each_new(name, values.get(), [&](PyObject* value) { bytes += seal(value, stamp, batches); });
        return bytes;
    }

    // Calls `found` with each value that `key` did not make last time, and remembers all.
    template <typename Found>
    void each_new(std::string_view key, PyObject* values, Found found) {
        const Py_ssize_t count = PySequence_Fast_GET_SIZE(values);
        if (count < 2) {
            if (count) found(PySequence_Fast_GET_ITEM(values, 0));
            return;
        }
        std::vector<std::size_t> hashes;
        for (Py_ssize_t at = 0; at < count; at++) hashes.push_back(hash(PySequence_Fast_GET_ITEM(values, at)));
        const std::vector<std::size_t>* made_before = hashes_.find(key);
        for (Py_ssize_t at = 0; at < count; at++)
            if (!made_before || !holds(*made_before, hashes[static_cast<std::size_t>(at)]))
                found(PySequence_Fast_GET_ITEM(values, at));
        hashes_.put(key, std::move(hashes));
    }

    // Calls `found` with each of `values` that `key` did not make last time; false when that is not known.
    template <typename Found>
    bool each_other(std::string_view key, PyObject* values, Found found) const {
        const std::vector<std::size_t>* made_before = hashes_.find(key);
        if (!made_before) return false;
        for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(values); at++) {
            PyObject* value = PySequence_Fast_GET_ITEM(values, at);
            if (!holds(*made_before, hash(value))) found(value);
        }
        return true;
    }

    static Object values_of(Object given) { return made(PySequence_Fast(given.get(), "wanted a sequence of values")); }

private:
    Object measure_, expand_;
    Newest<Measure> measures_;
    Newest<std::vector<std::size_t>> hashes_;

    static bool holds(const std::vector<std::size_t>& hashes, std::size_t hash) {
        for (const std::size_t known : hashes)
            if (known == hash) return true;
        return false;
    }
    bool measure_of(PyObject* key, PyObject* row, Measure& measure) const {
        PyObject* given[] = {key, row};
        const Object found = made(PyObject_Vectorcall(measure_.get(), given, 2, nullptr));
        if (found.get() == Py_None) return false;
        measure.make_up = PyLong_AsLongLong(part(found.get(), 0, 2));
        measure.size = PyFloat_AsDouble(part(found.get(), 1, 2));
        if (PyErr_Occurred()) throw std::bad_exception();
        return true;
    }
    bool is_small_move(std::string_view key, const Measure& measure) const {
        const Measure* known = measures_.find(key);
        return known && measure.make_up == known->make_up &&
               std::abs(measure.size - known->size) < SMALL_MOVE * known->size;
    }
    static std::size_t hash(PyObject* value) {
        std::size_t found = static_cast<std::size_t>(PyObject_Hash(part(value, 0, 3)));
        for (const Py_ssize_t at : {1, 2}) {
            const bool none = part(value, at, 3) == Py_None;
            found = found * 31 + (none ? 1 : std::hash<std::string_view>()(view_of(part(value, at, 3))));
        }
        if (PyErr_Occurred()) throw std::bad_exception();
        return found;
    }
    static Py_ssize_t seal(PyObject* value, std::string_view stamp, PyObject* batches) {
        PyObject *key = part(value, 1, 3), *content = part(value, 2, 3);
        PyObject* batch = PyDict_GetItemWithError(batches, part(value, 0, 3));
        if (batch == nullptr) {
            if (!PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, part(value, 0, 3));
            throw std::bad_exception();
        }
        Object sealed(Py_NewRef(Py_None));
        std::string_view text;
        if (content != Py_None) {
            text = view_of(content);
            sealed = made(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(stamp.size() + text.size())));
            std::memcpy(PyBytes_AS_STRING(sealed.get()), stamp.data(), stamp.size());
            std::memcpy(PyBytes_AS_STRING(sealed.get()) + stamp.size(), text.data(), text.size());
        }
        append(batch, new_record(Py_NewRef(key), sealed.release()));
        return static_cast<Py_ssize_t>(view_of(key).size() + text.size());
    }
};

struct Holder {
    PyObject_HEAD
    SentRows* rows;
};

SentRows& rows_of(PyObject* self) { return *reinterpret_cast<Holder*>(self)->rows; }

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject *measure, *expand;
    if (!PyArg_ParseTuple(args, "OO", &measure, &expand)) return nullptr;
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<Holder*>(self)->rows = new SentRows(measure, expand);
    return self;
}

void dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<Holder*>(self)->rows;
    type->tp_free(self);
    Py_DECREF(type);
}

// take(rows, stamp, everything, batches) -> (keys of rows that moved little, bytes put into batches)
PyObject* take(PyObject* self, PyObject* args) {
    PyObject *given, *batches;
    const char* stamp;
    Py_ssize_t stamp_size;
    int everything;
    if (!PyArg_ParseTuple(args, "Oy#pO!", &given, &stamp, &stamp_size, &everything, &PyDict_Type, &batches)) return nullptr;
    try {
        const Object rows = made(PySequence_Fast(given, "wanted a sequence of rows"));
        Object small = made(PyList_New(0));
        Py_ssize_t bytes = 0;
        for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(rows.get()); at++) {
            PyObject* pair = PySequence_Fast_GET_ITEM(rows.get(), at);
            const std::string_view sealed_with{stamp, static_cast<std::size_t>(stamp_size)};
            PyObject *key = part(pair, 0, 2), *row = part(pair, 1, 2);
            const Py_ssize_t taken = rows_of(self).take(key, row, sealed_with, everything, batches);
            if (taken < 0) append(small.get(), Py_NewRef(key));
            else bytes += taken;
        }
        return Py_BuildValue("(Nn)", small.release(), bytes);
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// new_values(key, values) -> [value]
PyObject* new_values(PyObject* self, PyObject* args) {
    PyObject *key, *given;
    if (!PyArg_ParseTuple(args, "SO", &key, &given)) return nullptr;
    try {
        const Object values = SentRows::values_of(Object(Py_NewRef(given)));
        Object found = made(PyList_New(0));
        rows_of(self).each_new(view_of(key), values.get(), [&](PyObject* value) { append(found.get(), Py_NewRef(value)); });
        return found.release();
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// others(key, values) -> [value], or None
PyObject* others(PyObject* self, PyObject* args) {
    PyObject *key, *given;
    if (!PyArg_ParseTuple(args, "SO", &key, &given)) return nullptr;
    try {
        const Object values = SentRows::values_of(Object(Py_NewRef(given)));
        Object found = made(PyList_New(0));
        const auto keep = [&](PyObject* value) { append(found.get(), Py_NewRef(value)); };
        if (rows_of(self).each_other(view_of(key), values.get(), keep)) return found.release();
        Py_RETURN_NONE;
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// note(pending, first_bytes, keys, offset)
PyObject* note(PyObject*, PyObject* args) {
    PyObject *pending, *given, *offset;
    const char* text;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "O!y#OO", &PyDict_Type, &pending, &text, &size, &given, &offset)) return nullptr;
    try {
        const std::string_view first_bytes{text, static_cast<std::size_t>(size)};
        const Object keys = made(PySequence_Fast(given, "wanted a sequence of keys"));
        for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(keys.get()); at++) {
            PyObject* key = PySequence_Fast_GET_ITEM(keys.get(), at);
            const std::string_view name = view_of(key);
            if (!name.empty() && first_bytes.find(name[0]) != name.npos && !PyDict_SetDefault(pending, key, offset))
                return nullptr;
        }
        Py_RETURN_NONE;
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyMethodDef functions[] = {
    {"note", note, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyMethodDef methods[] = {
    {"take", take, METH_VARARGS, nullptr},
    {"new_values", new_values, METH_VARARGS, nullptr},
    {"others", others, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(create)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_methods, methods},
    {0, nullptr},
};
PyType_Spec spec = {"reco_stream.engine.sent_rows.SentRows", sizeof(Holder), 0, Py_TPFLAGS_DEFAULT, slots};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sent_rows", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_sent_rows() {
    PyObject* module = PyModule_Create(&definition);
    auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    if (module == nullptr || type == nullptr || PyModule_AddType(module, type) < 0) return nullptr;
    return module;
}
