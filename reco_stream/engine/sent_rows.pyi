"""What a partition has published, as far as it tells what need not be published (again): sent_rows.cpp."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from reco_stream.engine.published import Measure, Value

_Record = tuple[bytes, bytes | None]

def note(pending: dict[bytes, int], first_bytes: bytes, keys: Iterable[bytes], offset: int, /) -> None:
    """Put `offset` into `pending` for each key that begins with one of `first_bytes` and is not there yet."""

class SentRows:
    """Sizes and values of the rows that were published last, of some 5,000 each; what it forgets is published anew."""

    def __init__(
        self,
        measure: Callable[[bytes, bytes], Measure | None],
        expand: Callable[[bytes, bytes | None], Iterable[Value]],
        /,
    ) -> None: ...
    def take(
        self, rows: Sequence[_Record], stamp: bytes, everything: bool, batches: Mapping[str, list[_Record]], /
    ) -> tuple[list[bytes], int]:
        """Put what each of `rows` publishes, behind `stamp`, into the batch of its topic, and remember it.

        A row of the same make-up whose size is within a twentieth of the one published last is left out, unless
        `everything` is published. Return the keys of those left out, and the bytes that were put.
        """

    def new_values(self, key: bytes, values: Iterable[Value], /) -> list[Value]:
        """Return which of a row's `values` it did not make last time, and remember all; a single one is new always."""

    def others(self, key: bytes, values: Iterable[Value], /) -> list[Value] | None:
        """Return which of `values` the row of `key` did not make last time; None when that is not known."""
