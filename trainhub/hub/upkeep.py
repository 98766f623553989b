"""The upkeep of runs and journal: load, snapshot, trim, retire and prune."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from trainhub.core.answers import KEPT_SECONDS, Answers
from trainhub.core.history import History
from trainhub.core.journal import Commit, Journal, JournalFailed, Record, Retired
from trainhub.core.ledger import Ledger
from trainhub.core.log import Log, Reader
from trainhub.core.rooms import Rooms
from trainhub.domain.events import Event, TrainRegistered
from trainhub.domain.model import RunKey
from trainhub.domain.snapshot import RunSnapshot, resume, snapshot_of
from trainhub.domain.train import TrainState, fold
from trainhub.hub.retention import RECORDS_KEPT, Retention
from trainhub.hub.runs import Runs

logger = logging.getLogger("trainhub.hub")

# How long a run can be read after its end.
KEEP_ENDED = timedelta(hours=6)
# Days after which the key of a retired run may be registered again.
KEEP_RETIRED_DAYS = 100
# Records that are read from the journal at once while the runs are loaded.
LOAD = 5_000


class Upkeep:
    """Loads the runs of one journal, and keeps the journal and the hub's memory bounded."""

    def __init__(
        self,
        runs: Runs,
        journal: Journal,
        log: Log,
        answers: Answers,
        history: History,
        ledger: Ledger,
        rooms: Rooms,
        readers: Sequence[Reader],
        clock: Callable[[], datetime],
        may_trim: Callable[[], Awaitable[bool]],
    ) -> None:
        """`may_trim` returns whether MongoDB has the records that are to be trimmed."""
        self._runs = runs
        self._journal = journal
        self._log = log
        self._answers = answers
        self._history = history
        self._ledger = ledger
        self._rooms = rooms
        self._readers = readers
        self._clock = clock
        self._may_trim = may_trim
        self._retention = Retention()
        self._trimmed = 0

    def add(self, record: Record) -> None:
        """Count a record that was just committed."""
        self._history.add(record)
        self._retention.add(record)

    async def load(self) -> int:
        """Load the runs from their snapshots and later records. Returns the number of records."""
        start, count, position, resumed = time.monotonic(), 0, 0, 0
        self._runs.retired = await self._journal.retired()
        while records := await self._journal.unfolded(position, LOAD, RECORDS_KEPT):
            for record in records:
                if not record.in_stream:
                    self._ledger.recall(record.event)
                    continue
                # One at a time: a run's snapshot may be large.
                snapshot = await self._journal.snapshot(record.stream) if record.seq == 1 else None
                resumed += snapshot is not None
                self._replay(record, snapshot)
            position = records[-1].position
            count += len(records)
        for state in self._runs.all():
            state.due.everywhere = state.running  # a batch may have been cut short
        self._answers.load(await self._journal.answers())
        took = time.monotonic() - start
        logger.info(
            "loaded %d runs from %d snapshots and %d journal records in %.2f s",
            len(self._runs),
            resumed,
            count,
            took,
        )
        return count

    def _replay(self, record: Record, snapshot: RunSnapshot | None) -> None:
        """Apply a record. A run's first record comes with the run's snapshot, if there is one."""
        run, event = record.stream, record.event
        state = self._runs.present(run)
        if state is None and snapshot is not None and isinstance(event, TrainRegistered):
            self._runs.adopt(_resumed(run, event, snapshot))
        elif state is None or record.seq > state.seq:
            state = state or TrainState(run)
            if record.seq != state.seq + 1:
                raise _unbelievable(f"{run} has seq {record.seq} after {state.seq}")
            self._runs.adopt(state)
            state.evolve(event)
        self._history.add(record)
        self._retention.add(record)
        if snapshot is not None:
            self._retention.resumed(run, snapshot.seq, self._journal.head)

    def restore(self, runs: Mapping[RunKey, Sequence[Event]]) -> "asyncio.Future[None]":
        """Add runs of another log, each with its events, to this one.

        The future is done when all of them are durable.
        """
        for run, events in runs.items():
            self._runs.adopt(fold(run, events))
            self._log.append(run, 1, events)
        return self._log.append()

    async def tidy(self) -> None:
        """Write the snapshots that are due, and trim the records that no reader needs."""
        kept = 0 if self._log.filling else RECORDS_KEPT
        for state in list(self._runs.all()):
            if self._retention.due(state, self._log.last, kept):
                self._retention.saved(state.run, state.seq)
                await self._log.commit(Commit(snapshots={state.run: snapshot_of(state)}))
        if self._trimmable(kept) > self._trimmed and await self._may_trim():
            self._trimmed = self._trimmable(kept)
            await self._journal.trim(self._trimmed)

    def _trimmable(self, kept: int) -> int:
        done = min(reader.saved for reader in self._readers)
        return self._retention.trimmable(self._journal.head, done, kept)

    async def retire(self) -> None:
        """Retire the runs that ended long ago, once every reader has all their records."""
        now = self._clock()
        done = min(reader.saved for reader in self._readers)
        for state in [s for s in self._runs.all() if s.ended_at and s.ended_at < now - KEEP_ENDED]:
            if self._retention.is_done(state, done):
                await self._retire(state, now.timestamp())

    async def _retire(self, state: TrainState, now: float) -> None:
        run = state.run
        registered = self._retention.registered(run)
        self._runs.retire(run, now)
        self._history.drop(run)
        self._retention.remove(run)
        self._rooms.close(run)
        await self._log.commit(Commit(retired=[Retired(run, registered, now)]))

    async def prune(self, before: Callable[[float], float] | None = None) -> None:
        """Delete the answers that are over a day old, and the keys of runs retired long ago.

        `before` returns the time that was a given number of seconds ago. The default subtracts from
        the clock, which is wrong after the clock was set.
        """
        now = self._clock().timestamp()
        before = before or (lambda seconds: now - seconds)
        answers = before(KEPT_SECONDS)
        self._answers.prune(answers)
        retired = before(KEEP_RETIRED_DAYS * 24 * 3600)
        for run in [run for run, at in self._runs.retired.items() if at < retired]:
            del self._runs.retired[run]
        await self._journal.prune(answers, retired)


def _resumed(run: RunKey, registered: TrainRegistered, snapshot: RunSnapshot) -> TrainState:
    try:
        return resume(run, registered, snapshot)
    except ValueError as error:
        raise _unbelievable(str(error)) from error


def _unbelievable(what: str) -> JournalFailed:
    return JournalFailed(
        f"{what} in the journal: restore the data folder from a copy, or start with an empty one"
    )
