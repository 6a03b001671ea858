// What a worker keeps of every item and every session, in few bytes: names with their numbers, and rows of items.
//
// numbers.hpp: strings and their numbers; packed_rows.hpp: rows by number and partition; row_forms.hpp: their short forms;
// session_store.hpp: the sessions of items.

#include "packed_rows.hpp"
#include "published_records.hpp"
#include "session_store_type.hpp"

namespace {

template <typename T>
struct Holder {
    PyObject_HEAD
    T* held;
    PyObject* owner;  // whom `held` refers to
};

template <typename T>
T& held(PyObject* self) {
    return *reinterpret_cast<Holder<T>*>(self)->held;
}

void release(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    Py_XDECREF(reinterpret_cast<Holder<void>*>(self)->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

template <typename T>
void dealloc(PyObject* self) {
    delete reinterpret_cast<Holder<T>*>(self)->held;
    release(self);
}

PyObject* string_of(std::string_view text) {
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

void wanted(Py_ssize_t found, Py_ssize_t count) {
    if (found == count) return;
    PyErr_Format(PyExc_TypeError, "wanted %zd arguments, found %zd", count, found);
    throw std::bad_exception();
}

std::size_t size_of(PyObject* number) {
    const std::size_t found = PyLong_AsSize_t(number);
    if (PyErr_Occurred()) throw std::bad_exception();
    return found;
}

// -- Numbers and Names -----------------------------------------------------------------------------------------------

PyTypeObject* names_type = nullptr;

PyObject* numbers_new(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<Holder<Numbers>*>(self)->held = new Numbers();
    return self;
}

Py_ssize_t numbers_len(PyObject* self) { return static_cast<Py_ssize_t>(held<Numbers>(self).live()); }

int numbers_contains(PyObject* self, PyObject* string) {
    try {
        return held<Numbers>(self).find(text_of(string)) != Numbers::UNKNOWN;
    } catch (const std::exception& error) {
        refused(error);
        return -1;
    }
}

PyObject* numbers_at(PyObject* self, PyObject* string) {
    try {
        const int64_t number = held<Numbers>(self).find(text_of(string));
        if (number != Numbers::UNKNOWN) return PyLong_FromLongLong(number);
        PyErr_SetObject(PyExc_KeyError, string);
        return nullptr;
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyObject* numbers_get(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    try {
        if (count != 2) wanted(count, 1);
        const int64_t number = held<Numbers>(self).find(text_of(given[0]));
        if (number != Numbers::UNKNOWN) return PyLong_FromLongLong(number);
        return Py_NewRef(count == 2 ? given[1] : Py_None);
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyObject* numbers_known(PyObject* self, PyObject* strings) {
    PyObject* iterator = PyObject_GetIter(strings);
    PyObject* found = iterator == nullptr ? nullptr : PyList_New(0);
    try {
        while (found != nullptr) {
            PyObject* string = PyIter_Next(iterator);
            if (string == nullptr) break;
            int64_t number = Numbers::UNKNOWN;
            if (PyUnicode_Check(string)) number = held<Numbers>(self).find(text_of(string));
            Py_DECREF(string);
            if (number == Numbers::UNKNOWN) continue;
            PyObject* boxed = PyLong_FromLongLong(number);
            if (boxed == nullptr || PyList_Append(found, boxed) < 0) Py_CLEAR(found);
            Py_XDECREF(boxed);
        }
    } catch (const std::exception& error) {
        refused(error);
    }
    Py_XDECREF(iterator);
    if (PyErr_Occurred()) Py_CLEAR(found);
    return found;
}

PyObject* numbers_add(PyObject* self, PyObject* string) {
    try {
        return PyLong_FromUnsignedLong(held<Numbers>(self).add(text_of(string)));
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyObject* numbers_add_all(PyObject* self, PyObject* strings) {
    if (!PyList_Check(strings)) return PyErr_Format(PyExc_TypeError, "wanted a list of strings");
    PyObject* found = PyList_New(PyList_GET_SIZE(strings));
    try {
        for (Py_ssize_t at = 0; found != nullptr && at < PyList_GET_SIZE(strings); at++) {
            const uint32_t number = held<Numbers>(self).add(text_of(PyList_GET_ITEM(strings, at)));
            PyList_SET_ITEM(found, at, PyLong_FromUnsignedLong(number));
        }
        return found;
    } catch (const std::exception& error) {
        Py_XDECREF(found);
        return refused(error);
    }
}

PyObject* numbers_remove(PyObject* self, PyObject* number) {
    try {
        held<Numbers>(self).remove(size_of(number));
        Py_RETURN_NONE;
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyObject* numbers_iter(PyObject* self) {
    const Numbers& numbers = held<Numbers>(self);
    PyObject* names = PyList_New(0);
    for (std::size_t number = 0; names != nullptr && number < numbers.bound(); number++) {
        if (!numbers.has(number)) continue;
        PyObject* name = string_of(numbers.text(number));
        if (name == nullptr || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    PyObject* iterator = names == nullptr ? nullptr : PyObject_GetIter(names);
    Py_XDECREF(names);
    return iterator;
}

PyObject* numbers_names(PyObject* self, void*) {
    PyObject* names = names_type->tp_alloc(names_type, 0);
    if (names == nullptr) return nullptr;
    reinterpret_cast<Holder<Numbers>*>(names)->held = &held<Numbers>(self);
    reinterpret_cast<Holder<Numbers>*>(names)->owner = Py_NewRef(self);
    return names;
}

PyObject* numbers_nbytes(PyObject* self, void*) { return PyLong_FromSize_t(held<Numbers>(self).nbytes()); }

Py_ssize_t names_len(PyObject* self) { return static_cast<Py_ssize_t>(held<Numbers>(self).bound()); }

PyObject* names_at(PyObject* self, Py_ssize_t number) {
    const Numbers& numbers = held<Numbers>(self);
    if (number < 0 || static_cast<std::size_t>(number) >= numbers.bound())
        return PyErr_Format(PyExc_IndexError, "number %zd was never given", number);
    return string_of(numbers.text(static_cast<std::size_t>(number)));
}

PyMethodDef numbers_methods[] = {
    {"get", method(numbers_get), METH_FASTCALL, nullptr},
    {"known", numbers_known, METH_O, nullptr},
    {"add", numbers_add, METH_O, nullptr},
    {"add_all", numbers_add_all, METH_O, nullptr},
    {"remove", numbers_remove, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyGetSetDef numbers_properties[] = {
    {"names", numbers_names, nullptr, nullptr, nullptr},
    {"nbytes", numbers_nbytes, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot numbers_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(numbers_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc<Numbers>)},
    {Py_tp_methods, numbers_methods},
    {Py_tp_getset, numbers_properties},
    {Py_tp_iter, reinterpret_cast<void*>(numbers_iter)},
    {Py_mp_length, reinterpret_cast<void*>(numbers_len)},
    {Py_mp_subscript, reinterpret_cast<void*>(numbers_at)},
    {Py_sq_contains, reinterpret_cast<void*>(numbers_contains)},
    {0, nullptr},
};
PyType_Slot names_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(release)},
    {Py_sq_length, reinterpret_cast<void*>(names_len)},
    {Py_sq_item, reinterpret_cast<void*>(names_at)},
    {0, nullptr},
};

// -- rows ------------------------------------------------------------------------------------------------------------

using PopularityRows = PackedRows<PopularityForm>;
using CoViewRows = PackedRows<CoViewForm>;

PyObject* popularity_new(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<Holder<PopularityRows>*>(self)->held = new PopularityRows();
    return self;
}

PyTypeObject* numbers_type = nullptr;

PyObject* co_view_new(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject* numbers;
    if (!PyArg_ParseTuple(args, "O!", numbers_type, &numbers)) return nullptr;
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    reinterpret_cast<Holder<CoViewRows>*>(self)->held = new CoViewRows(held<Numbers>(numbers));
    reinterpret_cast<Holder<CoViewRows>*>(self)->owner = Py_NewRef(numbers);
    return self;
}

// put(number, partition, epoch, applied, row) -> whether it is newer
template <typename Rows>
PyObject* rows_put(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    try {
        wanted(count, 5);
        const std::size_t number = size_of(given[0]), partition = size_of(given[1]);
        const Version version{PyLong_AsUnsignedLongLong(given[2]), PyLong_AsLongLong(given[3])};
        char* row;
        Py_ssize_t size;
        if (PyErr_Occurred() || PyBytes_AsStringAndSize(given[4], &row, &size) < 0) return nullptr;
        return PyBool_FromLong(
            held<Rows>(self).put(number, partition, version, {row, static_cast<std::size_t>(size)}));
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// get(number, partition) -> row, empty without one
template <typename Rows>
PyObject* rows_get(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    try {
        wanted(count, 2);
        std::string row;
        held<Rows>(self).get(size_of(given[0]), size_of(given[1]), row);
        return PyBytes_FromStringAndSize(row.data(), static_cast<Py_ssize_t>(row.size()));
    } catch (const std::exception& error) {
        return refused(error);
    }
}

// rows(number) -> [row] by rising partition
template <typename Rows>
PyObject* rows_of(PyObject* self, PyObject* number) {
    PyObject* found = PyList_New(0);
    try {
        held<Rows>(self).each(size_of(number), [&](uint64_t, const std::string& row) {
            PyObject* bytes = PyBytes_FromStringAndSize(row.data(), static_cast<Py_ssize_t>(row.size()));
            if (found != nullptr && (bytes == nullptr || PyList_Append(found, bytes) < 0)) Py_CLEAR(found);
            Py_XDECREF(bytes);
        });
        return found;
    } catch (const std::exception& error) {
        Py_XDECREF(found);
        return refused(error);
    }
}

template <typename Rows>
Py_ssize_t rows_len(PyObject* self) {
    return static_cast<Py_ssize_t>(held<Rows>(self).live());
}

template <typename Rows>
PyObject* rows_nbytes(PyObject* self, void*) {
    return PyLong_FromSize_t(held<Rows>(self).nbytes());
}

template <typename Rows>
PyType_Spec rows_spec(const char* name, newfunc make) {
    static PyMethodDef methods[] = {
        {"put", method(rows_put<Rows>), METH_FASTCALL, nullptr},
        {"get", method(rows_get<Rows>), METH_FASTCALL, nullptr},
        {"rows", rows_of<Rows>, METH_O, nullptr},
        {nullptr, nullptr, 0, nullptr},
    };
    static PyGetSetDef properties[] = {
        {"nbytes", rows_nbytes<Rows>, nullptr, nullptr, nullptr},
        {nullptr, nullptr, nullptr, nullptr, nullptr},
    };
    static PyType_Slot slots[] = {
        {Py_tp_new, reinterpret_cast<void*>(make)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc<Rows>)},
        {Py_tp_methods, methods},
        {Py_tp_getset, properties},
        {Py_mp_length, reinterpret_cast<void*>(rows_len<Rows>)},
        {0, nullptr},
    };
    return {name, sizeof(Holder<Rows>), 0, Py_TPFLAGS_DEFAULT, slots};
}

// -- what is published -----------------------------------------------------------------------------------------------

PopularityForm::Head head_of(std::string_view row) {
    return row.empty() ? PopularityForm::Head() : PopularityForm::head(Reader(row));
}

// What changed in rows of popularity: items, what their sums gained, their newest events.
struct Moved {
    std::vector<int64_t> numbers;
    std::vector<double> gains;
    std::vector<int64_t> last_ms;

    void put(PopularityRows& rows, std::size_t number, uint64_t partition, const Published& published) {
        PopularityForm::Head before;
        const PopularityForm::Head after = head_of(published.row);
        int64_t newest = after.last_ms;
        rows.each_head(number, [&](uint64_t owner, const PopularityForm::Head& head) {
            if (owner == partition) before = head;
            else newest = std::max(newest, head.last_ms);
        });
        if (!rows.put(number, partition, {published.version, published.applied}, published.row)) return;
        numbers.push_back(static_cast<int64_t>(number));
        gains.push_back(after.weighted - before.weighted);
        last_ms.push_back(newest);
    }
};

// take_items(numbers, popularity, co_view, partition, records, hidden)
//   -> (newest stream time, items whose popularity changed, gains, newest events, [items whose co-view changed])
PyObject* take_items(PyObject*, PyObject* const* given, Py_ssize_t count) {
    try {
        wanted(count, 6);
        auto& numbers = held<Numbers>(given[0]);
        auto& popularity = held<PopularityRows>(given[1]);
        auto& co_view = held<CoViewRows>(given[2]);
        const std::size_t partition = size_of(given[3]);
        const std::string_view hidden = view_of(given[5]);
        int64_t stream_time_ms = 0;
        Moved moved;
        Object paired = made(PyList_New(0));
        each_published(given[4], [&](const Published& published) {
            if (published.gone || published.key.empty()) return;
            const std::string_view item = published.key.substr(1);
            const bool is_popularity = published.key[0] == 'p';
            if (!is_popularity && published.key[0] != 'c') throw std::invalid_argument("a key of no table of items");
            if (is_popularity && starts_with(item, hidden)) return;
            stream_time_ms = std::max(stream_time_ms, published.stream_time_ms);
            const uint32_t number = numbers.add(item);
            if (is_popularity) moved.put(popularity, number, partition, published);
            else if (co_view.put(number, partition, {published.version, published.applied}, published.row))
                append(paired.get(), PyLong_FromUnsignedLong(number));
        });
        Object found[] = {made(bytes_of(moved.numbers)), made(bytes_of(moved.gains)), made(bytes_of(moved.last_ms))};
        return Py_BuildValue("(LNNNN)", static_cast<long long>(stream_time_ms), found[0].release(), found[1].release(),
                             found[2].release(), paired.release());
    } catch (const NotExpected&) {
        return PyErr_Format(PyExc_ValueError, "not a row of popularity");
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyMethodDef functions[] = {
    {"take_items", method(take_items), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

// -- sessions --------------------------------------------------------------------------------------------------------

PyObject* session_store_new(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject *keys, *names;
    long long per_item, events, orphan_age_ms;
    if (!PyArg_ParseTuple(args, "O!O!LLL", numbers_type, &keys, numbers_type, &names, &per_item, &events, &orphan_age_ms))
        return nullptr;
    if (per_item < 1 || per_item > (1 << 29) || events < 1)
        return PyErr_Format(PyExc_ValueError, "wanted at least one session an item, and one event a session");
    PyObject* self = type->tp_alloc(type, 0);
    if (self == nullptr) return nullptr;
    auto* made_self = reinterpret_cast<session_store::Held*>(self);
    made_self->keys = Py_NewRef(keys);
    made_self->names = Py_NewRef(names);
    return session_store::guarded([&] {
        Object owned(self);
        made_self->store = new SessionStore(held<Numbers>(keys), held<Numbers>(names), per_item,
                                            static_cast<std::size_t>(events), orphan_age_ms);
        return owned.release();
    });
}

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compact", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

PyTypeObject* type_of(PyType_Spec spec) { return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec)); }

}  // namespace

PyMODINIT_FUNC PyInit_compact() {
    constexpr int size = sizeof(Holder<Numbers>);
    constexpr const char* names_name = "reco_stream.domain.compact.Names";
    names_type = type_of({names_name, size, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, names_slots});
    numbers_type = type_of({"reco_stream.domain.compact.Numbers", size, 0, Py_TPFLAGS_DEFAULT, numbers_slots});
    PyTypeObject* types[] = {
        names_type,
        numbers_type,
        type_of(rows_spec<PopularityRows>("reco_stream.domain.compact.PopularityRows", popularity_new)),
        type_of(rows_spec<CoViewRows>("reco_stream.domain.compact.CoViewRows", co_view_new)),
        type_of(session_store::spec("reco_stream.domain.compact.SessionStore", session_store_new)),
    };
    PyObject* module = PyModule_Create(&definition);
    for (PyTypeObject* type : types)
        if (module == nullptr || type == nullptr || PyModule_AddType(module, type) < 0) return nullptr;
    return module;
}
