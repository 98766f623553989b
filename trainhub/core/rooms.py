"""Who listens to a stream, and the only three ways to tell them: all, one user, or roles.

A room is the sockets subscribed to one stream. No call reaches all rooms.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from trainhub.core.audience import Audience, Everyone, Standing, User
from trainhub.core.deflate import Part, deflate
from trainhub.core.journal import Record
from trainhub.core.presence import Presence
from trainhub.core.stream import Stream
from trainhub.core.wire import encode

logger = logging.getLogger("trainhub.rooms")

# Frames of one flush that may go to a room as writes of their own; more are gathered per listener.
MOST_RUNS = 4

K = TypeVar("K")
V = TypeVar("V")


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


class Crowd(dict[Listener, V]):
    """Listeners that are told the same: a whole room, a role of it, or one user's devices.

    `prepared` belongs to the delivery. It is None again after each change that a delivery must
    know: a listener came, left, fell behind, caught up or closed.
    """

    __slots__ = ("prepared",)

    def __init__(self) -> None:
        super().__init__()
        self.prepared: Any = None


class Delivery(Protocol):
    """A way of writing the same frames to a crowd."""

    def deliver(self, crowd: Crowd[Any], frames: bytes) -> Sequence[Listener]:
        """Write the frames to each listener of the crowd, or let them wait for it. Never waits.

        Returns the listeners that could not be told.
        """


class OneByOne:
    """The delivery that works everywhere: a call of `send` for each listener."""

    def deliver(self, crowd: Crowd[Any], frames: bytes) -> Sequence[Listener]:
        return send_each(tuple(crowd), frames)


def send_each(listeners: Iterable[Listener], frames: bytes) -> Sequence[Listener]:
    """Send the frames to each listener. Returns those that raised."""
    failed = []
    for listener in listeners:
        try:
            listener.send(frames)
        except Exception:
            logger.exception("a client could not be told")
            failed.append(listener)
    return failed


@dataclass(slots=True)
class Room:
    """A stream's listeners: each with its standing, and by role and by user in a role."""

    listeners: Crowd[Standing] = field(default_factory=Crowd)
    by_role: dict[str, Crowd[None]] = field(default_factory=dict)
    by_user: dict[Standing, Crowd[None]] = field(default_factory=dict)

    def crowds_of(self, listener: Listener) -> Iterable[Crowd[Any]]:
        """Return each crowd that the listener belongs to."""
        standing = self.listeners[listener]
        found: list[Crowd[Any]] = [self.listeners]
        if standing.role is not None:
            found.append(self.by_role[standing.role])
            if standing.user is not None:
                found.append(self.by_user[standing])
        return found


class Rooms:
    """The rooms of a hub, over the table stream → room that the socket handlers share.

    Sends gather until `flush`, so that a socket gets all that one commit brings it in one write.
    `frame` turns JSON into what goes on the wire; `message` makes an event's JSON of its record.
    An event is encoded once for all who hear it.
    As a reader of the log the rooms have told what they have taken, and are never full.
    """

    full = False
    oldest = None
    ahead: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        table: dict[Stream, Room],
        frame: Frame,
        message: Callable[[Record], Mapping[str, Any]],
        presence: Presence,
        delivery: Delivery | None = None,
    ) -> None:
        self._table = table
        self._frame = frame
        self._message = message
        self._rooms_of: dict[Listener, dict[Stream, None]] = {}
        self.presence = presence
        self._delivery = delivery or OneByOne()
        # What was put since the last flush, in order: the same frame for all of a crowd.
        self._outgoing: dict[Stream, list[tuple[Crowd[Any], bytes]]] = {}

    # --- who listens ------------------------------------------------------------------------

    def join(self, stream: Stream, listener: Listener, standing: Standing) -> None:
        """Put a listener into a room. A listener that is there already gets the new standing."""
        self.leave(stream, listener)
        room = self._table.setdefault(stream, Room())
        room.listeners[listener] = standing
        if standing.role is not None:
            room.by_role.setdefault(standing.role, Crowd())[listener] = None
            if standing.user is not None:
                room.by_user.setdefault(standing, Crowd())[listener] = None
        self._changed_in(room, listener)
        self._rooms_of.setdefault(listener, {})[stream] = None
        self.presence.came(stream, standing)

    def leave(self, stream: Stream, listener: Listener, *, lost: bool = False) -> None:
        """Take a listener out of every index of one room. No other routine does.

        `lost` says that its connection broke: it may be back in a moment.
        """
        room = self._table.get(stream)
        if room is None or listener not in room.listeners:
            return
        self._changed_in(room, listener)
        standing = room.listeners.pop(listener)
        self.presence.went(stream, standing, lost=lost)
        if standing.role is not None:
            _remove(room.by_role, standing.role, listener)
            if standing.user is not None:
                _remove(room.by_user, standing, listener)
        if not room.listeners:
            del self._table[stream]
        _remove(self._rooms_of, listener, stream)

    def leave_all(self, listener: Listener, *, lost: bool = False) -> None:
        for stream in self.rooms_of(listener):
            self.leave(stream, listener, lost=lost)

    def changed(self, listener: Listener) -> None:
        """Let the delivery look at a listener again: it fell behind, caught up or is closing."""
        for stream in self._rooms_of.get(listener, ()):
            self._changed_in(self._table[stream], listener)

    @staticmethod
    def _changed_in(room: Room, listener: Listener) -> None:
        for crowd in room.crowds_of(listener):
            crowd.prepared = None

    def close(self, stream: Stream) -> None:
        """Empty a stream's room: the stream is over."""
        room = self._table.get(stream)
        for listener in list(room.listeners if room else ()):
            self.leave(stream, listener)
        self.presence.close(stream)

    def rooms_of(self, listener: Listener) -> list[Stream]:
        return list(self._rooms_of.get(listener, ()))

    def standings(self, stream: Stream) -> Iterable[Standing]:
        room = self._table.get(stream)
        return room.listeners.values() if room else ()

    def is_open(self, stream: Stream) -> bool:
        return stream in self._table

    # --- telling them -----------------------------------------------------------------------

    def broadcast(self, stream: Stream, frame: bytes) -> None:
        """Send to every socket in the room."""
        room = self._table.get(stream)
        if room is not None:
            self._put(stream, room.listeners, frame)

    def send_to(self, stream: Stream, standing: Standing, frame: bytes) -> None:
        """Send to one user in one role, on each device that is in the room."""
        room = self._table.get(stream)
        if room is not None and standing in room.by_user:
            self._put(stream, room.by_user[standing], frame)

    def send_to_roles(self, stream: Stream, roles: Iterable[str], frame: bytes) -> None:
        """Send to the sockets in the room that have one of the roles."""
        room = self._table.get(stream)
        for role in roles:
            if room is not None and role in room.by_role:
                self._put(stream, room.by_role[role], frame)

    def tell(self, stream: Stream, audience: Audience, frame: bytes) -> None:
        """Send by the way that each part of the audience names."""
        for part in audience:
            if isinstance(part, Everyone):
                self.broadcast(stream, frame)
            elif isinstance(part, User):
                self.send_to(stream, Standing(part.role, part.id), frame)
            else:
                self.send_to_roles(stream, part.roles, frame)

    def take(self, records: Iterable[Record]) -> None:
        """Tell each record to those in its stream's room who may hear it, and flush."""
        for record in records:
            if record.stream in self._table:
                try:
                    self.tell(
                        record.stream, record.event.audience, self.frame(self._message(record))
                    )
                except Exception:
                    logger.exception("event %d of %s cannot be told", record.seq, record.stream)
                    self._dismiss(list(self._table[record.stream].listeners))
        self.flush()

    def show(self, stream: Stream, figure: str, frame: bytes) -> None:
        """Show a figure to every socket in the room."""
        room = self._table.get(stream)
        for listener in list(room.listeners if room else ()):
            listener.show(figure, frame)

    def show_to_roles(
        self, stream: Stream, roles: Iterable[str], figure: str, frame: bytes
    ) -> None:
        """Show a figure to the sockets in the room that have one of the roles."""
        room = self._table.get(stream)
        for role in roles:
            for listener in list(room.by_role.get(role, ()) if room else ()):
                listener.show(figure, frame)

    def frame(self, message: Mapping[str, Any]) -> bytes:
        return self._frame(encode(message))

    def wrap(self, parts: Sequence[Part], window: int) -> bytes:
        """A message of these parts for a listener with that window."""
        if window:
            return self._frame(deflate(parts, window), deflated=True)
        return self._frame(b"".join(part.plain for part in parts))

    def flush(self) -> None:
        """Deliver what was put. Frames in a row for one crowd go in one write to each listener."""
        outgoing, self._outgoing = self._outgoing, {}
        for puts in outgoing.values():
            runs: list[tuple[Crowd[Any], list[bytes]]] = []
            for crowd, frame in puts:
                if runs and runs[-1][0] is crowd:
                    runs[-1][1].append(frame)
                else:
                    runs.append((crowd, [frame]))
            if len(runs) > MOST_RUNS:
                self._flush_each(puts)
                continue
            for crowd, frames in runs:
                self._deliver(crowd, frames[0] if len(frames) == 1 else b"".join(frames))

    def _deliver(self, crowd: Crowd[Any], frames: bytes) -> None:
        failed = self._delivery.deliver(crowd, frames)
        if failed:
            self._dismiss(failed)

    def _flush_each(self, puts: Iterable[tuple[Crowd[Any], bytes]]) -> None:
        """Send each listener all its frames in one write: they differ too often for crowds."""
        of_each: dict[Listener, list[bytes]] = {}
        for crowd, frame in puts:
            for listener in crowd:
                of_each.setdefault(listener, []).append(frame)
        for listener, frames in of_each.items():
            try:
                listener.send(b"".join(frames))
            except Exception:
                logger.exception("a client could not be told")
                self._dismiss([listener])

    def _dismiss(self, listeners: Iterable[Listener]) -> None:
        """Let those go who would miss an event; what raised once may raise again."""
        for listener in listeners:
            self.leave_all(listener)
            with suppress(Exception):
                listener.missed()

    def _put(self, stream: Stream, crowd: Crowd[Any], frame: bytes) -> None:
        self._outgoing.setdefault(stream, []).append((crowd, frame))


def _remove(index: dict[K, Any], key: K, value: object) -> None:
    """Take one value out of an index, and the key with its last value."""
    values = index[key]
    values.pop(value, None)
    if not values:
        del index[key]
