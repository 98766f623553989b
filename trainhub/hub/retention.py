"""Which runs need a snapshot, and up to which position the journal may be trimmed.

A run's first record, with its chart, stays until the run is retired. A snapshot replaces the others
up to its seq. A start replays only the records after each run's snapshot.
"""

from dataclasses import dataclass

from trainhub.core.journal import Record
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState

# The newest records stay unless the log fills up. After a restart, clients get from them the events
# that they missed. A start reads them in about a quarter of a second.
RECORDS_KEPT = 20_000
# A run gets a snapshot after as many events as it has passengers and offers, but not before this
# many. So the cost of snapshots per event does not grow with the train or the day.
LEAST = 200


@dataclass(slots=True)
class _Run:
    """Positions of a run's first and last record, and of the first one after its snapshot."""

    registered: int
    last: int
    seq: int
    unsaved: int | None = None
    saved_seq: int = 1


class Retention:
    """Positions of each run's records. While the log fills up, callers pass 0 as `kept`."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, _Run] = {}

    def add(self, record: Record) -> None:
        """Note a record that is on disk."""
        run = self._runs.get(record.stream)
        if run is None:
            run = self._runs[record.stream] = _Run(record.position, record.position, record.seq)
        run.last, run.seq = record.position, record.seq
        if run.unsaved is None and record.seq > run.saved_seq:
            run.unsaved = record.position

    def saved(self, run: RunKey, seq: int) -> None:
        """Note that a snapshot replaces the run's records up to `seq`."""
        self._runs[run].saved_seq, self._runs[run].unsaved = seq, None

    def resumed(self, run: RunKey, seq: int, head: int) -> None:
        """Note at a start that a snapshot replaces records, all of them up to position `head`.

        The start does not read these records, so `add` is not called for them.
        """
        self.saved(run, seq)
        self._runs[run].seq, self._runs[run].last = seq, head

    def remove(self, run: RunKey) -> None:
        """Remove a run that is retired."""
        del self._runs[run]

    def registered(self, run: RunKey) -> int:
        """Return the position of the run's first record."""
        return self._runs[run].registered

    def is_done(self, state: TrainState, done: int) -> bool:
        """Return whether all of a run is on disk, and `done`, the readers' position, is past it."""
        run = self._runs[state.run]
        return run.seq == state.seq and run.last <= done

    def due(self, state: TrainState, head: int, kept: int = RECORDS_KEPT) -> bool:
        """Return whether a run needs a snapshot: it has many new events, or blocks trimming."""
        run = self._runs.get(state.run)
        if run is None or run.unsaved is None:
            return False
        most = max(LEAST, len(state.passengers) + len(state.offers))
        return state.seq - run.saved_seq >= most or run.unsaved <= head - kept

    def trimmable(self, head: int, done: int, kept: int = RECORDS_KEPT) -> int:
        """Return the position up to which the journal may be trimmed.

        `done` is the position of the reader that is furthest behind.
        """
        unsaved = (run.unsaved - 1 for run in self._runs.values() if run.unsaved is not None)
        return min(done, head - kept, *unsaved)
