"""What the journal has to keep: which runs want a snapshot, and up to where it may be trimmed.

A run's first record, with its chart, stays until the run is retired; a snapshot stands for the
others. A start then folds, of each run, what came after its snapshot.
"""

from dataclasses import dataclass

from trainhub.core.journal import Record
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState

# The last records stay whatever was done with them: clients of a hub that was started again get
# from them what they missed. Reading them takes a start about a quarter of a second.
RECORDS_KEPT = 20_000
# A snapshot after this many events of a run, or as many as it has passengers and offers: so its
# cost for each event is the same on a small train and a full one, at dawn and after a long day.
LEAST = 200


@dataclass(slots=True)
class _Run:
    """Positions of a run's first and last record, and of the first that its snapshot lacks."""

    registered: int
    last: int
    seq: int
    unsaved: int | None = None
    saved_seq: int = 1


class Retention:
    """Positions of each run's records; a caller whose disk fills up says that none are `kept`."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, _Run] = {}

    def add(self, record: Record) -> None:
        """Take note of a record that is on disk."""
        run = self._runs.get(record.stream)
        if run is None:
            run = self._runs[record.stream] = _Run(record.position, record.position, record.seq)
        run.last, run.seq = record.position, record.seq
        if run.unsaved is None and record.seq > run.saved_seq:
            run.unsaved = record.position

    def saved(self, run: RunKey, seq: int) -> None:
        """Take note that a snapshot stands for the run's records up to `seq`."""
        self._runs[run].saved_seq, self._runs[run].unsaved = seq, None

    def resumed(self, run: RunKey, seq: int, head: int) -> None:
        """Take note at a start that a snapshot stands for records, none of them behind `head`.

        These are not read again, so `add` does not tell of them.
        """
        self.saved(run, seq)
        self._runs[run].seq, self._runs[run].last = seq, head

    def forget(self, run: RunKey) -> None:
        del self._runs[run]

    def registered(self, run: RunKey) -> int:
        return self._runs[run].registered

    def is_done(self, state: TrainState, done: int) -> bool:
        """Whether all of a run is on disk, and every reader has dealt with it."""
        run = self._runs[state.run]
        return run.seq == state.seq and run.last <= done

    def due(self, state: TrainState, head: int, kept: int = RECORDS_KEPT) -> bool:
        """Whether a run wants a snapshot: many events since, or old ones that hold up trimming."""
        run = self._runs.get(state.run)
        if run is None or run.unsaved is None:
            return False
        most = max(LEAST, len(state.passengers) + len(state.offers))
        return state.seq - run.saved_seq >= most or run.unsaved <= head - kept

    def trimmable(self, head: int, done: int, kept: int = RECORDS_KEPT) -> int:
        """Return the position up to which no reader needs the records; `done` is the last one's."""
        unsaved = (run.unsaved - 1 for run in self._runs.values() if run.unsaved is not None)
        return min(done, head - kept, *unsaved)
