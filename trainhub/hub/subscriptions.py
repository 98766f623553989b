"""Joins listeners to a run's room, without a gap in their events, and sends figures to rooms.

Missed events come from memory, or from the archive if they are older. If neither has them, the
listener gets a SNAPSHOT. Frames are shared between joiners, as a whole train may reconnect at once.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trainhub.access.identity import Identity
from trainhub.core.audience import Standing, may_be_told
from trainhub.core.cost import in_slices
from trainhub.core.errors import TooManyRooms, Unavailable
from trainhub.core.history import History
from trainhub.core.journal import Record
from trainhub.core.log import Log
from trainhub.core.lookups import EventArchive, Lookups
from trainhub.core.rooms import Listener
from trainhub.core.write_buffer import StoreAway
from trainhub.domain.errors import UnknownTrain
from trainhub.domain.model import STAFF, Role, RunKey
from trainhub.domain.train import TrainState
from trainhub.domain.views import figures, public_figures
from trainhub.hub.protocol import Since, event_message, figure_message, run_fields
from trainhub.hub.snapshots import BOARDING, Snapshots
from trainhub.hub.train_rooms import TrainRooms

logger = logging.getLogger("trainhub.subscriptions")

# Rooms that one socket may be in. A client without a token counts as a passenger.
PASSENGER_ROOMS = 4
# Rooms that one socket of another role may be in.
STAFF_ROOMS = 64
# Missed events in the archive. Above this number, a SNAPSHOT is shorter.
MOST_MISSED = 5_000
# Seconds that a joiner waits for the archive before it gets a SNAPSHOT.
ARCHIVE_SECONDS = 0.3
# Bytes of a SNAPSHOT. A larger one is written by itself, so that it is not copied for each joiner.
LARGE = 64 * 1024
# Records in one page of a run's history over HTTP.
PAGE = 500
# Attempts to catch up with a run that gets new events meanwhile, before a SNAPSHOT is sent.
TRIES = 3


class Subscriptions:
    """Joining, leaving and catching up, over the rooms of one log."""

    def __init__(
        self,
        epoch: str,
        log: Log,
        rooms: TrainRooms,
        history: History,
        archive: EventArchive,
        is_here: Callable[[RunKey], bool],
    ) -> None:
        """`is_here` returns whether the hub has a run: it may leave while a client joins."""
        self._epoch = epoch
        self._log = log
        self._rooms = rooms
        self._history = history
        self.lookups = Lookups(archive, epoch)
        self._is_here = is_here
        self._snapshots = Snapshots(epoch, rooms)
        self._noted = False

    async def join(
        self,
        listener: Listener,
        identity: Identity,
        state: TrainState,
        since: Since | None,
        answer: Callable[[dict[str, Any]], None],
    ) -> None:
        """Join a listener to a run's room, and bring it up to date.

        `answer` gets the fields of SUBSCRIBED. Then the listener gets the missed events or a
        SNAPSHOT, the figures, and all later events of the room.
        Raises TooManyRooms, and UnknownTrain if the run leaves the hub meanwhile.
        """
        rooms = self._rooms.rooms_of(listener)
        most = most_rooms(identity)
        if state.run not in rooms and len(rooms) >= most:
            raise TooManyRooms(f"your socket may be in {most} rooms: leave one first")
        epoch = self._epoch_for(identity, state, since)
        entering = _Entering(listener, identity.standing(state.run), state, epoch, answer)
        if since is not None and since.epoch == epoch:
            deadline = asyncio.get_running_loop().time() + ARCHIVE_SECONDS
            for _ in range(TRIES):
                older = await self._older_by(deadline, state, since.seq)
                if older is None:
                    break
                last = older[-1].seq if older else since.seq
                frames = await self._frames(older, entering.standing)
                if await self._enter(entering, frames, last):
                    return
        await self._enter(entering, None, state.seq)

    def _epoch_for(self, identity: Identity, state: TrainState, since: Since | None) -> str:
        """Return the epoch of the run's history for a client that has seen it up to `since`.

        A client that has seen a later event than the run has knows another history: this hub lost
        its end, and gives its numbers to other events. The client gets a new name, a branch of the
        epoch, and sends that name when it reconnects.
        """
        epoch = self._epoch
        if since is None or not re.fullmatch(f"{re.escape(epoch)}(~[0-9a-f]{{8}})?", since.epoch):
            return epoch
        if since.seq <= state.seq:
            return since.epoch
        if identity.role is not None and not self._noted:
            self._noted = True  # once, and not as a warning: a client may send any seq
            logger.info(
                "a client has seen event %d of %s, and this hub has %d: was the data folder "
                "restored from a copy, or is there a second hub?",
                since.seq,
                state.run,
                state.seq,
            )
        return f"{epoch}~{secrets.token_hex(4)}"

    async def _frames(self, records: Sequence[Record], standing: Standing) -> list[bytes]:
        """Return the frames of the records that the standing may hear. Lets the event loop run."""
        return [
            self._snapshots.event(record)
            async for record in in_slices(records)
            if _may_hear(record, standing)
        ]

    async def _enter(self, joiner: "_Entering", older: list[bytes] | None, last: int) -> bool:
        """Join the room at the log's next position.

        `older` are the frames of the missed events up to `last`; None means to send a SNAPSHOT.
        Returns False, without joining, if memory does not have all events after `last`.
        """
        state, standing, seq = joiner.state, joiner.standing, joiner.state.seq
        shared = self._snapshots.share(state)
        snapshot = b""
        if older is None:
            window = joiner.listener.window
            snapshot = self._snapshots.frames(state, standing, joiner.epoch, window)
        held = True

        def enter() -> None:
            # The log is at `seq` now: earlier events are history, and the room gets later ones.
            nonlocal held
            frames: list[bytes] = []
            if older is not None:
                newer = self._newer(state.run, last, seq)
                held = newer is not None
                frames = [
                    *older,
                    *(self._snapshots.event(r) for r in newer or () if _may_hear(r, standing)),
                ]
            if not held or not self._is_here(state.run):
                return
            self._rooms.join(state.run, joiner.listener, standing)
            joiner.answer(
                {
                    **run_fields(state.run),
                    "epoch": joiner.epoch,
                    "seq": seq,
                    "recovered": older is not None,
                }
            )
            if standing.role in STAFF:
                frames.append(self._presence(state.run))
            frames.append(shared.figures(standing).frame)
            if len(snapshot) > LARGE:
                joiner.listener.catch_up(snapshot)
            else:
                frames.insert(0, snapshot)
            joiner.listener.catch_up(b"".join(frames))

        await self._log.append(then=enter)
        if not self._is_here(state.run):
            raise UnknownTrain(f"{state.run} has ended and left the hub: choose another run")
        return held

    async def page(self, state: TrainState, after: int) -> Sequence[Record] | None:
        """Return at most PAGE of the run's records after seq `after`, without a gap.

        They come from memory or from the archive. None means that neither has them.
        Raises Unavailable if the archive is needed and does not answer.
        """
        if after == state.seq:
            return ()
        held = self._newer(state.run, after, state.seq) if after < state.seq else None
        if held is None and after < state.seq:
            try:
                held = await self.lookups.fetch(state.run, after, PAGE) or None
            except StoreAway:
                raise Unavailable(
                    "older events are in MongoDB, which does not answer now: try again later"
                ) from None
        return None if held is None else held[:PAGE]

    async def kept(self, state: TrainState) -> list[Record]:
        """Return the run's records without a gap, as far back as memory or the archive go.

        Raises Unavailable if the archive is needed and does not answer.
        """
        records: list[Record] = []
        after, last = 0, state.seq
        while after < last:
            page = await self.page(state, after)
            if page:
                records += page
                after = page[-1].seq
                continue
            first = self._history.first(state.run)
            if first is None or first - 1 <= after:
                break
            records, after = [], first - 1
        return records

    async def _older_by(
        self, deadline: float, state: TrainState, seq: int
    ) -> Sequence[Record] | None:
        """Return what `_older` returns; None also if the archive does not answer in time."""
        if 0 <= seq <= state.seq and self._newer(state.run, seq, state.seq) is not None:
            return ()  # memory has them, so no timer is needed
        try:
            async with asyncio.timeout_at(deadline):
                return await self._older(state, seq)
        except (TimeoutError, StoreAway):
            return None

    async def _older(self, state: TrainState, seq: int) -> Sequence[Record] | None:
        """Return the records after `seq` that are older than those in memory.

        None means that the archive does not have them. Raises StoreAway if it does not answer.
        """
        if not 0 <= seq <= state.seq:
            return None
        records: list[Record] = []
        last = seq
        while self._newer(state.run, last, state.seq) is None:
            first = self._history.first(state.run) or state.seq + 1
            if first - seq > MOST_MISSED:
                return None
            found = await self.lookups.fetch(state.run, last, first - last - 1)
            if not found:
                return None
            # Memory may have dropped records meanwhile; then the next turn fetches these.
            records += found
            last = found[-1].seq
        return records

    def _newer(self, run: RunKey, last: int, seq: int) -> Sequence[Record] | None:
        """Return the records after `last` up to `seq`. None if memory does not have them all."""
        return self._history.since(run, last) if last < seq else ()

    def complaints(self) -> list[str]:
        """Return a sentence if the archive is not asked at the moment; else an empty list."""
        return self.lookups.complaints()

    def begin_epoch(self, epoch: str) -> None:
        """Send messages under another epoch from now on."""
        self._epoch = self.lookups.epoch = self._snapshots.epoch = epoch
        self._snapshots.clear()

    # --- figures ----------------------------------------------------------------------------

    async def send_figures(self, changed: Iterable[TrainState]) -> None:
        """Send the figures that are new since the last call to the rooms.

        BOARDING_UPDATE is for the runs in `changed`, and has all rows for the staff. PRESENCE is
        for the staff of each run where a socket came or went.
        """
        self._snapshots.clear()
        boarding = []
        for state in changed:
            if self._rooms.is_open(state.run):
                whole = figures(state)
                boarding.append((state.run, whole, public_figures(state, whole)))
        await self._log.append()
        for run, whole, public in boarding:
            name = f"{BOARDING} {run}"
            frame = self._rooms.frame(figure_message(BOARDING, run, whole))
            if public is whole:
                self._rooms.show(run, name, frame)
                continue
            self._rooms.show_to_roles(run, STAFF, name, frame)
            frame = self._rooms.frame(figure_message(BOARDING, run, public))
            self._rooms.show(run, name, frame, without=STAFF)
        for run, figure in self._rooms.presence.news(self._rooms.standings).items():
            frame = self._rooms.frame(figure_message(PRESENCE, run, figure))
            self._rooms.show_to_roles(run, STAFF, f"{PRESENCE} {run}", frame)

    def _presence(self, run: RunKey) -> bytes:
        figure = self._rooms.presence.figure(run, self._rooms.standings(run))
        return self._rooms.frame(figure_message(PRESENCE, run, figure))


@dataclass(frozen=True, slots=True)
class _Entering:
    """A listener that joins a room, and the epoch that it gets."""

    listener: Listener
    standing: Standing
    state: TrainState
    epoch: str
    answer: Callable[[dict[str, Any]], None]


def most_rooms(identity: Identity) -> int:
    """Return how many rooms a socket of the identity may be in."""
    return PASSENGER_ROOMS if identity.role in (None, Role.PASSENGER) else STAFF_ROOMS


PRESENCE = "PRESENCE"


def told(records: Iterable[Record], standing: Standing) -> list[dict[str, Any]]:
    """Return the messages of the records that the standing may hear."""
    return [event_message(record) for record in records if _may_hear(record, standing)]


def _may_hear(record: Record, standing: Standing) -> bool:
    return may_be_told(record.event.audience, standing)
