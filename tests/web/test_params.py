from __future__ import annotations

import pytest

from web.errors import ApiError
from web.params import AT_MS, COUNT, EXCLUDE_SEEN, EXPLAIN, PARTITIONS, USER_ID, WINDOW, check_id


def refused(read: object, *arguments: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(*arguments)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(("found", "value"), [("1", 1), ("100", 100), ("007", 7)])
def test_an_integer_within_its_bounds(found: str, value: int) -> None:
    assert COUNT.read({"count": found}) == value


def test_a_missing_integer_is_the_default() -> None:
    assert COUNT.read({}) == 10


@pytest.mark.parametrize("found", ["", "0", "101", "-1", "1.0", "1_0", " 1", "+1", "ten", "٣", "9" * 5000])
def test_anything_else_is_refused(found: str) -> None:
    error = refused(COUNT.read, {"count": found})
    assert (error.status, error.code, error.field) == (400, "bad_parameter", "count")
    assert error.message.endswith("wanted: an integer from 1 to 100")
    assert len(error.message) < 200
    assert error.message.isascii()


@pytest.mark.parametrize(("found", "value"), [("", True), ("1", True), ("TRUE", True), ("no", False), ("false", False)])
def test_flags(found: str, value: bool) -> None:
    assert EXPLAIN.read({"explain": found}) is value


def test_a_missing_flag_is_off() -> None:
    assert EXPLAIN.read({}) is False


def test_a_flag_is_nothing_else() -> None:
    assert refused(EXPLAIN.read, {"explain": "maybe"}).message == "explain is 'maybe', wanted: true or false"


@pytest.mark.parametrize(
    ("found", "value"),
    [("", True), ("true", True), ("0", False), ("purchase", {"purchase"}), ("Cart, purchase", {"cart", "purchase"})],
)
def test_seen_items_are_left_out_all_or_by_type(found: str, value: object) -> None:
    assert EXCLUDE_SEEN.read({"exclude_seen": found}, ["view", "cart", "purchase"]) == value


def test_seen_items_come_back_when_nothing_is_said() -> None:
    assert EXCLUDE_SEEN.read({}, ["view"]) is False


@pytest.mark.parametrize("found", ["bought", "purchase,", "true,purchase"])
def test_types_that_there_are_none_of_are_refused(found: str) -> None:
    error = refused(EXCLUDE_SEEN.read, {"exclude_seen": found}, ["view", "purchase"])
    assert error.message == f"exclude_seen is '{found}', wanted: true, false, or some of purchase, view"


def test_a_choice_is_one_of_its_words() -> None:
    assert WINDOW.read({"window": "7d"}) == "7d"
    assert WINDOW.read({}) == "24h"
    assert refused(WINDOW.read, {"window": "24H"}).field == "window"


def test_a_required_text_must_be_there() -> None:
    assert USER_ID.require({"user_id": "u"}) == "u"
    error = refused(USER_ID.require, {})
    assert (error.code, error.field) == ("missing_parameter", "user_id")


@pytest.mark.parametrize("found", ["", "x" * 257, "é" * 129, "\ud800"])
def test_an_id_has_1_to_256_bytes(found: str) -> None:
    assert check_id("user_id", "é" * 128) == "é" * 128
    error = refused(check_id, "user_id", found)
    assert error.status == 400
    assert error.message.endswith("wanted: 1 to 256 bytes of UTF-8")
    error.message.encode()


def test_partitions_are_numbers_below_the_count() -> None:
    assert PARTITIONS.read({"partitions": "3,0,3"}, 4) == [0, 3]
    for found in ("", "4", "1,", "a", "1,,2", "-1", "1" * 30):
        assert refused(PARTITIONS.read, {"partitions": found}, 4).field == "partitions"


def test_a_time_has_a_bound() -> None:
    assert AT_MS.read({"at_ms": "253402300799999"}) == 253_402_300_799_999
    assert refused(AT_MS.read, {"at_ms": "253402300800000"}).status == 400
