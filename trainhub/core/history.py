"""The last events of each stream, by seq: what a client that was away has missed."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from trainhub.core.journal import Record
from trainhub.core.stream import Stream

# A stop of a full train is some 200 events; a client may sleep through two.
EVENTS_KEPT = 512


class History:
    """The last `kept` records of each stream."""

    def __init__(self, kept: int = EVENTS_KEPT) -> None:
        self._kept = kept
        self._records: dict[Stream, deque[Record]] = {}

    def add(self, record: Record) -> None:
        """Keep the stream's next record; after a gap, what is before it is of no use."""
        records = self._records.get(record.stream)
        if records is None:
            records = self._records[record.stream] = deque(maxlen=self._kept)
        elif records[-1].seq + 1 != record.seq:
            records.clear()
        records.append(record)

    def since(self, stream: Stream, seq: int) -> Sequence[Record] | None:
        """The stream's records after `seq`, or None if some of them are no longer held."""
        records = self._records.get(stream, ())
        if not records:
            return None
        first, last = records[0].seq, records[-1].seq
        if not first - 1 <= seq <= last:
            return None
        return list(islice(records, seq - first + 1, None))

    def first(self, stream: Stream) -> int | None:
        """The seq of the oldest record that is held of a stream."""
        records = self._records.get(stream)
        return records[0].seq if records else None

    def forget(self, stream: Stream) -> None:
        self._records.pop(stream, None)
