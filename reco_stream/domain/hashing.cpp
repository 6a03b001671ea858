// murmur2.hpp for Python: 0.1 us a call where Python takes 2 to 4.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "murmur2.hpp"

namespace {

PyObject* hash(PyObject*, PyObject* key) {
    char* bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(key, &bytes, &length) < 0) return nullptr;
    return PyLong_FromUnsignedLong(murmur2({bytes, static_cast<size_t>(length)}));
}

PyObject* partition(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "partition_of takes a user and a number of partitions");
        return nullptr;
    }
    Py_ssize_t length;
    const char* user = PyUnicode_AsUTF8AndSize(given[0], &length);
    if (user == nullptr) return nullptr;
    const long partitions = PyLong_AsLong(given[1]);
    if (partitions == -1 && PyErr_Occurred()) return nullptr;
    if (partitions < 1) return PyErr_Format(PyExc_ValueError, "a topic has at least 1 partition, not %ld", partitions);
    return PyLong_FromLongLong(partition_of({user, static_cast<size_t>(length)}, partitions));
}

PyMethodDef functions[] = {
    {"murmur2", hash, METH_O, nullptr},
    {"partition_of", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(partition)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "hashing", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_hashing() { return PyModule_Create(&module); }
