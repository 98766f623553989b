"""The last events of each run, by seq: what a client that was away has missed."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from trainhub.core.journal import Record
from trainhub.domain.model import RunKey

# A stop of a full train is some 200 events; a client may sleep through two.
KEPT = 512


class History:
    """The last `kept` records of each run."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._records: dict[RunKey, deque[Record]] = {}

    def add(self, record: Record) -> None:
        """Keep the run's next record; after a gap, what is before it is of no use."""
        records = self._records.get(record.run)
        if records is None:
            records = self._records[record.run] = deque(maxlen=self._kept)
        elif records[-1].seq + 1 != record.seq:
            records.clear()
        records.append(record)

    def since(self, run: RunKey, seq: int) -> Sequence[Record] | None:
        """The run's records after `seq`, or None if some of them are no longer held."""
        records = self._records.get(run, ())
        if not records:
            return None
        first, last = records[0].seq, records[-1].seq
        if not first - 1 <= seq <= last:
            return None
        return list(islice(records, seq - first + 1, None))

    def first(self, run: RunKey) -> int | None:
        """The seq of the oldest record that is held of a run."""
        records = self._records.get(run)
        return records[0].seq if records else None

    def forget(self, run: RunKey) -> None:
        self._records.pop(run, None)
