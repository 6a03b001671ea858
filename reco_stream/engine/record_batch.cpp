// A RecordBatch of Kafka's log format v2, uncompressed: for Python one function, that builds it from all its records.
//
// https://kafka.apache.org/documentation/#recordbatch

#include <array>
#include <cstring>
#include <string>
#include <type_traits>

#include "../domain/arrays.hpp"

namespace {

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32c_of_the_processor(std::string_view text) {
    uint64_t found = ~0u;
    for (; text.size() >= 8; text.remove_prefix(8)) {
        uint64_t eight;
        std::memcpy(&eight, text.data(), sizeof eight);
        found = __builtin_ia32_crc32di(found, eight);
    }
    for (const char byte : text) found = __builtin_ia32_crc32qi(static_cast<uint32_t>(found), static_cast<uint8_t>(byte));
    return ~static_cast<uint32_t>(found);
}
#endif

uint32_t crc32c(std::string_view text) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_of_the_processor(text);
#endif
    static const auto table = [] {
        std::array<uint32_t, 256> made{};
        for (uint32_t byte = 0; byte < 256; byte++) {
            made[byte] = byte;
            for (int bit = 0; bit < 8; bit++) made[byte] = made[byte] >> 1 ^ (made[byte] & 1 ? 0x82f63b78u : 0);
        }
        return made;
    }();
    uint32_t found = ~0u;
    for (const char byte : text) found = found >> 8 ^ table[(found ^ static_cast<unsigned char>(byte)) & 0xff];
    return ~found;
}

template <typename T>
void put(std::string& to, T value) {
    for (int shift = 8 * static_cast<int>(sizeof(T)) - 8; shift >= 0; shift -= 8)
        to += static_cast<char>(static_cast<std::make_unsigned_t<T>>(value) >> shift & 0xff);
}

// Zigzag, seven bits a byte, the low ones first.
void put_varint(std::string& to, int64_t value) {
    auto left = static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
    for (; left >= 0x80; left >>= 7) to += static_cast<char>(left | 0x80);
    to += static_cast<char>(left);
}

void put_bytes(std::string& to, PyObject* bytes) {
    if (bytes == Py_None) return put_varint(to, -1);
    char* text;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(bytes, &text, &size) < 0) throw std::bad_exception();
    put_varint(to, size);
    to.append(text, static_cast<std::size_t>(size));
}

void put_records(std::string& to, PyObject* records) {
    std::string record;
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(records); at++) {
        PyObject* pair = PySequence_Fast_GET_ITEM(records, at);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_Format(PyExc_TypeError, "record %zd is no (key, value)", at);
            throw std::bad_exception();
        }
        record.assign(2, '\0');  // no attributes, and the time of the first record
        put_varint(record, at);
        put_bytes(record, PyTuple_GET_ITEM(pair, 0));
        put_bytes(record, PyTuple_GET_ITEM(pair, 1));
        record += '\0';  // no headers
        put_varint(to, static_cast<int64_t>(record.size()));
        to += record;
    }
}

// record_batch(records, time_ms, producer_id, epoch, sequence)
PyObject* record_batch(PyObject*, PyObject* args) {
    PyObject* given;
    long long time_ms, producer_id;
    short epoch;
    int sequence;
    if (!PyArg_ParseTuple(args, "OLLhi", &given, &time_ms, &producer_id, &epoch, &sequence)) return nullptr;
    try {
        const Object records = made(PySequence_Fast(given, "wanted a sequence of records"));
        const auto count = static_cast<int32_t>(PySequence_Fast_GET_SIZE(records.get()));
        std::string body;
        put<int16_t>(body, 0);  // attributes: not compressed, of no transaction
        put<int32_t>(body, count - 1);
        put<int64_t>(body, time_ms);
        put<int64_t>(body, time_ms);
        put<int64_t>(body, producer_id);
        put<int16_t>(body, epoch);
        put<int32_t>(body, sequence);
        put<int32_t>(body, count);
        put_records(body, records.get());
        std::string head;
        put<int64_t>(head, 0);  // base offset: the broker sets it
        put<int32_t>(head, static_cast<int32_t>(4 + 1 + 4 + body.size()));  // of all that follows
        put<int32_t>(head, -1);  // leader epoch
        put<int8_t>(head, 2);
        put<uint32_t>(head, crc32c(body));
        const std::size_t size = head.size() + body.size();
        Object found = made(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
        std::memcpy(PyBytes_AS_STRING(found.get()), head.data(), head.size());
        std::memcpy(PyBytes_AS_STRING(found.get()) + head.size(), body.data(), body.size());
        return found.release();
    } catch (const std::exception& error) {
        return refused(error);
    }
}

PyMethodDef methods[] = {
    {"record_batch", record_batch, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "record_batch", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_record_batch() { return PyModule_Create(&definition); }
