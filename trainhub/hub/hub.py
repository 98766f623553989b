"""A hub: the log, its readers, the runs, and the rooms of their subscribers."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from trainhub.access.identity import Identity
from trainhub.core.answers import Answers
from trainhub.core.audience import Standing
from trainhub.core.errors import Unavailable
from trainhub.core.history import History
from trainhub.core.journal import Commit, Journal, Record
from trainhub.core.ledger import Ledger
from trainhub.core.log import LIMIT, Log, Reader
from trainhub.core.stream import NO_STREAM
from trainhub.domain.commands import Command
from trainhub.domain.model import Role, RunKey
from trainhub.domain.train import TrainState
from trainhub.hub.audit import Audit, HubArchive, NoArchive
from trainhub.hub.deliveries import Deliveries
from trainhub.hub.execute import Executor
from trainhub.hub.fleet import Fleet
from trainhub.hub.runs import Runs
from trainhub.hub.subscriptions import Subscriptions
from trainhub.hub.train_rooms import TrainRooms
from trainhub.hub.upkeep import Upkeep
from trainhub.process.activity import Activity

T = TypeVar("T")
Clock = Callable[[], datetime]
# Called with each message that was carried out: as the client sent it, and as the hub read it.
OnTaken = Callable[[Mapping[str, Any], object], None]

# The name of the log's first reader, which sends events to the rooms.
DELIVERED = "delivered"


def ignore(data: Mapping[str, Any], message: object) -> None:
    """Do nothing about a message."""


class Hub:
    """One hub: its log and the log's readers, its runs, and the rooms of their subscribers."""

    def __init__(
        self,
        journal: Journal,
        rooms: TrainRooms,
        clock: Clock,
        on_failure: Callable[[BaseException], None],
        journal_limit: int = LIMIT,
        archive: HubArchive | None = None,
        may_trim: Callable[[], Awaitable[bool]] | None = None,
        on_taken: OnTaken = ignore,
        activity: Activity | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self.rooms = rooms
        self.on_taken = on_taken
        self.activity = activity = activity or Activity()
        self.archive = archive = archive or NoArchive()
        self.log = Log(journal, self._committed, on_failure, journal_limit)
        delivered = Reader(DELIVERED, journal, rooms, catches_up=False)
        delivered.skip()  # no client is connected yet, so no room gets older records
        self.readers = [delivered]
        # Called with run, seq and user of each event that a passenger's device acknowledges.
        self.acknowledged: Callable[[RunKey, int, str], None] = lambda run, seq, user: None
        self.deliveries = Deliveries()
        self.audit = Audit(journal.epoch, archive)
        self.runs = Runs()
        self.fleet = Fleet(self.runs, rooms, self.log)
        self.ledger = Ledger()
        history, answers = History(), Answers()
        self.executor = Executor(
            self.runs, self.log, answers, self.audit, self.deliveries, clock, activity
        )
        self.upkeep = Upkeep(
            self.runs,
            journal,
            self.log,
            answers,
            history,
            self.ledger,
            rooms,
            self.readers,
            clock,
            may_trim or _always,
        )
        self.subscriptions = Subscriptions(
            journal.epoch,
            self.log,
            rooms,
            history,
            archive,
            is_here=self.runs.__contains__,
        )
        self._figures_due: set[RunKey] = set()
        self.loaded = False
        # The error text for clients until `loaded`.
        self.starting = "the hub is starting and loads its runs: try again in a moment"

    @property
    def epoch(self) -> str:
        return self._journal.epoch

    def now(self) -> datetime:
        return self._clock()

    def check(self) -> None:
        """Raise Unavailable until every run and chart is loaded, or if the journal has failed.

        Each request from outside calls this first. The start itself gives commands earlier.
        """
        if not self.loaded:
            raise Unavailable(self.starting)
        self.log.check()

    def begin_epoch(self) -> None:
        """Use the journal's new epoch. Clients of the previous epoch get a new SNAPSHOT."""
        self.subscriptions.begin_epoch(self.epoch)
        self.audit.epoch = self.epoch

    def follow(self, *readers: Reader) -> None:
        """Add readers of the log, after the rooms."""
        self.readers.extend(readers)  # in place: the upkeep has the same list

    # --- runs and commands ------------------------------------------------------------------

    def state(self, run: RunKey) -> TrainState:
        """Return the run of that key. Raises UnknownTrain if the hub does not have it."""
        return self.runs.state(run)

    def find(
        self,
        train_no: str,
        start_date: date | None,
        identity: Identity,
        rooms: Collection[RunKey] = (),
    ) -> TrainState:
        """Return the run of a train and date; see Runs.find."""
        return self.runs.find(train_no, start_date, identity, self._clock(), rooms)

    async def execute(
        self,
        command: Command,
        identity: Identity,
        key: str | None = None,
        address: str | None = None,
    ) -> dict[str, Any]:
        """Carry out a command; see Executor.execute."""
        return await self.executor.execute(command, identity, key, address)

    async def acknowledge(
        self, state: TrainState, seq: int, standing: Standing, device: object
    ) -> None:
        """Note that an UPGRADE_OFFER has arrived on a device; see Executor.acknowledge."""
        self.check()
        if standing.role == Role.PASSENGER and standing.user is not None:
            self.acknowledged(state.run, seq, standing.user)
        await self.executor.acknowledge(state, seq, standing, device)

    async def read(self, view: Callable[[], T]) -> T:
        """Return what `view` returns now, once all events that it may show are durable."""
        seen = view()
        await self.log.append()
        return seen

    # --- readers ----------------------------------------------------------------------------

    def _committed(self, records: list[Record], after: int) -> None:
        for record in records:
            if record.in_stream:
                self.upkeep.add(record)
                self._figures_due.add(record.stream)
        for reader in self.readers:
            reader.offer(records, after)

    async def send_figures(self) -> None:
        """Send the figures of each run that has changed since the last call."""
        due, self._figures_due = self._figures_due, set()
        present = filter(None, map(self.runs.present, due))
        await self.subscriptions.send_figures(list(present))

    async def save_places(self) -> None:
        """Write each reader's position to the journal, with the ledger's news.

        A notification counts as done in the same commit that notes what became of it, or later.
        """
        while self.ledger:
            noted = self.log.append(NO_STREAM, 0, [self.ledger.take_news(self.now())])
            if self.ledger:
                await noted  # much news does not make one long commit
        moved = [(r, place) for r in self.readers if (place := r.place()) is not None]
        if moved:
            await self.log.commit(Commit(places=[place for _, place in moved]))
        for reader, place in moved:
            reader.has_saved(place)


async def _always() -> bool:
    return True
