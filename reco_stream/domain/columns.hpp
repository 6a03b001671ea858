// Arrays of numpy that C++ fills and Python reads in place.

#pragma once

#include <algorithm>
#include <cstring>

#include "arrays.hpp"

// Grows to twice its size, by zeros; what was never written takes no memory. Whoever reads an older array sees its old values.
template <typename T>
class Column {
public:
    explicit Column(const char* type, std::size_t size = 1024) : type_(type) { allocate(size); }

    T& operator[](std::size_t at) { return data_[at]; }
    const T& operator[](std::size_t at) const { return data_[at]; }
    std::size_t size() const { return size_; }
    PyObject* array() const { return array_.get(); }

    void fit(std::size_t size) {
        if (size <= size_) return;
        const Object old = std::move(array_);
        const T* values = data_;
        const std::size_t count = size_;
        allocate(std::max(size, 2 * size_));
        std::memcpy(data_, values, count * sizeof(T));
    }

private:
    const char* type_;
    Object array_;
    T* data_ = nullptr;
    std::size_t size_ = 0;

    void allocate(std::size_t size) {
        const Object numpy = made(PyImport_ImportModule("numpy"));
        array_ = made(PyObject_CallMethod(numpy.get(), "zeros", "ns", static_cast<Py_ssize_t>(size), type_));
        Py_buffer view;
        if (PyObject_GetBuffer(array_.get(), &view, PyBUF_CONTIG) < 0) throw std::bad_exception();
        data_ = static_cast<T*>(view.buf);
        PyBuffer_Release(&view);  // nobody else can resize the array
        size_ = size;
    }
};
