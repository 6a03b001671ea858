// MessagePack as msgspec writes it: integers in their shortest form, floats in eight bytes, the old array and map types.

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

// What is read is of another form than expected.
struct NotExpected {};

class Reader {
public:
    explicit Reader(std::string_view from) : at_(from.data()), end_(from.data() + from.size()) {}

    bool at_end() const { return at_ == end_; }
    std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

    int64_t integer() {
        const auto first = static_cast<unsigned char>(take(1)[0]);
        if (first < 0x80 || first >= 0xe0) return static_cast<int8_t>(first);
        switch (first) {
            case 0xcc: return big<uint8_t>();
            case 0xcd: return big<uint16_t>();
            case 0xce: return big<uint32_t>();
            case 0xd0: return big<int8_t>();
            case 0xd1: return big<int16_t>();
            case 0xd2: return big<int32_t>();
            case 0xcf:
            case 0xd3: {
                const int64_t found = big<int64_t>();
                if ((first == 0xcf) != (found >= 0)) throw NotExpected();
                return found;
            }
            default: throw NotExpected();
        }
    }
    bool boolean() {
        const char found = take(1)[0];
        if (found != '\xc3' && found != '\xc2') throw NotExpected();
        return found == '\xc3';
    }
    // Whether nil comes next; it is then taken.
    bool nil() {
        if (at_end() || *at_ != '\xc0') return false;
        at_++;
        return true;
    }
    double number() {
        if (take(1)[0] != '\xcb') throw NotExpected();
        const auto bits = big<uint64_t>();
        double found;
        std::memcpy(&found, &bits, sizeof found);
        return found;
    }
    std::size_t array() { return header(0x90, 15, 0, 0xdc); }
    std::size_t map() { return header(0x80, 15, 0, 0xde); }
    std::string_view string() { return view(header(0xa0, 31, 0xd9, 0xda)); }
    std::string_view binary() { return view(header(0, -1, 0xc4, 0xc5)); }

    std::string_view view(std::size_t size) { return {take(size), size}; }

private:
    const char* at_;
    const char* end_;

    const char* take(std::size_t size) {
        if (static_cast<std::size_t>(end_ - at_) < size) throw NotExpected();
        at_ += size;
        return at_ - size;
    }
    template <typename T>
    T big() {
        const auto* bytes = reinterpret_cast<const unsigned char*>(take(sizeof(T)));
        std::make_unsigned_t<T> found = 0;
        for (std::size_t at = 0; at < sizeof(T); at++) found = static_cast<decltype(found)>(found << 8 | bytes[at]);
        return static_cast<T>(found);
    }
    // `fixed` with up to `most` in its low bits; `tiny`, 0 for none, with one byte; `small` with two, the next with four.
    std::size_t header(int fixed, int most, int tiny, int small) {
        const int first = static_cast<unsigned char>(take(1)[0]);
        if (most >= 0 && (first & ~most) == fixed) return static_cast<std::size_t>(first & most);
        if (tiny && first == tiny) return big<uint8_t>();
        if (first == small) return big<uint16_t>();
        if (first == small + 1) return big<uint32_t>();
        throw NotExpected();
    }
};

class Writer {
public:
    explicit Writer(std::string& to) : to_(to) {}

    void integer(int64_t value) {
        if (value >= -32 && value < 128) return byte(static_cast<int>(value));
        if (value < 0) {
            if (value >= INT8_MIN) return tagged(0xd0, value, 1);
            if (value >= INT16_MIN) return tagged(0xd1, value, 2);
            return value >= INT32_MIN ? tagged(0xd2, value, 4) : tagged(0xd3, value, 8);
        }
        if (value <= UINT8_MAX) return tagged(0xcc, value, 1);
        if (value <= UINT16_MAX) return tagged(0xcd, value, 2);
        return value <= UINT32_MAX ? tagged(0xce, value, 4) : tagged(0xcf, value, 8);
    }
    void number(double value) {
        int64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        tagged(0xcb, bits, 8);
    }
    void array(std::size_t size) { header(0x90, 15, 0, 0xdc, size); }
    void map(std::size_t size) { header(0x80, 15, 0, 0xde, size); }
    void string(std::string_view text) {
        header(0xa0, 31, 0xd9, 0xda, text.size());
        to_ += text;
    }
    void nil() { byte(0xc0); }
    void boolean(bool value) { byte(value ? 0xc3 : 0xc2); }
    // `size` bytes.
    void binary(const void* bytes, std::size_t size) {
        header(0, -1, 0xc4, 0xc5, size);
        to_.append(static_cast<const char*>(bytes), size);
    }

private:
    std::string& to_;

    void byte(int value) { to_ += static_cast<char>(value); }
    void tagged(int tag, int64_t value, int bytes) {
        byte(tag);
        for (int at = bytes - 1; at >= 0; at--) byte(static_cast<int>(value >> (8 * at) & 0xff));
    }
    void header(int fixed, int most, int tiny, int small, std::size_t size) {
        const auto value = static_cast<int64_t>(size);
        if (value <= most) return byte(fixed | static_cast<int>(value));
        if (tiny && value <= UINT8_MAX) return tagged(tiny, value, 1);
        if (value <= UINT16_MAX) return tagged(small, value, 2);
        tagged(small + 1, value, 4);
    }
};
