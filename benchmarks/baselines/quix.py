"""Baseline: Quix Streams 3.x with exactly-once and its default commit interval, the same rules in its state.

Quix keeps state for each key of a message; one constant key for all messages of a partition is the way to rows that
users and items of the partition share. Values are bytes, so that Quix' own JSON does not count against it, and are
decoded by this project's decoder. Runs under an interpreter that has `quixstreams`, see `make help` or
docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State
from quixstreams.context import message_context
from quixstreams.models import BytesDeserializer, Deserializer

from benchmarks.baselines.arguments import Arguments, parse, rules
from benchmarks.baselines.progress import Progress
from benchmarks.baselines.stored_rows import StoredRows
from reco_stream.events import decode_raw, parse_event


class OneKey(Deserializer):  # type: ignore[misc]
    """The same key for every message, and so one state for a whole partition."""

    def __call__(self, value: bytes, ctx: Any) -> bytes:
        return b"p"


def run(arguments: Arguments) -> None:
    """Processes until it is killed."""
    app = Application(
        broker_address=arguments.broker,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=arguments.folder,
        loglevel="INFO",
    )
    topic = app.topic(arguments.topic, key_deserializer=OneKey(), value_deserializer=BytesDeserializer())
    event_rules, table_rules = rules()
    partitions = [StoredRows() for _ in range(arguments.partitions)]
    progress = Progress(arguments.progress)

    def fold(value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> None:
        def get(table: str, key: str) -> bytes | None:
            raw: bytes | None = state.get_bytes(f"{table}/{key}")
            return raw

        def put(table: str, key: str, row: bytes) -> None:
            state.set_bytes(f"{table}/{key}", row)

        event = parse_event(decode_raw(value, event_rules.max_bytes), timestamp, event_rules)
        rows = partitions[message_context().partition]
        rows.stream_time_ms = max(rows.stream_time_ms, event.time_ms)
        rows.apply(event, table_rules, get, put)
        progress.add(1)

    app.dataframe(topic).update(fold, metadata=True, stateful=True)
    app.run()


if __name__ == "__main__":
    run(parse())
