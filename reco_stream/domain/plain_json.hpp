// A reader of plain JSON (RFC 8259): what it accepts, every JSON decoder accepts and understands alike.
//
// Every function says false for what is no JSON, and for what is unusual enough that decoders may differ: numbers with
// an exponent or more than 18 digits, halves of surrogate pairs, much nesting. The text must be valid UTF-8.

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

// Whether Python's bytes.decode() would accept `text`: no overlong form, no surrogate, nothing above U+10FFFF.
inline bool is_utf8(std::string_view text) {
    const auto* at = reinterpret_cast<const unsigned char*>(text.data());
    const auto* const end = at + text.size();
    const auto follows = [&](int count) {
        if (end - at <= count) return false;
        for (int next = 1; next <= count; next++)
            if ((at[next] & 0xc0) != 0x80) return false;
        return true;
    };
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8 && (std::memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
        } else if (*at < 0x80) {
            at++;
        } else if (*at < 0xe0) {
            if (*at < 0xc2 || !follows(1)) return false;
            at += 2;
        } else if (*at < 0xf0) {
            if (!follows(2) || (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] >= 0xa0)) return false;
            at += 3;
        } else {
            if (*at > 0xf4 || !follows(3) || (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] >= 0x90)) return false;
            at += 4;
        }
    }
    return true;
}

class PlainJson {
public:
    static constexpr int MAX_DEPTH = 16, MAX_DIGITS = 18;

    struct Number {
        std::string_view text;    // as it is written
        uint64_t digits = 0;      // without the point
        int decimals = 0;         // digits behind the point
        bool negative = false, is_integer = true;
    };

    explicit PlainJson(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

    // What comes next, white space skipped; 0 at the end.
    char peek() {
        while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) at_++;
        return at_ < end_ ? *at_ : '\0';
    }
    bool take(char wanted) {
        if (peek() != wanted) return false;
        at_++;
        return true;
    }
    bool at_end() { return peek() == '\0' && at_ == end_; }
    bool word(std::string_view wanted) {
        if (static_cast<std::size_t>(end_ - at_) < wanted.size() || std::memcmp(at_, wanted.data(), wanted.size()) != 0)
            return false;
        at_ += wanted.size();
        return true;
    }

    // A string, which may lie in `unescaped`.
    bool string(std::string_view& found, std::string& unescaped) {
        if (!take('"')) return false;
        const char* const begin = at_;
        for (; at_ < end_; at_++) {
            if (*at_ == '"') {
                found = {begin, static_cast<std::size_t>(at_++ - begin)};
                return true;
            }
            if (*at_ == '\\') {
                unescaped.assign(begin, at_);
                return rest_of_string(found, unescaped);
            }
            if (static_cast<unsigned char>(*at_) < ' ') return false;
        }
        return false;
    }

    bool number(Number& found) {
        found = {};
        peek();
        const char* const begin = at_;
        if (at_ < end_ && *at_ == '-') {
            found.negative = true;
            at_++;
        }
        const char* const first = at_;
        if (!digits(found)) return false;
        if (*first == '0' && at_ - first > 1) return false;
        if (at_ < end_ && *at_ == '.') {
            found.is_integer = false;
            const char* const point = at_++;
            if (!digits(found)) return false;
            found.decimals = static_cast<int>(at_ - point - 1);
        }
        if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) return false;
        found.text = {begin, static_cast<std::size_t>(at_ - begin)};
        return at_ - first <= MAX_DIGITS + (found.is_integer ? 0 : 1);
    }

    // Any value.
    bool skip(int depth = 0) {
        std::string_view text;
        Number number;
        switch (peek()) {
            case '"': return string(text, skipped_);
            case 't': return word("true");
            case 'f': return word("false");
            case 'n': return word("null");
            case '{':
                return list('}', depth, [&] { return string(text, skipped_) && take(':') && skip(depth + 1); });
            case '[': return list(']', depth, [&] { return skip(depth + 1); });
            default: return this->number(number);
        }
    }

private:
    const char* at_;
    const char* const end_;
    std::string skipped_;

    template <typename Entry>
    bool list(char close, int depth, Entry entry) {
        at_++;
        if (depth == MAX_DEPTH) return false;
        if (take(close)) return true;
        do {
            if (!entry()) return false;
        } while (take(','));
        return take(close);
    }

    // One digit or more.
    bool digits(Number& found) {
        const char* const first = at_;
        for (; at_ < end_ && *at_ >= '0' && *at_ <= '9'; at_++) {
            if (at_ - first == MAX_DIGITS) return false;
            found.digits = found.digits * 10 + static_cast<uint64_t>(*at_ - '0');
        }
        return at_ != first;
    }

    // From the first escape on.
    bool rest_of_string(std::string_view& found, std::string& text) {
        while (at_ < end_) {
            const char next = *at_++;
            if (next == '"') {
                found = text;
                return true;
            }
            if (static_cast<unsigned char>(next) < ' ') return false;
            if (next != '\\') text += next;
            else if (!escape(text)) return false;
        }
        return false;
    }
    bool escape(std::string& text) {
        static constexpr char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        if (at_ == end_) return false;
        const char name = *at_++;
        if (name == 'u') return escaped_point(text);
        const char* const known = static_cast<const char*>(std::memchr(names, name, sizeof names - 1));
        if (known != nullptr) text += meant[known - names];
        return known != nullptr;
    }
    bool escaped_point(std::string& text) {
        uint32_t point, low;
        if (!hex(point)) return false;
        if (point >= 0xd800 && point < 0xe000) {
            if (point >= 0xdc00 || !word("\\u") || !hex(low) || low < 0xdc00 || low >= 0xe000) return false;
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        }
        const auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
        const auto follow = [&](int shift) { put(0x80 | (point >> shift & 0x3f)); };
        if (point < 0x80) {
            put(point);
        } else if (point < 0x800) {
            put(0xc0 | point >> 6);
            follow(0);
        } else if (point < 0x10000) {
            put(0xe0 | point >> 12);
            follow(6);
            follow(0);
        } else {
            put(0xf0 | point >> 18);
            follow(12);
            follow(6);
            follow(0);
        }
        return true;
    }
    bool hex(uint32_t& found) {
        found = 0;
        if (end_ - at_ < 4) return false;
        for (int digit = 0; digit < 4; digit++, at_++) {
            const char lower = static_cast<char>(*at_ | 0x20);
            if (*at_ >= '0' && *at_ <= '9') found = found << 4 | static_cast<uint32_t>(*at_ - '0');
            else if (lower >= 'a' && lower <= 'f') found = found << 4 | static_cast<uint32_t>(lower - 'a' + 10);
            else return false;
        }
        return true;
    }
};
