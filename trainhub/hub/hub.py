"""A command in; its events to the journal, and from there to the three readers.

The hub holds the runs. Between finding a run, deciding, evolving and putting the events in line
there is no await, so commands on a run take effect one at a time, in the log's order. What is read
is taken at once and handed out when the log has it: nobody sees what a crash could unsay.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from trainhub.access.identity import Identity
from trainhub.core import cost
from trainhub.core.answers import KEPT_SECONDS, MOST, MOST_OF_PASSENGER, Answers
from trainhub.core.audience import Standing
from trainhub.core.errors import Conflict, HubError, Unavailable
from trainhub.core.history import History
from trainhub.core.journal import Batch, Deed, Journal, JournalFailed, Record, Retired
from trainhub.core.log import LIMIT, Log, Reader
from trainhub.core.lookups import Archive, NoArchive
from trainhub.core.wire import error_fields
from trainhub.domain import commands as c
from trainhub.domain.errors import UnknownOffer, UnknownTrain
from trainhub.domain.events import Event, TrainRegistered
from trainhub.domain.model import Role, RunKey, person_key, run_key
from trainhub.domain.snapshot import Snapshot, resume, take
from trainhub.domain.train import TrainState, fold
from trainhub.hub.audit import Audit, Entries, NoEntries, deed_of
from trainhub.hub.deliveries import Deliveries
from trainhub.hub.permissions import MAY, require_relation, require_role
from trainhub.hub.protocol import run_fields
from trainhub.hub.retention import KEPT, Retention
from trainhub.hub.subscriptions import Subscriptions
from trainhub.hub.train_rooms import TrainRooms
from trainhub.hub.which_run import run_meant

log = logging.getLogger("trainhub.hub")

T = TypeVar("T")
Clock = Callable[[], datetime]

# The first reader of the log: what the rooms were told.
DELIVERED = "delivered"
# How long a run that has ended can still be read.
KEEP_ENDED = timedelta(hours=6)
# For how many days the name of a run that has left the hub is not given anew.
KEEP_RETIRED_DAYS = 100
# How many records are taken from the journal at once while the runs are loaded.
LOAD = 5_000
# Marks of a batch that are decided in one turn of the loop. A no-show on a full train takes about
# a millisecond.
MARKS_AT_ONCE = 16


class Hub:
    """The runs of one log, and all that can be asked of them."""

    def __init__(
        self,
        journal: Journal,
        rooms: TrainRooms,
        clock: Clock,
        on_failure: Callable[[BaseException], None],
        journal_limit: int = LIMIT,
        archive: Archive | None = None,
        entries: Entries | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self.rooms = rooms
        self.log = Log(journal, self._committed, on_failure, journal_limit)
        told = Reader(DELIVERED, journal, rooms, catches_up=False)
        told.skip()  # nobody is there yet who could be told of what is in the log
        self.readers = [told]
        self._history = History()
        self.deliveries = Deliveries()
        self._retention = Retention()
        self._answers = Answers()
        self.audit = Audit(journal.epoch, entries or NoEntries())
        self._runs: dict[RunKey, TrainState] = {}
        self._by_train: dict[str, dict[RunKey, TrainState]] = {}
        self.subscriptions = Subscriptions(
            *(journal.epoch, self.log, rooms, self._history, archive or NoArchive()),
            is_here=self._runs.__contains__,
        )
        # Runs that were here, and since when they are over (seconds since 1970).
        self._retired: dict[RunKey, float] = {}
        self._figures_due: set[RunKey] = set()
        self.loaded = False
        # Why the hub is not loaded yet, for clients.
        self.starting = "the hub is starting and loads its runs: try again in a moment"
        # Whether MongoDB has, right now, what the journal is about to drop.
        self.may_trim: Callable[[], Awaitable[bool]] = _always
        self._trimmed = 0

    @property
    def epoch(self) -> str:
        return self._journal.epoch

    def now(self) -> datetime:
        return self._clock()

    def check(self) -> None:
        """Raise Unavailable until every run and chart is loaded, or if the journal has failed.

        What comes from outside asks this first. The start itself gives commands before.
        """
        if not self.loaded:
            raise Unavailable(self.starting)
        self.log.check()

    def begin_epoch(self) -> None:
        """Take up the journal's new epoch: clients of the one before need a fresh snapshot."""
        self.subscriptions.begin_epoch(self.epoch)
        self.audit.epoch = self.epoch

    def follow(self, *readers: Reader) -> None:
        """Let these read the log too, after the rooms."""
        self.readers += readers

    # --- finding a run ----------------------------------------------------------------------

    def runs(self) -> Iterable[TrainState]:
        return self._runs.values()

    def state(self, run: RunKey) -> TrainState:
        found = self._runs.get(run)
        if found is None:
            raise UnknownTrain(f"there is no run {run} here")
        return found

    def present(self, run: RunKey) -> TrainState | None:
        return self._runs.get(run)

    def find(
        self,
        train_no: str,
        start_date: date | None,
        identity: Identity,
        rooms: Collection[RunKey] = (),
    ) -> TrainState:
        """Return the run that is named; without a date the one that is meant (which_run.py).

        `rooms` are the rooms that a socket speaks of, if it speaks of its own.
        Raises UnknownTrain, or AmbiguousRun with the dates in `details`.
        """
        if start_date is not None:
            return self.state(run_key(train_no, start_date))
        runs = self._by_train.get(train_no)
        if not runs:
            raise UnknownTrain(f"there is no train {train_no[:20]} here")
        return run_meant(train_no, runs.values(), identity, self._clock(), rooms)

    # --- commands ---------------------------------------------------------------------------

    async def execute(
        self,
        command: c.Command,
        identity: Identity,
        key: str | None = None,
        address: str | None = None,
    ) -> dict[str, Any]:
        """Carry out a command; returns its result once its events are durable and delivered.

        `address` is where it came from, for the audit trail. A command under a `key` that its user
        has given before is not carried out again, and gets the first result. Raises a HubError,
        also only once what it speaks of is durable; nothing is changed then.
        """
        self.log.check()
        deed = deed_of(command, identity, address)
        try:
            if isinstance(command, c.Batch):
                self._run_of(command, identity)
                return await self._batch(command, identity, key, address)
            signed = None if key is None or identity.user is None else (identity.user, key)
            kept = signed and self._answers.find(*signed, command)
            if kept:
                self._check_again(kept, command, identity)
                result, durable = kept, self.log.append()
            else:
                state = self._run_of(command, identity)
                result, durable = self._carry_out(state, command, signed, deed)
        except HubError as error:
            self.audit.refused(deed, self._named(command, identity), error, self._clock())
            await self.log.append()
            raise
        await durable
        return result

    def _check_again(self, kept: Mapping[str, Any], command: c.Command, identity: Identity) -> None:
        """Raise unless whoever repeats a command may still give it: the answer may name somebody.

        Its giver's role or trains may be others by now, and names are of one role only.
        """
        require_role(identity, MAY[type(command)])
        run = RunKey(f"{kept['trainNo']}/{kept['startDate']}")
        state = self._runs.get(run)
        owner = identity.user if state is None else _owner(command, state)
        require_relation(identity, type(command), run, owner)

    def _carry_out(
        self,
        state: TrainState,
        command: c.Command,
        signed: tuple[str, str] | None = None,
        deed: Deed | None = None,
    ) -> "tuple[dict[str, Any], asyncio.Future[None]]":
        """Decide, evolve and put the events in line; the future is done when they are durable.

        `signed` are the user and the key under which the result is kept, `deed` is who did it.
        """
        self.log.check_room()
        now = self._clock()
        first = state.seq + 1
        events = state.carry_out(command, now, None if deed is None else Role(deed.role))
        self._adopt(state)
        result = _result(command, state, events)
        if signed is None:
            return result, self.log.append(state.run, first, events, deed=deed)
        most = MOST_OF_PASSENGER if deed and deed.role == Role.PASSENGER else MOST
        answer, gone = self._answers.keep(*signed, command, result, now.timestamp(), most)
        return result, self.log.append(state.run, first, events, answer, gone=gone, deed=deed)

    async def _batch(
        self, batch: c.Batch, identity: Identity, key: str | None, address: str | None
    ) -> dict[str, Any]:
        """Each mark is a command of its own, with its own key if the batch has one."""
        commands = [
            c.MARKS[mark.mark](
                train_no=batch.train_no,
                start_date=batch.start_date,
                pnr=mark.pnr,
                index=mark.index,
            )
            for mark in batch.marks
        ]
        keys = (None if key is None else f"{key}#{place}" for place in range(len(commands)))
        answers: list[asyncio.Task[dict[str, Any]]] = []
        pairs = zip(commands, keys, strict=True)
        async for some in cost.in_slices(iter(lambda: [*islice(pairs, MARKS_AT_ONCE)], [])):
            for command, own in some:
                work = cost.paid(self.execute(command, identity, own, address))
                answers.append(asyncio.create_task(work))
            await asyncio.sleep(0)  # so that they are decided within this slice
        results = await asyncio.gather(*answers, return_exceptions=True)
        return {"marks": [_marked(*pair) for pair in zip(batch.marks, results, strict=True)]}

    async def acknowledge(
        self, state: TrainState, seq: int, standing: Standing, device: object
    ) -> None:
        """Note for good that the UPGRADE_OFFER numbered `seq` has arrived on a device.

        Does nothing for a device that said so before, for an offer that is not the user's, and
        while the log is full.
        """
        self.check()
        if self.log.full:
            return
        offer = self.deliveries.arrived(state, seq, standing, device)
        if offer is not None:
            train_no = state.chart.train_no
            command = c.AcknowledgeOffer(train_no=train_no, offer_id=offer)
            _, durable = self._carry_out(state, command)
            await durable

    async def expire_offers(self) -> None:
        """Close the offers whose time is over, on every run; later, while the log is full."""
        if self.log.full:
            return
        now = self._clock()
        for state in [s for s in self._runs.values() if s.open_by_berth]:
            if min(o.made.expires_at for o in state.open_by_berth.values()) <= now:
                self._carry_out(state, c.ExpireOffers(train_no=state.chart.train_no))
        await self.log.append()

    async def correct_clock(self, seconds: int) -> None:
        """Note in every run's log that the clock was set, so that nothing is over early or late.

        The clock shows its new time already. No command comes in between.
        """
        for state in list(self._runs.values()):
            self._carry_out(
                state, c.CorrectClock(train_no=state.chart.train_no, by_seconds=seconds)
            )
        await self.log.append()

    def _run_of(self, command: c.Command, identity: Identity) -> TrainState:
        # Before it is looked for: whoever may not ask is not told what there is.
        require_role(identity, MAY[type(command)])
        if isinstance(command, c.RegisterTrain):
            run = command.chart.run
            require_relation(identity, type(command), run)
            if run in self._retired:
                raise Conflict(f"{run} was here and has ended: a run is registered once")
            return self._runs.get(run) or TrainState(run)
        try:
            state = self.find(command.train_no, command.start_date, identity)
        except UnknownTrain:
            if isinstance(command, c.OfferCommand):
                raise UnknownOffer("there is no offer of that id") from None
            raise
        require_relation(identity, type(command), state.run, _owner(command, state))
        return state

    def _named(self, command: c.Command, identity: Identity) -> RunKey | None:
        """The run that a command names, if there is one here."""
        with suppress(HubError):
            return self.find(command.train_no, command.start_date, identity).run
        return None

    def _adopt(self, state: TrainState) -> None:
        if state.run not in self._runs:
            self._runs[state.run] = state
            train_no = run_fields(state.run)["trainNo"]
            self._by_train.setdefault(train_no, {})[state.run] = state

    def _committed(self, records: list[Record]) -> None:
        for record in records:
            self._history.add(record)
            self._retention.add(record)
            self._figures_due.add(record.stream)
        for reader in self.readers:
            reader.offer(records)

    # --- reading ----------------------------------------------------------------------------

    async def read(self, view: Callable[[], T]) -> T:
        """What `view` gives now, handed out once all that it may show is durable."""
        seen = view()
        await self.log.append()
        return seen

    # --- on timers --------------------------------------------------------------------------

    async def send_figures(self) -> None:
        """The figures of each run that has changed since the last call."""
        due, self._figures_due = self._figures_due, set()
        await self.subscriptions.send_figures([self._runs[run] for run in due if run in self._runs])

    async def save_places(self) -> None:
        """Keep how far each reader has got."""
        moved = [(r, place) for r in self.readers if (place := r.place()) is not None]
        if moved:
            await self.log.keep(Batch(places=[place for _, place in moved]))
        for reader, place in moved:
            reader.has_saved(place)

    async def tidy(self) -> None:
        """Take the snapshots that are due, and trim from the journal what nobody needs."""
        kept = 0 if self.log.filling else KEPT
        for state in list(self._runs.values()):
            if self._retention.due(state, self.log.last, kept):
                self._retention.saved(state.run, state.seq)
                await self.log.keep(Batch(snapshots={state.run: take(state)}))
        if self._trimmable(kept) > self._trimmed and await self.may_trim():
            self._trimmed = self._trimmable(kept)
            await self._journal.trim(self._trimmed)

    def _trimmable(self, kept: int) -> int:
        done = min(reader.saved for reader in self.readers)
        return self._retention.trimmable(self._journal.head, done, kept)

    async def retire(self) -> None:
        """Forget the runs that ended long ago, once every reader has all of them."""
        now = self._clock()
        done = min(reader.saved for reader in self.readers)
        for state in [
            s for s in self._runs.values() if s.ended_at and s.ended_at < now - KEEP_ENDED
        ]:
            if self._retention.is_done(state, done):
                await self._retire(state, now.timestamp())

    async def _retire(self, state: TrainState, now: float) -> None:
        run, train_no = state.run, run_fields(state.run)["trainNo"]
        registered = self._retention.registered(run)
        self._retired[run] = now
        del self._runs[run]
        del self._by_train[train_no][run]
        if not self._by_train[train_no]:
            del self._by_train[train_no]
        self._history.forget(run)
        self._retention.forget(run)
        self.rooms.close(run)
        await self.log.keep(Batch(retired=[Retired(run, registered, now)]))

    async def forget(self, before: Callable[[float], float] | None = None) -> None:
        """Let go of the answers that are over a day old, and of runs that are long over.

        `before` returns the time before which all is so many seconds old; by default it is as many
        seconds ago, which is wrong after the clock was set.
        """
        now = self._clock().timestamp()
        before = before or (lambda seconds: now - seconds)
        answers = before(KEPT_SECONDS)
        self._answers.forget(answers)
        retired = before(KEEP_RETIRED_DAYS * 24 * 3600)
        for run in [run for run, at in self._retired.items() if at < retired]:
            del self._retired[run]
        await self._journal.forget(answers, retired)

    # --- starting ---------------------------------------------------------------------------

    async def load(self) -> int:
        """Take up the runs from their snapshots and the records since; returns these' number."""
        start, count, position, resumed = time.monotonic(), 0, 0, 0
        self._retired = await self._journal.retired()
        while records := await self._journal.unfolded(position, LOAD, KEPT):
            for record in records:
                # One at a time: a run's state may be large, and the start holds no other copy.
                snapshot = await self._journal.snapshot(record.stream) if record.seq == 1 else None
                resumed += snapshot is not None
                self._replay(record, snapshot)
            position = records[-1].position
            count += len(records)
        self._answers.load(await self._journal.answers())
        took = time.monotonic() - start
        log.info(
            "%d runs from %d snapshots and %d journal records in %.2f s",
            *(len(self._runs), resumed, count, took),
        )
        return count

    def _replay(self, record: Record, snapshot: Snapshot | None) -> None:
        """Take up a record; a run's first one with the run's snapshot, if there is one."""
        run, event = record.stream, record.event
        state = self._runs.get(run)
        if state is None and snapshot is not None and isinstance(event, TrainRegistered):
            self._adopt(_resumed(run, event, snapshot))
        elif state is None or record.seq > state.seq:
            state = state or TrainState(run)
            if record.seq != state.seq + 1:
                raise _unbelievable(f"{run} has seq {record.seq} after {state.seq}")
            self._adopt(state)
            state.evolve(event)
        self._history.add(record)
        self._retention.add(record)
        if snapshot is not None:
            self._retention.resumed(run, snapshot.seq, self._journal.head)

    def restore(self, runs: Mapping[RunKey, Sequence[Event]]) -> "asyncio.Future[None]":
        """Take the runs that another log has kept, each with its events, into this one.

        The future is done when they are durable; nothing else was put in line meanwhile.
        """
        for run, events in runs.items():
            self._adopt(fold(run, events))
            self.log.append(run, 1, events)
        return self.log.append()


async def _always() -> bool:
    return True


def _resumed(run: RunKey, registered: TrainRegistered, snapshot: Snapshot) -> TrainState:
    try:
        return resume(run, registered, snapshot)
    except ValueError as error:
        raise _unbelievable(str(error)) from error


def _unbelievable(what: str) -> JournalFailed:
    return JournalFailed(
        f"{what} in the journal: restore the data folder from a copy, or start with an empty one"
    )


def _owner(command: c.Command, state: TrainState) -> str | None:
    """The user whose person a command is about, if it is about one that is known."""
    if isinstance(command, c.OfferCommand):
        offer = state.offers.get(command.offer_id)
        return None if offer is None else offer.made.user
    if isinstance(command, c.PersonCommand):
        passenger = state.passengers.get(person_key(command.pnr, command.index))
        return None if passenger is None else passenger.booking.irctc_id
    return None


def _marked(mark: c.Mark, result: dict[str, Any] | BaseException) -> dict[str, Any]:
    """What one mark of a batch is answered."""
    named = {"mark": mark.mark.value, "pnr": mark.pnr, "index": mark.index}
    if isinstance(result, HubError) and not isinstance(result, Unavailable):
        return {**named, "error": error_fields(result)}
    if isinstance(result, BaseException):
        raise result
    return {**named, "result": result}


def _result(command: c.Command, state: TrainState, events: list[Event]) -> dict[str, Any]:
    """What the command's giver is answered: the first event's data, and the run's seq."""
    if isinstance(command, c.RegisterTrain):
        chart = command.chart
        return {
            "seq": state.seq,
            **run_fields(state.run),
            "stations": len(chart.stations),
            "passengers": len(chart.passengers),
            "rejected": [
                {"line": each.line, "pnr": each.pnr, "reason": each.reason}
                for each in command.rejected
            ],
        }
    told = events[0].told if events else {"unchanged": True}
    return {"seq": state.seq, **run_fields(state.run), **told}
