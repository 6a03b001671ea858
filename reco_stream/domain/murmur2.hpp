// Kafka's murmur2, which decides on the partition of every event.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

inline uint32_t murmur2(std::string_view text) {
    constexpr uint32_t SEED = 0x9747b28c, MULTIPLIER = 0x5bd1e995;
    const char* key = text.data();
    std::size_t length = text.size();
    uint32_t digest = SEED ^ static_cast<uint32_t>(length);
    for (; length >= 4; key += 4, length -= 4) {
        uint32_t word;
        std::memcpy(&word, key, 4);  // little-endian, as on every machine that this is compiled for
        word *= MULTIPLIER;
        word ^= word >> 24;
        digest = digest * MULTIPLIER ^ word * MULTIPLIER;
    }
    if (length > 0) {
        uint32_t rest = 0;
        std::memcpy(&rest, key, length);
        digest = (digest ^ rest) * MULTIPLIER;
    }
    digest ^= digest >> 13;
    digest *= MULTIPLIER;
    return digest ^ digest >> 15;
}

// `user` is the key of the user's records; there is at least one partition.
inline int64_t partition_of(std::string_view user, int64_t partitions) {
    return (murmur2(user) & 0x7fffffff) % partitions;
}
