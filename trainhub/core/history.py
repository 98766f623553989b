"""The last events of each stream, by seq, for clients that reconnect."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from trainhub.core.journal import Record
from trainhub.core.stream import Stream

# Records for each stream. A stop of a full train makes about 200 events, and a client may miss two.
EVENTS_KEPT = 512


class History:
    """The last `kept` records of each stream."""

    def __init__(self, kept: int = EVENTS_KEPT) -> None:
        self._kept = kept
        self._records: dict[Stream, deque[Record]] = {}

    def add(self, record: Record) -> None:
        """Store the stream's next record. After a gap, drop the records before it."""
        records = self._records.get(record.stream)
        if records is None:
            records = self._records[record.stream] = deque(maxlen=self._kept)
        elif records[-1].seq + 1 != record.seq:
            records.clear()
        records.append(record)

    def since(self, stream: Stream, seq: int) -> Sequence[Record] | None:
        """Return the stream's records after `seq`, or None if some of them were dropped."""
        records = self._records.get(stream, ())
        if not records:
            return None
        first, last = records[0].seq, records[-1].seq
        if not first - 1 <= seq <= last:
            return None
        return list(islice(records, seq - first + 1, None))

    def first(self, stream: Stream) -> int | None:
        """Return the seq of the stream's oldest stored record, or None."""
        records = self._records.get(stream)
        return records[0].seq if records else None

    def drop(self, stream: Stream) -> None:
        self._records.pop(stream, None)
