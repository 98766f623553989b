"""Brings a listener into a run's room and up to date, without a gap; and figures to all in it.

What was missed comes from memory, or from the archive if it is older; else a SNAPSHOT says how the
run stands. What many joiners are told alike is made once: a whole train comes back at a time.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trainhub.cost import Gate
from trainhub.domain.errors import TooManyRooms, UnknownTrain
from trainhub.domain.events import Event, may_be_told
from trainhub.domain.model import STAFF, Role, RunKey
from trainhub.domain.train import TrainState
from trainhub.domain.views import figures, private_view, public_view
from trainhub.history import History
from trainhub.identity import Identity, Standing
from trainhub.journal import Record
from trainhub.log import Log
from trainhub.protocol import Since, encode, event_message, figure_message, run_fields
from trainhub.rooms import Listener, Rooms

# Rooms one socket may be in (protocol.md); whoever has no token counts as a passenger.
PASSENGER_ROOMS, STAFF_ROOMS = 4, 64
# Events from the archive above which a snapshot is the shorter way; and how many runs are looked up
# there at once, for MongoDB has other work too.
MOST_MISSED, AT_ONCE = 5_000, 8
# Records in one page of a run's history, for those who read it over HTTP.
PAGE = 500
# How often it is tried to catch up with a run that moves on, before a snapshot is taken for it.
TRIES = 3


class Archive(Protocol):
    """Where all events are for good, though not at once."""

    async def events(self, run: RunKey, epoch: str, after: int, most: int) -> Sequence[Event]:
        """The run's events from seq `after` + 1 on, without a gap, at most so many.

        Never raises: an archive that is away has none.
        """


class NoArchive:
    """For a hub that has none."""

    async def events(self, run: RunKey, epoch: str, after: int, most: int) -> Sequence[Event]:
        return ()


@dataclass(slots=True)
class _Shared:
    """What all joiners of a run at one seq are told, ready for the wire.

    `public` is the SNAPSHOT's JSON for those who see no people, but for the end of it.
    """

    seq: int
    public: bytes
    figures: bytes
    staff: bytes | None = None


class Subscriptions:
    """Joining, leaving and catching up, over the rooms of one log."""

    def __init__(
        self,
        epoch: str,
        log: Log,
        rooms: Rooms,
        history: History,
        archive: Archive,
        is_here: Callable[[RunKey], bool],
    ) -> None:
        """`is_here` says whether a run is still in the hub: one may leave while somebody joins."""
        self._epoch = epoch
        self._log = log
        self._rooms = rooms
        self._history = history
        self.archive = archive
        self._is_here = is_here
        self._shared: dict[RunKey, _Shared] = {}
        self._fetching: dict[tuple[RunKey, int], asyncio.Task[Sequence[Record]]] = {}
        self._at_once = Gate(AT_ONCE)

    async def join(
        self,
        listener: Listener,
        identity: Identity,
        state: TrainState,
        since: Since | None,
        answer: Callable[[dict[str, Any]], None],
    ) -> None:
        """Put a listener into a run's room, and bring it up to date.

        `answer` is given SUBSCRIBED's fields, and then come the missed events or a SNAPSHOT, and
        the figures; all later events follow from the room. Raises TooManyRooms, and UnknownTrain
        if the run leaves the hub meanwhile.
        """
        rooms = self._rooms.rooms_of(listener)
        most = most_rooms(identity)
        if state.run not in rooms and len(rooms) >= most:
            raise TooManyRooms(f"a socket of yours may be in {most} rooms: leave one first")
        for _ in range(TRIES):
            older = await self._older(state, since)
            if older is None or since is None:
                break
            last = older[-1].seq if older else since.seq
            if await self._enter(listener, identity, state, answer, older, last):
                return
        await self._enter(listener, identity, state, answer, None, state.seq)

    async def _enter(
        self,
        listener: Listener,
        identity: Identity,
        state: TrainState,
        answer: Callable[[dict[str, Any]], None],
        older: Sequence[Record] | None,
        last: int,
    ) -> bool:
        """Join at the log's next place; False if some of what came after `last` is not held.

        `older` are the missed records up to `last`; None if a snapshot is to be sent.
        """
        standing, seq = identity.standing(state.run), state.seq
        shared = self._share(state)
        snapshot = b"" if older is not None else self._snapshot(state, standing, shared)
        held = True

        def enter() -> None:
            # Here the log stands at `seq`: what is before it is history, what comes later follows.
            nonlocal held
            frames = [snapshot]
            if older is not None:
                newer = self._newer(state.run, last, seq)
                held = newer is not None
                frames = [self._rooms.frame(m) for m in told((*older, *(newer or ())), standing)]
            if not held or not self._is_here(state.run):
                return
            self._rooms.join(state.run, listener, standing)
            answer(
                {
                    **run_fields(state.run),
                    "epoch": self._epoch,
                    "seq": seq,
                    "recovered": older is not None,
                }
            )
            if standing.role in STAFF:
                frames.append(self._presence(state.run))
            listener.send(b"".join((*frames, shared.figures)))

        await self._log.append(then=enter)
        if not self._is_here(state.run):
            raise UnknownTrain(f"the run {state.run} has just left the hub")
        return held

    async def page(self, state: TrainState, after: int) -> Sequence[Record] | None:
        """Return at most PAGE of the run's records after seq `after`, without a gap.

        They come from memory or from the archive. None means that they are no longer held.
        """
        if after == state.seq:
            return ()
        held = self._newer(state.run, after, state.seq) if after < state.seq else None
        if held is None and after < state.seq:
            held = await self._fetch(state.run, after, PAGE) or None
        return None if held is None else held[:PAGE]

    async def _older(self, state: TrainState, since: Since | None) -> Sequence[Record] | None:
        """What came after `since` and is older than what memory holds; None if it is not held."""
        if since is None or since.epoch != self._epoch or not 0 <= since.seq <= state.seq:
            return None
        records: list[Record] = []
        last = since.seq
        while self._newer(state.run, last, state.seq) is None:
            first = self._history.first(state.run) or state.seq + 1
            if first - since.seq > MOST_MISSED:
                return None
            found = await self._fetch(state.run, last, first - last - 1)
            if not found:
                return None
            # What memory holds may have moved on meanwhile: then there is more to look up.
            records += found
            last = found[-1].seq
        return records

    def _newer(self, run: RunKey, last: int, seq: int) -> Sequence[Record] | None:
        """What memory holds from `last` to `seq`; None if some of it is not held."""
        return self._history.since(run, last) if last < seq else ()

    async def _fetch(self, run: RunKey, after: int, count: int) -> Sequence[Record]:
        """From the archive, once for all who ask for the same at the same time."""
        task = self._fetching.get((run, after))
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_up(run, after, count))
            self._fetching[run, after] = task
            task.add_done_callback(lambda _: self._fetching.pop((run, after), None))
        return await asyncio.shield(task)

    async def _look_up(self, run: RunKey, after: int, count: int) -> Sequence[Record]:
        async with self._at_once.turn():
            events = await self.archive.events(run, self._epoch, after, count)
        return [Record(0, run, seq, event) for seq, event in enumerate(events, start=after + 1)]

    # --- what many are told alike -----------------------------------------------------------

    def _share(self, state: TrainState) -> _Shared:
        shared = self._shared.get(state.run)
        if shared is None or shared.seq != state.seq:
            public = encode(
                {
                    "type": "SNAPSHOT",
                    **run_fields(state.run),
                    "epoch": self._epoch,
                    "seq": state.seq,
                    "run": public_view(state),
                }
            )
            message = figure_message(BOARDING, state.run, figures(state))
            shared = _Shared(state.seq, public.removesuffix(b"}}"), self._rooms.frame(message))
            self._shared[state.run] = shared
        return shared

    def _snapshot(self, state: TrainState, standing: Standing, shared: _Shared) -> bytes:
        """The SNAPSHOT's frame for a standing: the shared part, and those who may be seen."""
        if standing.role in STAFF and shared.staff is not None:
            return shared.staff
        private = private_view(state, standing.role, standing.user)
        rest = b"," + encode(private)[1:] if private else b"}"
        frame = self._rooms.wrap(shared.public + rest + b"}")
        if standing.role in STAFF:
            shared.staff = frame
        return frame

    def forget_shared(self) -> None:
        """Let go of what was made for joiners: it is made anew for the next."""
        self._shared.clear()

    # --- figures ----------------------------------------------------------------------------

    async def send_figures(self, changed: Iterable[TrainState]) -> None:
        """BOARDING_UPDATE of the runs that have changed, PRESENCE of those where somebody has
        come or gone: what is new since the last call, to those in the room who may hear it."""
        self.forget_shared()
        boarding = [
            (state.run, figure_message(BOARDING, state.run, figures(state)))
            for state in changed
            if self._rooms.is_open(state.run)
        ]
        await self._log.append()
        for run, message in boarding:
            self._rooms.show_train(run, f"{BOARDING} {run}", self._rooms.frame(message))
        for run, figure in self._rooms.presence.news(self._rooms.standings).items():
            frame = self._rooms.frame(figure_message(PRESENCE, run, figure))
            self._rooms.show_staff(run, f"{PRESENCE} {run}", frame)

    def _presence(self, run: RunKey) -> bytes:
        figure = self._rooms.presence.figure(run, self._rooms.standings(run))
        return self._rooms.frame(figure_message(PRESENCE, run, figure))


def most_rooms(identity: Identity) -> int:
    """How many rooms a socket of theirs may be in."""
    return PASSENGER_ROOMS if identity.role in (None, Role.PASSENGER) else STAFF_ROOMS


BOARDING, PRESENCE = "BOARDING_UPDATE", "PRESENCE"


def told(records: Iterable[Record], standing: Standing) -> list[dict[str, Any]]:
    """The messages of those records that may be told."""
    return [
        event_message(record)
        for record in records
        if may_be_told(record.event.audience, standing.role, standing.user)
    ]
