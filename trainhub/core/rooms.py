"""Who listens to a run, and the only three ways to tell them: all, one user, or the staff.

A room is the sockets subscribed to one run. There is no call that reaches all trains.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from trainhub.access.identity import Standing
from trainhub.core.deflate import Part, deflate
from trainhub.core.journal import Record
from trainhub.core.presence import Presence
from trainhub.domain.events import Audience, Everyone, User
from trainhub.domain.model import STAFF, Role, RunKey
from trainhub.hub.protocol import encode, event_message

logger = logging.getLogger("trainhub.rooms")


class Listener(Protocol):
    """A client's socket, as a room sees it."""

    @property
    def window(self) -> int:
        """The bits of the window in which it reads compressed messages; 0 if it reads none."""

    def send(self, frames: bytes) -> None:
        """Take frames that are ready for the wire. Never waits and never raises."""

    def catch_up(self, frames: bytes) -> None:
        """Take what the client has asked for: a snapshot, or what it missed. As `send`."""

    def show(self, figure: str, frame: bytes) -> None:
        """Take a figure: it replaces one of that name that is waiting for a client still behind."""

    def missed(self) -> None:
        """Close: an event could not be told, and the client has to come back for it."""


class Frame(Protocol):
    """Turns JSON into what goes on the wire."""

    def __call__(self, payload: bytes, /, *, deflated: bool = ...) -> bytes:
        """`deflated` says that the payload is JSON that was compressed."""


@dataclass(slots=True)
class Room:
    """A run's listeners: each with its standing, the staff among them, and passengers by user."""

    listeners: dict[Listener, Standing] = field(default_factory=dict)
    staff: dict[Listener, None] = field(default_factory=dict)
    users: dict[str, dict[Listener, None]] = field(default_factory=dict)


class Rooms:
    """The rooms of a hub, over the table run → room that the socket handlers share.

    Sends gather until `flush`, so that a socket gets all that one commit brings it in one write.
    `frame` turns JSON into what goes on the wire: an event is encoded once, whoever hears it.
    As a reader of the log they have told what they have taken, and are never full.
    """

    full = False
    oldest = None
    ahead: Mapping[str, int] = MappingProxyType({})

    def __init__(self, table: dict[RunKey, Room], frame: Frame) -> None:
        self._table = table
        self._frame = frame
        self._rooms_of: dict[Listener, dict[RunKey, None]] = {}
        self.presence = Presence()
        self._outgoing: dict[Listener, list[bytes]] = {}

    # --- who listens ------------------------------------------------------------------------

    def join(self, run: RunKey, listener: Listener, standing: Standing) -> None:
        """Put a listener into a run's room; one that is there already gets the new standing."""
        self.leave(run, listener)
        room = self._table.setdefault(run, Room())
        room.listeners[listener] = standing
        if standing.role in STAFF:
            room.staff[listener] = None
        elif standing.role is Role.PASSENGER and standing.user is not None:
            room.users.setdefault(standing.user, {})[listener] = None
        self._rooms_of.setdefault(listener, {})[run] = None
        self.presence.came(run, standing)

    def leave(self, run: RunKey, listener: Listener, *, lost: bool = False) -> None:
        """Take a listener out of every index of one run. The only routine that does.

        `lost` says that its connection broke: it may be back in a moment.
        """
        room = self._table.get(run)
        if room is None or listener not in room.listeners:
            return
        standing = room.listeners.pop(listener)
        self.presence.went(run, standing, lost=lost)
        user = standing.user
        room.staff.pop(listener, None)
        if user is not None and user in room.users:
            room.users[user].pop(listener, None)
            if not room.users[user]:
                del room.users[user]
        if not room.listeners:
            del self._table[run]
        runs = self._rooms_of[listener]
        del runs[run]
        if not runs:
            del self._rooms_of[listener]

    def leave_all(self, listener: Listener, *, lost: bool = False) -> None:
        for run in self.rooms_of(listener):
            self.leave(run, listener, lost=lost)
        self._outgoing.pop(listener, None)

    def close(self, run: RunKey) -> None:
        """Empty a run's room: the run is over."""
        room = self._table.get(run)
        for listener in list(room.listeners if room else ()):
            self.leave(run, listener)
        self.presence.close(run)

    def rooms_of(self, listener: Listener) -> list[RunKey]:
        return list(self._rooms_of.get(listener, ()))

    def standings(self, run: RunKey) -> Iterable[Standing]:
        room = self._table.get(run)
        return room.listeners.values() if room else ()

    def is_open(self, run: RunKey) -> bool:
        return run in self._table

    # --- telling them -----------------------------------------------------------------------

    def broadcast_to_train(self, run: RunKey, frame: bytes) -> None:
        """To every socket in the run's room."""
        room = self._table.get(run)
        self._put(room.listeners if room else (), frame)

    def send_to_user(self, run: RunKey, user: str, frame: bytes) -> None:
        """To one passenger, on each device that is in the run's room."""
        room = self._table.get(run)
        self._put(room.users.get(user, ()) if room else (), frame)

    def send_to_ttes(self, run: RunKey, frame: bytes) -> None:
        """To the run's staff in the room: its TTEs and the control room."""
        room = self._table.get(run)
        self._put(room.staff if room else (), frame)

    def tell(self, run: RunKey, audience: Audience, frame: bytes) -> None:
        """By the way that each part of the audience names."""
        for part in audience:
            if isinstance(part, Everyone):
                self.broadcast_to_train(run, frame)
            elif isinstance(part, User):
                self.send_to_user(run, part.id, frame)
            else:
                self.send_to_ttes(run, frame)

    def take(self, records: Iterable[Record]) -> None:
        """Tell each record to those in its run's room who may hear it, and flush."""
        for record in records:
            if record.run in self._table:
                try:
                    self.tell(record.run, record.event.audience, self.frame(event_message(record)))
                except Exception:
                    logger.exception("event %d of %s cannot be told", record.seq, record.run)
                    self._dismiss(list(self._table[record.run].listeners))
        self.flush()

    def show_train(self, run: RunKey, figure: str, frame: bytes) -> None:
        """A figure, to every socket in the run's room."""
        room = self._table.get(run)
        for listener in list(room.listeners if room else ()):
            listener.show(figure, frame)

    def show_staff(self, run: RunKey, figure: str, frame: bytes) -> None:
        """A figure, to the run's staff in the room."""
        room = self._table.get(run)
        for listener in list(room.staff if room else ()):
            listener.show(figure, frame)

    def frame(self, message: dict[str, object]) -> bytes:
        return self._frame(encode(message))

    def wrap(self, parts: Sequence[Part], window: int) -> bytes:
        """A message of these parts for a listener with that window."""
        if window:
            return self._frame(deflate(parts, window), deflated=True)
        return self._frame(b"".join(part.plain for part in parts))

    def flush(self) -> None:
        """One write to each socket that something was put for."""
        outgoing, self._outgoing = self._outgoing, {}
        for listener, frames in outgoing.items():
            try:
                listener.send(frames[0] if len(frames) == 1 else b"".join(frames))
            except Exception:
                logger.exception("a client could not be told")
                self._dismiss([listener])

    def _dismiss(self, listeners: Iterable[Listener]) -> None:
        """Let those go who would miss an event; what raised once may raise again."""
        for listener in listeners:
            self.leave_all(listener)
            with suppress(Exception):
                listener.missed()

    def _put(self, listeners: Iterable[Listener], frame: bytes) -> None:
        outgoing = self._outgoing
        for listener in listeners:
            frames = outgoing.get(listener)
            if frames is None:
                outgoing[listener] = [frame]
            else:
                frames.append(frame)
