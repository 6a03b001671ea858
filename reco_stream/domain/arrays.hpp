// Numpy arrays, lists and strings of Python, as C++ looks at them. Every failure is an exception; `refused` makes it Python's.

#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

// Owns a reference; false when it is none.
class Object {
public:
    explicit Object(PyObject* owned = nullptr) : object_(owned) {}
    ~Object() { Py_XDECREF(object_); }
    Object(Object&& other) noexcept : object_(other.release()) {}
    Object& operator=(Object&& other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    explicit operator bool() const { return object_ != nullptr; }
    PyObject* get() const { return object_; }
    PyObject* release() { return std::exchange(object_, nullptr); }

private:
    PyObject* object_;
};

inline Object made(PyObject* owned) {
    if (owned == nullptr) throw std::bad_exception();
    return Object(owned);
}

// The content of a bytes object, for as long as that lives.
inline std::string_view view_of(PyObject* bytes) {
    char* text;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(bytes, &text, &size) < 0) throw std::bad_exception();
    return {text, static_cast<std::size_t>(size)};
}

// New pair of a key and a value that are owned by then: bytes, or None. The garbage collector need not look at it: it
// would leave it alone too, after the first of its looks, of which thousands of pairs at a time made stops of 3 to 8 ms.
inline PyObject* new_record(PyObject* key, PyObject* value) {
    PyObject* record = Py_BuildValue("(NN)", key, value);
    if (record != nullptr) PyObject_GC_UnTrack(record);
    return record;
}

// A contiguous numpy array, looked at in place as a flat one.
template <typename T>
class Array {
public:
    explicit Array(PyObject* object) {
        if (PyObject_GetBuffer(object, &view_, PyBUF_C_CONTIGUOUS) < 0) throw std::bad_exception();
        if (view_.itemsize != static_cast<Py_ssize_t>(sizeof(T))) {
            PyBuffer_Release(&view_);
            throw std::invalid_argument("an array has entries of another size");
        }
    }
    ~Array() { PyBuffer_Release(&view_); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    std::size_t size() const { return static_cast<std::size_t>(view_.len) / sizeof(T); }
    const T* begin() const { return static_cast<const T*>(view_.buf); }
    const T& operator[](std::size_t at) const { return begin()[at]; }

private:
    Py_buffer view_;
};

inline std::vector<int64_t> integers(PyObject* list) {
    std::vector<int64_t> found;
    if (!PyList_Check(list)) throw std::invalid_argument("wanted a list of item numbers");
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(list); at++)
        found.push_back(PyLong_AsLongLong(PyList_GET_ITEM(list, at)));
    if (PyErr_Occurred()) throw std::bad_exception();
    return found;
}

inline PyObject* refused(const std::exception& error) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, error.what());
    return nullptr;
}

// A list of numbers below `limit`.
inline std::vector<int64_t> numbers_below(PyObject* list, std::size_t limit) {
    std::vector<int64_t> found = integers(list);
    for (const int64_t number : found)
        if (number < 0 || static_cast<std::size_t>(number) >= limit) throw std::out_of_range("an item is not there");
    return found;
}

// Values that go to Python as a bytearray.
template <typename T>
PyObject* bytes_of(const std::vector<T>& values) {
    return PyByteArray_FromStringAndSize(reinterpret_cast<const char*>(values.data()),
                                         static_cast<Py_ssize_t>(values.size() * sizeof(T)));
}

// Puts a new object at the end of a new list.
inline void append(PyObject* list, PyObject* value) {
    if (list == nullptr || value == nullptr || PyList_Append(list, value) < 0) throw std::bad_exception();
    Py_DECREF(value);
}

inline PyCFunction method(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

inline std::string_view text_of(PyObject* string) {
    Py_ssize_t size;
    const char* text = PyUnicode_AsUTF8AndSize(string, &size);
    if (text == nullptr) throw std::bad_exception();
    return {text, static_cast<std::size_t>(size)};
}
