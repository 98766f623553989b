"""Brings a listener into a run's room and up to date, without a gap; and figures to all in it.

What was missed comes from memory, or from the archive if it is older; else a SNAPSHOT says how the
run stands. What many joiners are told alike is made once: a whole train comes back at a time.
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
from trainhub.domain.views import figures
from trainhub.hub.protocol import Since, event_message, figure_message, run_fields
from trainhub.hub.snapshots import BOARDING, Snapshots
from trainhub.hub.train_rooms import TrainRooms

logger = logging.getLogger("trainhub.subscriptions")

# Rooms one socket may be in. A client without a token counts as a passenger.
PASSENGER_ROOMS = 4
STAFF_ROOMS = 64
# Events from the archive above which a snapshot is the shorter way.
MOST_MISSED = 5_000
# Seconds that a joiner waits for the archive; then a snapshot is sent.
ARCHIVE_SECONDS = 0.3
# Bytes of a snapshot from which it is a write of its own: what many share is not copied for each.
LARGE = 64 * 1024
# Records in one page of a run's history, for those who read it over HTTP.
PAGE = 500
# How often it is tried to catch up with a run that moves on, before a snapshot is taken for it.
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
        """`is_here` says whether a run is still in the hub: it may leave while a client joins."""
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
        """Put a listener into a run's room, and bring it up to date.

        `answer` is given SUBSCRIBED's fields, and then come the missed events or a SNAPSHOT, and
        the figures; all later events follow from the room. Raises TooManyRooms, and UnknownTrain
        if the run leaves the hub meanwhile.
        """
        rooms = self._rooms.rooms_of(listener)
        most = most_rooms(identity)
        if state.run not in rooms and len(rooms) >= most:
            raise TooManyRooms(f"a socket of yours may be in {most} rooms: leave one first")
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
        """The name of the run's history for a client that has seen it up to `since`.

        A client that has seen more than there is has seen another history: this one lost its end,
        and gives the same numbers to other events. The client hears of it under a new name, a
        branch of the epoch, and keeps that name when it comes back.
        """
        epoch = self._epoch
        if since is None or not re.fullmatch(f"{re.escape(epoch)}(~[0-9a-f]{{8}})?", since.epoch):
            return epoch
        if since.seq <= state.seq:
            return since.epoch
        if identity.role is not None and not self._noted:
            self._noted = True  # once, and no warning: a client may say so without cause
            logger.info(
                "a client has seen event %d of %s, and this hub has %d: was the data folder "
                "restored from a copy, or is there a second hub?",
                since.seq,
                state.run,
                state.seq,
            )
        return f"{epoch}~{secrets.token_hex(4)}"

    async def _frames(self, records: Sequence[Record], standing: Standing) -> list[bytes]:
        """The frames of those that may be told. The loop has its turn between: they may be many."""
        return [
            self._snapshots.event(record)
            async for record in in_slices(records)
            if _may_hear(record, standing)
        ]

    async def _enter(self, who: "_Entering", older: list[bytes] | None, last: int) -> bool:
        """Join at the log's next place; False if some of what came after `last` is not held.

        `older` are the frames of what was missed up to `last`; None if a snapshot is to be sent.
        """
        state, standing, seq = who.state, who.standing, who.state.seq
        shared = self._snapshots.share(state)
        snapshot = b""
        if older is None:
            snapshot = self._snapshots.frames(state, standing, who.epoch, who.listener.window)
        held = True

        def enter() -> None:
            # Here the log stands at `seq`: what is before it is history, what comes later follows.
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
            self._rooms.join(state.run, who.listener, standing)
            who.answer(
                {
                    **run_fields(state.run),
                    "epoch": who.epoch,
                    "seq": seq,
                    "recovered": older is not None,
                }
            )
            if standing.role in STAFF:
                frames.append(self._presence(state.run))
            frames.append(shared.figures)
            if len(snapshot) > LARGE:
                who.listener.catch_up(snapshot)
            else:
                frames.insert(0, snapshot)
            who.listener.catch_up(b"".join(frames))

        await self._log.append(then=enter)
        if not self._is_here(state.run):
            raise UnknownTrain(f"the run {state.run} has just left the hub")
        return held

    async def page(self, state: TrainState, after: int) -> Sequence[Record] | None:
        """Return at most PAGE of the run's records after seq `after`, without a gap.

        They come from memory or from the archive. None means that they are no longer held. Raises
        Unavailable if they are in the archive, and it does not answer.
        """
        if after == state.seq:
            return ()
        held = self._newer(state.run, after, state.seq) if after < state.seq else None
        if held is None and after < state.seq:
            try:
                held = await self.lookups.fetch(state.run, after, PAGE) or None
            except StoreAway:
                raise Unavailable(
                    "events that old are in MongoDB, which does not answer: ask again later"
                ) from None
        return None if held is None else held[:PAGE]

    async def _older_by(
        self, deadline: float, state: TrainState, seq: int
    ) -> Sequence[Record] | None:
        """As `_older`; None also if the archive does not answer by the deadline."""
        if 0 <= seq <= state.seq and self._newer(state.run, seq, state.seq) is not None:
            return ()  # no timer is made for what memory holds
        try:
            async with asyncio.timeout_at(deadline):
                return await self._older(state, seq)
        except (TimeoutError, StoreAway):
            return None

    async def _older(self, state: TrainState, seq: int) -> Sequence[Record] | None:
        """What came after `seq` and is older than what memory holds; None if it is not held.

        Raises StoreAway.
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
            # What memory holds may have moved on meanwhile: then there is more to look up.
            records += found
            last = found[-1].seq
        return records

    def _newer(self, run: RunKey, last: int, seq: int) -> Sequence[Record] | None:
        """What memory holds from `last` to `seq`; None if some of it is not held."""
        return self._history.since(run, last) if last < seq else ()

    def complaints(self) -> list[str]:
        """Return whether the archive is not asked at the moment."""
        return self.lookups.complaints()

    def begin_epoch(self, epoch: str) -> None:
        """Number what is told from here on as of another epoch."""
        self._epoch = self.lookups.epoch = self._snapshots.epoch = epoch
        self._snapshots.forget()

    # --- figures ----------------------------------------------------------------------------

    async def send_figures(self, changed: Iterable[TrainState]) -> None:
        """Show BOARDING_UPDATE of the runs that have changed, PRESENCE of those where a socket has
        come or gone: what is new since the last call, to those in the room who may hear it.
        """
        self._snapshots.forget()
        boarding = [
            (state.run, figure_message(BOARDING, state.run, figures(state)))
            for state in changed
            if self._rooms.is_open(state.run)
        ]
        await self._log.append()
        for run, message in boarding:
            self._rooms.show(run, f"{BOARDING} {run}", self._rooms.frame(message))
        for run, figure in self._rooms.presence.news(self._rooms.standings).items():
            frame = self._rooms.frame(figure_message(PRESENCE, run, figure))
            self._rooms.show_to_roles(run, STAFF, f"{PRESENCE} {run}", frame)

    def _presence(self, run: RunKey) -> bytes:
        figure = self._rooms.presence.figure(run, self._rooms.standings(run))
        return self._rooms.frame(figure_message(PRESENCE, run, figure))


@dataclass(frozen=True, slots=True)
class _Entering:
    """A listener on its way into a room, and the name that the run's history has for it."""

    listener: Listener
    standing: Standing
    state: TrainState
    epoch: str
    answer: Callable[[dict[str, Any]], None]


def most_rooms(identity: Identity) -> int:
    """How many rooms a socket of theirs may be in."""
    return PASSENGER_ROOMS if identity.role in (None, Role.PASSENGER) else STAFF_ROOMS


PRESENCE = "PRESENCE"


def told(records: Iterable[Record], standing: Standing) -> list[dict[str, Any]]:
    """The messages of those records that may be told."""
    return [event_message(record) for record in records if _may_hear(record, standing)]


def _may_hear(record: Record, standing: Standing) -> bool:
    return may_be_told(record.event.audience, standing)
