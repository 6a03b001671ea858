from __future__ import annotations

import pytest

from web.errors import ApiError
from web.next_token import MAX_SHOWN, mark, read_token, write_token


def test_a_token_holds_what_was_shown() -> None:
    token = write_token(frozenset(), [f"i{number}" for number in range(MAX_SHOWN)])
    assert token is not None
    assert read_token(token) == {mark(f"i{number}") for number in range(MAX_SHOWN)}
    assert len(token) <= 4000
    assert write_token(read_token(token), ["one more"]) is None
    assert read_token(None) == frozenset()


@pytest.mark.parametrize("token", ["x", "!!!", "ünder", "AAAA", "A" * 8_000])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ApiError, match="next is no token"):
        read_token(token)
