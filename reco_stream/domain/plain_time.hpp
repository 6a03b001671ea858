// RFC 3339 as it is usually written, such as 2026-01-31T13:00:00.250+01:00, in milliseconds since 1970.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

// Days from 1970-01-01 to a date of the Gregorian calendar.
inline int64_t days_to(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;  // years begin in March, so that a leap day is the last one
    const int64_t month_from_march = (month + 9) % 12;
    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * month_from_march + 2) / 5 + day - 1 - 719'468;
}

// None for everything else: leap seconds, more than six decimals, small letters, no such day. Rounded down.
inline std::optional<int64_t> plain_time_ms(std::string_view text) {
    std::size_t at = 0;
    bool plain = true;
    const auto sign = [&](char wanted) { plain = plain && at < text.size() && text[at++] == wanted; };
    const auto number = [&](int digits, int64_t least, int64_t most) {
        int64_t found = 0;
        for (; digits-- && plain; at++) {
            plain = at < text.size() && text[at] >= '0' && text[at] <= '9';
            if (plain) found = found * 10 + (text[at] - '0');
        }
        plain = plain && found >= least && found <= most;
        return found;
    };
    const auto next = [&] { return at < text.size() ? text[at] : '\0'; };

    const int64_t year = number(4, 1, 9999);
    sign('-');
    const int64_t month = number(2, 1, 12);
    sign('-');
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const int64_t last = month == 2 ? 28 + leap : 30 + (month + month / 8) % 2;
    const int64_t day = number(2, 1, last);
    sign('T');
    int64_t seconds = days_to(year, month, day) * 86'400 + number(2, 0, 23) * 3'600;
    sign(':');
    seconds += number(2, 0, 59) * 60;
    sign(':');
    seconds += number(2, 0, 59);
    int64_t ms = 0;
    if (next() == '.') {
        at++;
        const std::size_t first = at;
        for (; next() >= '0' && next() <= '9'; at++)
            if (at - first < 3) ms = ms * 10 + (next() - '0');
        plain = plain && at > first && at - first <= 6;
        for (std::size_t digits = at - first; digits < 3; digits++) ms *= 10;
    }
    if (next() == '+' || next() == '-') {
        const int64_t east = next() == '+' ? 60 : -60;
        at++;
        seconds -= east * 60 * number(2, 0, 23);
        sign(':');
        seconds -= east * number(2, 0, 59);
    } else {
        sign('Z');
    }
    if (!plain || at != text.size()) return std::nullopt;
    return seconds * 1'000 + ms;
}
