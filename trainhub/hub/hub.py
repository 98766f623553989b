"""A hub: the log, the readers that follow it, the runs, and the clients that hear of them."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from trainhub.access.identity import Identity
from trainhub.core.answers import Answers
from trainhub.core.audience import Standing
from trainhub.core.errors import Unavailable
from trainhub.core.history import History
from trainhub.core.journal import Commit, Journal, Record
from trainhub.core.log import LIMIT, Log, Reader
from trainhub.domain.commands import Command
from trainhub.domain.model import Role, RunKey
from trainhub.domain.train import TrainState
from trainhub.hub.audit import Audit, HubArchive, NoArchive
from trainhub.hub.deliveries import Deliveries
from trainhub.hub.execute import Executor
from trainhub.hub.runs import Runs
from trainhub.hub.subscriptions import Subscriptions
from trainhub.hub.train_rooms import TrainRooms
from trainhub.hub.upkeep import Upkeep

T = TypeVar("T")
Clock = Callable[[], datetime]
# Gets a message that was carried out: as the client sent it, and as the hub read it.
OnTaken = Callable[[Mapping[str, Any], object], None]

# The first reader of the log: what the rooms were told.
DELIVERED = "delivered"


def ignore(data: Mapping[str, Any], message: object) -> None:
    """Hear of a message, and do nothing about it."""


class Hub:
    """One hub: its log and the readers of it, its runs, and who hears of them."""

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
    ) -> None:
        self._journal = journal
        self._clock = clock
        self.rooms = rooms
        self.on_taken = on_taken
        self.archive = archive = archive or NoArchive()
        self.log = Log(journal, self._committed, on_failure, journal_limit)
        delivered = Reader(DELIVERED, journal, rooms, catches_up=False)
        delivered.skip()  # no client is connected that could be told what the log has already
        self.readers = [delivered]
        # Hears which event a passenger's device has acknowledged: run, seq and user.
        self.acknowledged: Callable[[RunKey, int, str], None] = lambda run, seq, user: None
        self.deliveries = Deliveries()
        self.audit = Audit(journal.epoch, archive)
        self.runs = Runs()
        history, answers = History(), Answers()
        self.executor = Executor(self.runs, self.log, answers, self.audit, self.deliveries, clock)
        self.upkeep = Upkeep(
            self.runs,
            journal,
            self.log,
            answers,
            history,
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
        # Why the hub is not loaded yet, for clients.
        self.starting = "the hub is starting and loads its runs: try again in a moment"

    @property
    def epoch(self) -> str:
        return self._journal.epoch

    def now(self) -> datetime:
        return self._clock()

    def check(self) -> None:
        """Raise Unavailable until every run and chart is loaded, or if the journal has failed.

        Each request from outside asks this first. The start itself gives commands before.
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
        self.readers.extend(readers)  # the list that the upkeep has too

    # --- runs and commands ------------------------------------------------------------------

    def state(self, run: RunKey) -> TrainState:
        """Return the run of that key. Raises UnknownTrain."""
        return self.runs.state(run)

    def find(
        self,
        train_no: str,
        start_date: date | None,
        identity: Identity,
        rooms: Collection[RunKey] = (),
    ) -> TrainState:
        """Return the run that is named or meant; see Runs.find."""
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
        """Return what `view` returns now, once all that it may show is durable."""
        seen = view()
        await self.log.append()
        return seen

    # --- readers ----------------------------------------------------------------------------

    def _committed(self, records: list[Record], after: int) -> None:
        for record in records:
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
        """Write how far each reader has got into the journal."""
        moved = [(r, place) for r in self.readers if (place := r.place()) is not None]
        if moved:
            await self.log.keep(Commit(places=[place for _, place in moved]))
        for reader, place in moved:
            reader.has_saved(place)


async def _always() -> bool:
    return True
