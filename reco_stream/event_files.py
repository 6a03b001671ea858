"""Event logs and catalogues in files: CSV with a header, or one JSON object a line, either of them gzipped.

`events.csv`: `timestamp` (epoch seconds or RFC 3339), `user_id`, `item_id`, `event_type`, `value`, `session_id` and
`event_id`, in any order. Only `item_id`, `event_type` and one of `user_id` and `session_id` are needed; other columns
are ignored. `items.csv`: `item_id`, `title`, `categories` (separated by "|"), `price`, `published_at`. An empty cell
means unknown. JSON lines have the same names, as in `docs/events.md`.
"""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from reco_stream.catalogue import Item
from reco_stream.events import BadEvent, RawEvent, decode_raw, encode_event

CSV_NEEDED = ("item_id", "event_type")
CSV_USER = ("user_id", "session_id")
MAX_LINE_BYTES = 1_048_576
_ITEM = msgspec.json.Decoder(Item)


class FileFormatError(ValueError):
    """A file that cannot be an event log or a catalogue: which file, what was found, what is wanted."""


class Line(NamedTuple):
    """One event, ready for Kafka. `number` counts the file's lines from 1, `time_ms` is None when it has no time."""

    number: int
    key: bytes
    value: bytes
    time_ms: int | None


class Refused(NamedTuple):
    """A line that is no event: its number, why (a code), and why in words."""

    number: int
    reason: str
    detail: str


class EventFile:
    """The events of a file in its order; iterating yields a `Line` or a `Refused` for every line.

    `check` may raise BadEvent to refuse an event that has the right form.
    Raises FileFormatError when the name, the header or the encoding is not one of the known forms, OSError when the
    file cannot be read.
    """

    def __init__(self, path: Path, check: Callable[[RawEvent], object] = lambda event: None) -> None:
        self.path = path
        self.total_bytes = path.stat().st_size
        self._is_json = _is_json(path)
        self._check = check
        self._file: io.BufferedReader | None = None
        self._bytes_read = 0

    @property
    def bytes_read(self) -> int:
        """How far reading has come, in bytes of the file as it lies on the disk."""
        if self._file is not None and not self._file.closed:
            self._bytes_read = self._file.tell()
        return self._bytes_read

    def __iter__(self) -> Iterator[Line | Refused]:
        with self.path.open("rb") as self._file:
            yield from self._json_lines(self._file) if self._is_json else self._csv_lines(self._file)
        self._bytes_read = self.total_bytes

    def _json_lines(self, file: io.BufferedReader) -> Iterator[Line | Refused]:
        with _decompressed(file, self.path) as lines:
            for number, text in enumerate(lines, start=1):
                body = text.strip()
                if not body:
                    continue
                try:
                    event = decode_raw(body, MAX_LINE_BYTES)
                    self._check(event)
                    yield Line(number, encode_event(event)[0], body, time_ms(event.timestamp))
                except BadEvent as bad:
                    yield Refused(number, bad.reason, bad.detail)

    def _csv_lines(self, file: io.BufferedReader) -> Iterator[Line | Refused]:
        with _decompressed(file, self.path) as lines, io.TextIOWrapper(lines, "utf-8-sig", newline="") as text:
            rows = csv.reader(text)
            header = next(rows, [])
            _check_header(self.path, header)
            to_event = _row_reader(header)
            for row in rows:
                if not row:
                    continue
                try:
                    event, at_ms = to_event(row)
                    self._check(event)
                    yield Line(rows.line_num, *encode_event(event), at_ms)
                except BadEvent as bad:
                    yield Refused(rows.line_num, bad.reason, bad.detail)


def read_items(path: Path) -> Iterator[Item]:
    """The items of a catalogue file. Raises FileFormatError with the line when one cannot be read."""
    with path.open("rb") as file:
        for number, fields in item_rows(path, file):
            try:
                yield _ITEM.decode(fields) if isinstance(fields, bytes) else msgspec.convert(fields, Item, strict=False)
            except msgspec.DecodeError as error:  # a ValidationError is one
                raise FileFormatError(f"{path} line {number}: {error}") from None


def item_rows(path: Path, file: io.BufferedReader) -> Iterator[tuple[int, Any]]:
    """The rows of a catalogue file with their line numbers: JSON as bytes, CSV as a mapping of the filled cells.

    Raises FileFormatError when the file as a whole cannot be read.
    """
    with _decompressed(file, path) as lines:
        yield from _json_items(lines) if _is_json(path) else _csv_items(path, lines)


def write_events(path: Path, events: Iterable[RawEvent]) -> None:
    """Writes events in the form that the name says; the same events make the same bytes.

    In CSV the times, which must be epoch milliseconds, are written as seconds; `event_id` and `metadata` are left out.
    """
    if _is_json(path):
        _write(path, (msgspec.json.encode(event).decode() for event in events))
    else:
        _write_csv(path, ("timestamp", "user_id", "item_id", "event_type", "value", "session_id"), map(_cells, events))


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Writes a catalogue in the form that the name says; the same items make the same bytes."""
    if _is_json(path):
        _write(path, (msgspec.json.encode(item).decode() for item in items))
    else:
        cells = ((i.item_id, i.title, "|".join(i.categories), i.price, i.published_at) for i in items)
        _write_csv(path, ("item_id", "title", "categories", "price", "published_at"), cells)


def time_ms(found: str | float | None) -> int | None:
    """Milliseconds of a time in the forms of the event contract, None when there is none or it cannot be understood.

    >>> time_ms(1506826800.026), time_ms(1506826800026), time_ms("2017-10-01T03:00:00.026Z")
    (1506826800026, 1506826800026, 1506826800026)
    """
    try:
        if isinstance(found, str):
            moment = datetime.fromisoformat(found)
            return round(moment.timestamp() * 1000) if moment.tzinfo else None
        if found is None:
            return None
        return round(found * 1000) if found < 100_000_000_000 else int(found)
    except (ValueError, OverflowError):
        return None


def _is_json(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in (".csv", ".jsonl"):
        raise FileFormatError(f"{path}: the name ends in {kind or 'nothing'}; wanted: .csv, .jsonl, .csv.gz, .jsonl.gz")
    return kind == ".jsonl"


@contextmanager
def _decompressed(file: io.BufferedReader, path: Path) -> Iterator[Any]:
    """The file's bytes without compression; what goes wrong while they are read is told as FileFormatError."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(file) as unzipped:
                yield unzipped
        else:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path} is no complete gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8: {error.reason}") from None
    except csv.Error as error:
        raise FileFormatError(f"{path} is no CSV file: {error}") from None


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in CSV_NEEDED if name not in header]
    if not any(name in header for name in CSV_USER):
        missing.append(" or ".join(CSV_USER))
    if missing:
        raise FileFormatError(f"{path}: the header is {','.join(header)!r}; wanted: also {', '.join(missing)}")


def _row_reader(header: list[str]) -> Callable[[list[str]], tuple[RawEvent, int | None]]:
    """A function from the cells of a row to the event and its time. Raises BadEvent."""
    places = {name: header.index(name) for name in header}
    item, kind = places["item_id"], places["event_type"]
    user, session, event_id = (places.get(name, -1) for name in ("user_id", "session_id", "event_id"))
    time, value = places.get("timestamp", -1), places.get("value", -1)
    width = len(header)

    def to_event(row: list[str]) -> tuple[RawEvent, int | None]:
        if len(row) != width:
            raise BadEvent("not_json", f"the line has {len(row)} cells; wanted: {width} as in the header")
        at_ms = None
        if time >= 0 and row[time]:
            at_ms = _cell_time_ms(row[time])
        return RawEvent(
            item_id=row[item],
            event_type=row[kind],
            user_id=(row[user] or None) if user >= 0 else None,
            session_id=(row[session] or None) if session >= 0 else None,
            event_id=(row[event_id] or None) if event_id >= 0 else None,
            timestamp=at_ms,
            value=_cell_value(row[value]) if value >= 0 and row[value] else None,
        ), at_ms

    return to_event


def _cell_time_ms(cell: str) -> int:
    try:
        at_ms = time_ms(float(cell))
    except ValueError:
        at_ms = time_ms(cell)
    if at_ms is None:
        raise BadEvent("bad_timestamp", f"timestamp is {cell!r}; wanted: epoch seconds or RFC 3339", "timestamp")
    return at_ms


def _cell_value(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise BadEvent("wrong_type", f"value is {cell!r}; wanted: a number", "value") from None


def _json_items(lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line


def _csv_items(path: Path, lines: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with io.TextIOWrapper(lines, "utf-8-sig", newline="") as text:
        rows = csv.DictReader(text)
        if "item_id" not in (rows.fieldnames or []):
            found = ",".join(rows.fieldnames or [])
            raise FileFormatError(
                f"{path}: the header is {found!r}; wanted: item_id,title,categories,price,published_at"
            )
        for row in rows:
            fields: dict[str, Any] = {name: cell for name, cell in row.items() if cell and name}
            if "categories" in fields:
                fields["categories"] = [part for part in fields["categories"].split("|") if part]
            if "published_at" in fields:
                fields["published_at"] = _rfc3339(fields["published_at"])
            yield rows.line_num, fields


def _rfc3339(cell: str) -> str:
    """Epoch seconds as RFC 3339; anything else as it is.

    >>> _rfc3339("788918400.0")
    '1995-01-01T00:00:00Z'
    """
    try:
        moment = datetime.fromtimestamp(float(cell), UTC)
    except (ValueError, OverflowError, OSError):
        return cell
    return moment.isoformat(timespec="auto").replace("+00:00", "Z")


def _cells(event: RawEvent) -> tuple[Any, ...]:
    seconds = "" if event.timestamp is None else f"{float(event.timestamp) / 1000:.3f}"
    return seconds, event.user_id, event.item_id, event.event_type, event.value, event.session_id


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="")

    def lines() -> Iterator[str]:
        for row in itertools.chain([header], rows):
            writer.writerow(row)
            yield text.getvalue()
            text.seek(0)
            text.truncate()

    _write(path, lines())


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if path.suffix.lower() == ".gz":
            # Neither name nor time in the gzip header, or equal content would not be equal bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as zipped:
                zipped.writelines(f"{line}\n".encode() for line in lines)
        else:
            file.writelines(f"{line}\n".encode() for line in lines)
