// The rules of the tables, compiled, over the rows of one partition: for Python the class CompiledRows. The class
// EventReader (event_reader.hpp) says what a record is to its method `fold_plain`.
//
// fold.hpp is the order of the rules; recent.hpp, sessions.hpp, popularity.hpp, co_view.hpp and dedupe.hpp hold one table
// each; row_cache.hpp keeps the rows. The Python modules of the same names are the definition: the bytes are the same.

#include "../reco_stream/domain/crc.hpp"
#include "../reco_stream/domain/murmur2.hpp"
#include "event_reader.hpp"
#include "fold.hpp"

namespace {

PyObject *struct_error = nullptr, *store_failed = nullptr;

PyObject* failed(const std::exception& error) {
    if (PyErr_Occurred()) return nullptr;
    PyObject* kind = PyExc_ValueError;
    if (dynamic_cast<const std::overflow_error*>(&error)) kind = PyExc_OverflowError;
    if (dynamic_cast<const DoesNotFit*>(&error)) kind = struct_error;
    if (dynamic_cast<const Undecodable*>(&error)) kind = store_failed;
    PyErr_SetString(kind, error.what());
    return nullptr;
}

template <typename Do>
PyObject* guarded(Do action) {
    try {
        return action();
    } catch (const std::exception& error) {
        return failed(error);
    }
}

int64_t integer_of(PyObject* number) {
    const int64_t found = PyLong_AsLongLong(number);
    if (found == -1 && PyErr_Occurred()) throw std::bad_exception();
    return found;
}

// -- the rules and an event ------------------------------------------------------------------------------------------

int64_t rule(PyObject* rules, const char* name, int64_t least) {
    const int64_t found = integer_of(made(PyObject_GetAttrString(rules, name)).get());
    if (found < least) throw std::invalid_argument(std::string(name) + " is too small");
    return found;
}

Rules rules_of(PyObject* rules) {
    Rules found;
    found.recent_limit = rule(rules, "recent_limit", 1);
    found.excluded_limit = rule(rules, "excluded_limit", 1);
    found.recent_ttl_ms = rule(rules, "recent_ttl_ms", 0);
    found.anonymous_ttl_ms = rule(rules, "anonymous_ttl_ms", 0);
    found.session_gap_ms = rule(rules, "session_gap_ms", 0);
    found.sessions_kept = rule(rules, "sessions_kept", 1);
    found.session_items = rule(rules, "session_items", 1);
    found.sessions_shared = rule(rules, "sessions_shared", 0);
    found.co_view_last = rule(rules, "co_view_last", 0);
    found.co_view_limit = rule(rules, "co_view_limit", 1);
    found.co_view_half_life_ms = rule(rules, "co_view_half_life_ms", 1);
    found.co_view_window_ms = rule(rules, "co_view_window_ms", 0);
    found.popularity_half_life_ms = rule(rules, "popularity_half_life_ms", 1);
    found.dedupe_window_ms = rule(rules, "dedupe_window_ms", 0);
    found.dedupe_limit = rule(rules, "dedupe_limit", 1);
    return found;
}

// The fields of an Event that a fold reads.
class Fields {
public:
    explicit Fields(PyObject* event) {
        for (std::size_t at = 0; at < COUNT; at++) fields_[at] = made(PyObject_GetAttr(event, names[at]));
        this->event.user = text(0);
        this->event.item = text(1);
        this->event.type = event_types().add(text(2));
        this->event.time_ms = integer_of(get(3));
        this->event.weight = PyFloat_AsDouble(get(4));
        this->event.negative = PyObject_IsTrue(get(5)) == 1;
        if (get(6) != Py_None) this->event.session = text(6);
        if (get(7) != Py_None) this->event.event_id = text(7);
        if (PyErr_Occurred()) throw std::bad_exception();
        if (this->event.time_ms < 0 || this->event.time_ms > LAST_TIME_MS)
            throw std::overflow_error("time_ms is not in the years 1970 to 9999");
    }
    Event event{};

    static bool name() {
        static const char* const texts[COUNT] = {"user",   "item",     "type",    "time_ms",
                                                 "weight", "negative", "session", "event_id"};
        for (std::size_t at = 0; at < COUNT; at++)
            if ((names[at] = PyUnicode_InternFromString(texts[at])) == nullptr) return false;
        return true;
    }

private:
    static constexpr std::size_t COUNT = 8;
    static PyObject* names[COUNT];
    Object fields_[COUNT];

    PyObject* get(std::size_t at) const { return fields_[at].get(); }
    std::string_view text(std::size_t at) const { return text_of(get(at)); }
};
PyObject* Fields::names[Fields::COUNT];

// -- EventReader -----------------------------------------------------------------------------------------------------

struct PartitionEvents {
    EventReader reader;
    int64_t partition, partitions;
};

struct PyReader {
    PyObject_HEAD
    PartitionEvents* events;
};

PyTypeObject* reader_type = nullptr;

PartitionEvents& events_of(PyObject* self) { return *reinterpret_cast<PyReader*>(self)->events; }

// A list of (type, weight, negative, best mark or 0).
std::vector<EventReader::Kind> kinds_of(PyObject* list) {
    std::vector<EventReader::Kind> found;
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(list); at++) {
        const char* name;
        Py_ssize_t size;
        double weight, best_mark;
        int negative;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, at), "s#dpd", &name, &size, &weight, &negative, &best_mark))
            throw std::bad_exception();
        found.push_back({std::string(name, static_cast<std::size_t>(size)), weight, negative != 0, best_mark});
    }
    return found;
}

// EventReader(kinds, future_tolerance_ms, max_bytes, partition, partitions)
PyObject* reader_new(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject* kinds;
    long long tolerance_ms, partition, partitions;
    Py_ssize_t max_bytes;
    if (!PyArg_ParseTuple(args, "O!LnLL", &PyList_Type, &kinds, &tolerance_ms, &max_bytes, &partition, &partitions))
        return nullptr;
    return guarded([&] {
        if (tolerance_ms < 0 || max_bytes < 0 || partitions < 1) throw std::invalid_argument("a limit is too small");
        Object self = made(type->tp_alloc(type, 0));
        reinterpret_cast<PyReader*>(self.get())->events = new PartitionEvents{
            EventReader(kinds_of(kinds), tolerance_ms, static_cast<std::size_t>(max_bytes)), partition, partitions};
        return self.release();
    });
}

template <typename PySelf>
void dealloc(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    if constexpr (std::is_same_v<PySelf, PyReader>) delete reinterpret_cast<PySelf*>(self)->events;
    else delete reinterpret_cast<PySelf*>(self)->fold;
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* reader_take_counts(PyObject* self, PyObject*) {
    return guarded([&] {
        Object counts = made(PyDict_New());
        for (EventReader::Kind& kind : events_of(self).reader.kinds()) {
            if (kind.folded == 0) continue;
            const Object count = made(PyLong_FromLongLong(std::exchange(kind.folded, 0)));
            if (PyDict_SetItemString(counts.get(), kind.name.c_str(), count.get()) < 0) throw std::bad_exception();
        }
        return counts.release();
    });
}

// type_of(key, value, now_ms)
PyObject* reader_type_of(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != 3) return PyErr_Format(PyExc_TypeError, "type_of takes 3 arguments, found %zd", count);
    return guarded([&] {
        Event event;
        const auto kind = events_of(self).reader.read(view_of(given[0]), view_of(given[1]), integer_of(given[2]), event);
        return kind == nullptr ? Py_NewRef(Py_None) : PyUnicode_FromStringAndSize(kind->name.data(), kind->name.size());
    });
}

// What a Kafka record is to the reader.
class PlainRecord {
public:
    PlainRecord(PyObject* records, Py_ssize_t at) {
        const Object record = made(PySequence_GetItem(records, at));
        for (std::size_t field = 0; field < COUNT; field++) fields_[field] = made(PyObject_GetAttr(record.get(), names[field]));
    }
    // Folds it if it is plain, of this partition, and not one of a sample of one in `sample`.
    bool fold_into(Fold& fold, PartitionEvents& events, uint32_t sample) const {
        PyObject *key = fields_[0].get(), *value = fields_[1].get(), *timestamp = fields_[2].get();
        if (!PyBytes_Check(key) || !PyBytes_Check(value) || !PyLong_Check(timestamp)) return false;
        int overflow;
        const int64_t now_ms = PyLong_AsLongLongAndOverflow(timestamp, &overflow);
        Event event;
        const auto kind = overflow ? nullptr : events.reader.read(view_of(key), view_of(value), now_ms, event);
        if (kind == nullptr || partition_of(event.user, events.partitions) != events.partition) return false;
        if (sample && crc<ZLIB>(std::string(event.user) + '/' + std::to_string(event.time_ms)) % sample == 0) return false;
        fold.fold(event);
        kind->folded++;
        return true;
    }

    static bool name() {
        static const char* const texts[COUNT] = {"key", "value", "timestamp"};
        for (std::size_t at = 0; at < COUNT; at++)
            if ((names[at] = PyUnicode_InternFromString(texts[at])) == nullptr) return false;
        return true;
    }

private:
    static constexpr std::size_t COUNT = 3;
    static PyObject* names[COUNT];
    Object fields_[COUNT];
};
PyObject* PlainRecord::names[PlainRecord::COUNT];

// -- CompiledRows ----------------------------------------------------------------------------------------------------

struct PyRows {
    PyObject_HEAD
    Fold* fold;
};

Fold& fold_of(PyObject* self) { return *reinterpret_cast<PyRows*>(self)->fold; }

PyObject* rows_new(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject *store, *rules;
    Py_ssize_t budget_bytes;
    if (!PyArg_ParseTuple(args, "OOn", &store, &rules, &budget_bytes)) return nullptr;
    return guarded([&] {
        Object self = made(type->tp_alloc(type, 0));
        auto& fold = reinterpret_cast<PyRows*>(self.get())->fold;
        fold = new Fold(store, rules_of(rules), static_cast<std::size_t>(budget_bytes));
        return self.release();
    });
}

PyObject* rows_fold(PyObject* self, PyObject* event) {
    return guarded([&] {
        fold_of(self).fold(Fields(event).event);
        return Py_NewRef(Py_None);
    });
}

// fold_plain(reader, records, start, stop, sample)
PyObject* rows_fold_plain(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != 5 || !PyObject_TypeCheck(given[0], reader_type))
        return PyErr_Format(PyExc_TypeError, "fold_plain takes an EventReader, records and 3 numbers");
    return guarded([&] {
        Py_ssize_t at = integer_of(given[2]);
        const Py_ssize_t stop = integer_of(given[3]);
        const auto sample = static_cast<uint32_t>(integer_of(given[4]));
        while (at < stop && PlainRecord(given[1], at).fold_into(fold_of(self), events_of(given[0]), sample)) at++;
        return PyLong_FromSsize_t(at);
    });
}

// get(table, key)
PyObject* rows_get(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "get takes 2 arguments, found %zd", count);
    return guarded([&] {
        const Object prefix = made(PyObject_GetAttrString(given[0], "prefix"));
        Object row = made(fold_of(self).get(view_of(prefix.get()).at(0), text_of(given[1])));
        if (row.get() == Py_None) return row.release();
        return PyObject_CallMethod(given[0], "decode", "O", row.get());
    });
}

PyObject* rows_begin(PyObject* self, PyObject* stream_time_ms) {
    return guarded([&] {
        fold_of(self).begin(integer_of(stream_time_ms));
        return Py_NewRef(Py_None);
    });
}

template <typename Do>
PyObject* records(Do append_to) {
    return guarded([&] {
        Object found = made(PyList_New(0));
        append_to(found.get());
        return found.release();
    });
}

PyObject* rows_encode_dirty(PyObject* self, PyObject*) {
    return records([self](PyObject* found) { fold_of(self).encode_dirty(found); });
}

PyObject* rows_leaving(PyObject* self, PyObject*) {
    return records([self](PyObject* found) { fold_of(self).leaving(found); });
}

PyObject* rows_discard(PyObject* self, PyObject*) {
    fold_of(self).discard();
    return Py_NewRef(Py_None);
}

PyObject* rows_clear(PyObject* self, PyObject*) {
    fold_of(self).clear();
    return Py_NewRef(Py_None);
}

PyObject* rows_resize(PyObject* self, PyObject* budget_bytes) {
    return guarded([&] {
        fold_of(self).resize(static_cast<std::size_t>(integer_of(budget_bytes)));
        return Py_NewRef(Py_None);
    });
}

PyObject* rows_stream_time_ms(PyObject* self, void*) { return PyLong_FromLongLong(fold_of(self).stream_time_ms); }

PyMethodDef methods[] = {
    {"fold", rows_fold, METH_O, nullptr},
    {"fold_plain", method(rows_fold_plain), METH_FASTCALL, nullptr},
    {"get", method(rows_get), METH_FASTCALL, nullptr},
    {"begin", rows_begin, METH_O, nullptr},
    {"encode_dirty", rows_encode_dirty, METH_NOARGS, nullptr},
    {"leaving", rows_leaving, METH_NOARGS, nullptr},
    {"discard", rows_discard, METH_NOARGS, nullptr},
    {"clear", rows_clear, METH_NOARGS, nullptr},
    {"resize", rows_resize, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"stream_time_ms", rows_stream_time_ms, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(rows_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc<PyRows>)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, nullptr},
};

PyMethodDef reader_methods[] = {
    {"take_counts", reader_take_counts, METH_NOARGS, nullptr},
    {"type_of", method(reader_type_of), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot reader_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(reader_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc<PyReader>)},
    {Py_tp_methods, reader_methods},
    {0, nullptr},
};

PyType_Spec reader_spec = {"tables.compiled_fold.EventReader", sizeof(PyReader), 0, Py_TPFLAGS_DEFAULT, reader_slots};
PyType_Spec spec = {"tables.compiled_fold.CompiledRows", sizeof(PyRows), 0, Py_TPFLAGS_DEFAULT, slots};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compiled_fold", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_compiled_fold() {
    return guarded([&] {
        struct_error = made(PyObject_GetAttrString(made(PyImport_ImportModule("struct")).get(), "error")).release();
        const Object errors = made(PyImport_ImportModule("reco_stream.engine.errors"));
        store_failed = made(PyObject_GetAttrString(errors.get(), "StoreFailed")).release();
        Object module = made(PyModule_Create(&definition));
        const Object type = made(PyType_FromSpec(&spec));
        reader_type = reinterpret_cast<PyTypeObject*>(made(PyType_FromSpec(&reader_spec)).release());
        if (!Fields::name() || !PlainRecord::name() || PyModule_AddType(module.get(), reader_type) < 0 ||
            PyModule_AddObjectRef(module.get(), "CompiledRows", type.get()) < 0)
            throw std::bad_exception();
        return module.release();
    });
}
