"""What the dead letters say of the source records: which were refused, and on which a rule raised."""

from __future__ import annotations

from collections.abc import Mapping

from reco_stream.dead_letters import Ledger
from reco_stream.verify.log import LogReader


class Letters:
    """The dead letters of one source topic, read on when asked: workers may be writing more."""

    def __init__(self, reader: LogReader, topic: str, source_topic: str) -> None:
        self._reader = reader
        self._topic = topic
        self._source_topic = source_topic
        self._ledger = Ledger()
        self._at = 0
        # Retention has removed letters, so that one is missing means nothing.
        self.incomplete = False

    async def refresh(self) -> None:
        """Reads what has been added since. Raises KafkaError."""
        first, end = await self._reader.bounds(self._topic, 0)
        self.incomplete = self.incomplete or first > self._at
        self._at = max(self._at, first)
        async for letters in self._reader.read(self._topic, 0, self._at, end):
            for letter in letters:
                self._ledger.add(letter)
        self._at = max(self._at, end)

    def of(self, partition: int) -> Mapping[int, str]:
        """Offset -> reason of the source records of `partition`."""
        found: dict[int, str] = {}
        for entry in self._ledger.entries.values():
            topic, number, offset = entry.source.rsplit("/", 2)
            if topic == self._source_topic and int(number) == partition:
                found[int(offset)] = entry.reason
        return found
