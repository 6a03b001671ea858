// A RecordBatch of Kafka's log format v2, uncompressed: for Python one function, that builds it from all its records.
//
// https://kafka.apache.org/documentation/#recordbatch

#include <cstring>
#include <type_traits>

#include "../domain/arrays.hpp"
#include "../domain/crc.hpp"

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
    return crc<CASTAGNOLI>(text);
}

constexpr std::size_t HEADER = 61, AFTER_CRC = 21;
constexpr std::size_t RECORD_OVERHEAD = 2 + 5 * 5 + 1;  // at most: attributes, time, five lengths and offsets, headers

// Writes where the caller has made room.
class Bytes {
public:
    explicit Bytes(char* at) : at_(at) {}
    char* at() const { return at_; }

    template <typename T>
    void put(T value) {
        for (int shift = 8 * static_cast<int>(sizeof(T)) - 8; shift >= 0; shift -= 8)
            *at_++ = static_cast<char>(static_cast<std::make_unsigned_t<T>>(value) >> shift & 0xff);
    }
    // Zigzag, seven bits a byte, the low ones first.
    void varint(int64_t value) {
        auto left = zigzag(value);
        for (; left >= 0x80; left >>= 7) *at_++ = static_cast<char>(left | 0x80);
        *at_++ = static_cast<char>(left);
    }
    void bytes(PyObject* bytes) {
        if (bytes == Py_None) return varint(-1);
        const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes));
        varint(static_cast<int64_t>(size));
        std::memcpy(at_, PyBytes_AS_STRING(bytes), size);
        at_ += size;
    }
    static std::size_t varint_size(int64_t value) {
        std::size_t size = 1;
        for (auto left = zigzag(value); left >= 0x80; left >>= 7) size++;
        return size;
    }
    static std::size_t size_of(PyObject* bytes) {
        if (bytes == Py_None) return varint_size(-1);
        return varint_size(PyBytes_GET_SIZE(bytes)) + static_cast<std::size_t>(PyBytes_GET_SIZE(bytes));
    }

private:
    char* at_;

    static uint64_t zigzag(int64_t value) { return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63); }
};

// Throws unless every record is (bytes or None, bytes or None); returns room enough for all of them.
std::size_t room_for(PyObject* records) {
    std::size_t room = 0;
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(records); at++) {
        PyObject* pair = PySequence_Fast_GET_ITEM(records, at);
        bool is_record = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2;
        for (Py_ssize_t part = 0; is_record && part < 2; part++) {
            PyObject* bytes = PyTuple_GET_ITEM(pair, part);
            is_record = bytes == Py_None || PyBytes_Check(bytes);
            if (is_record && bytes != Py_None) room += static_cast<std::size_t>(PyBytes_GET_SIZE(bytes));
        }
        if (!is_record) {
            PyErr_Format(PyExc_TypeError, "record %zd is no (key, value) of bytes or None", at);
            throw std::bad_exception();
        }
        room += RECORD_OVERHEAD;
    }
    return room;
}

void put_records(Bytes& to, PyObject* records) {
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(records); at++) {
        PyObject* pair = PySequence_Fast_GET_ITEM(records, at);
        PyObject *key = PyTuple_GET_ITEM(pair, 0), *value = PyTuple_GET_ITEM(pair, 1);
        const std::size_t size = 2 + Bytes::varint_size(at) + Bytes::size_of(key) + Bytes::size_of(value) + 1;
        to.varint(static_cast<int64_t>(size));
        to.put<int8_t>(0);  // attributes
        to.varint(0);  // the time of the first record
        to.varint(at);
        to.bytes(key);
        to.bytes(value);
        to.varint(0);  // headers
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
        const auto room = static_cast<Py_ssize_t>(HEADER + room_for(records.get()));
        PyObject* batch = made(PyBytes_FromStringAndSize(nullptr, room)).release();
        char* begin = PyBytes_AS_STRING(batch);
        Bytes body(begin + AFTER_CRC);
        body.put<int16_t>(0);  // attributes: not compressed, of no transaction
        body.put<int32_t>(count - 1);
        body.put<int64_t>(time_ms);
        body.put<int64_t>(time_ms);
        body.put<int64_t>(producer_id);
        body.put<int16_t>(epoch);
        body.put<int32_t>(sequence);
        body.put<int32_t>(count);
        put_records(body, records.get());
        const auto size = static_cast<std::size_t>(body.at() - begin);
        Bytes head(begin);
        head.put<int64_t>(0);  // base offset: the broker sets it
        head.put<int32_t>(static_cast<int32_t>(size - 12));  // of all that follows
        head.put<int32_t>(-1);  // leader epoch
        head.put<int8_t>(2);
        head.put<uint32_t>(crc32c({begin + AFTER_CRC, size - AFTER_CRC}));
        _PyBytes_Resize(&batch, static_cast<Py_ssize_t>(size));
        return batch;
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
