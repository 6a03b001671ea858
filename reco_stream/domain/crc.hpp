// Cyclic redundancy checks of 32 bits, reflected, begun and ended with all bits set.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

constexpr uint32_t ZLIB = 0xedb88320u, CASTAGNOLI = 0x82f63b78u;  // polynomials, lowest bit first

template <uint32_t polynomial>
uint32_t crc(std::string_view text) {
    static const auto table = [] {
        std::array<uint32_t, 256> made{};
        for (uint32_t byte = 0; byte < 256; byte++) {
            made[byte] = byte;
            for (int bit = 0; bit < 8; bit++) made[byte] = made[byte] >> 1 ^ (made[byte] & 1 ? polynomial : 0);
        }
        return made;
    }();
    uint32_t found = ~0u;
    for (const char byte : text) found = found >> 8 ^ table[(found ^ static_cast<unsigned char>(byte)) & 0xff];
    return ~found;
}
