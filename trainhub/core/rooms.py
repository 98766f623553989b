"""The listeners of a stream, and the three ways to send to them: all, one user, or roles.

A room is the sockets subscribed to one stream. No call reaches all rooms.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
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

# Writes to a room in one flush. If there are more, each listener's frames are joined instead.
MOST_RUNS = 4

K = TypeVar("K")
V = TypeVar("V")


class Listener(Protocol):
    """A client's socket, as a room sees it."""

    @property
    def window(self) -> int:
        """The window bits of the compressed messages that the client accepts; 0 for none."""

    @property
    def is_behind(self) -> bool:
        """Whether frames wait because the client reads too slowly."""

    def send(self, frames: bytes) -> None:
        """Send encoded frames. Never waits and never raises."""

    def catch_up(self, frames: bytes) -> None:
        """Send the snapshot or the missed events that the client asked for."""

    def show(self, figure: str, frame: bytes) -> None:
        """Send a figure. It replaces an older figure of that name that still waits."""

    def missed(self) -> None:
        """Close the socket, because an event could not be sent. The client must reconnect."""


class Frame(Protocol):
    """The function that turns JSON into a WebSocket frame."""

    def __call__(self, payload: bytes, /, *, deflated: bool = ...) -> bytes:
        """Return the frame. `deflated` means that the payload is compressed JSON."""


class Crowd(dict[Listener, V]):
    """Listeners that get the same frames: a whole room, one of its roles, or one user's devices.

    `prepared` belongs to the delivery. It is reset to None when a listener joins, leaves, falls
    behind, catches up or closes.
    """

    __slots__ = ("prepared",)

    def __init__(self) -> None:
        super().__init__()
        self.prepared: Any = None


class Delivery(Protocol):
    """A way to write the same frames to a crowd."""

    def deliver(self, crowd: Crowd[Any], frames: bytes) -> Sequence[Listener]:
        """Write or queue the frames for each listener of the crowd. Never waits.

        Returns the listeners that failed.
        """


class OneByOne:
    """The delivery for every platform: it calls `send` of each listener."""

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
    """A stream's listeners with their standings, also indexed by role and by standing."""

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

    Frames are queued until `flush`, so that a socket gets all frames of one commit in one write.
    `frame` turns JSON into a WebSocket frame; `message` makes an event's message from its record.
    An event is encoded once for all listeners. As a consumer of the log the rooms are never full,
    and are done with a record when they have accepted it.
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
        # The frames queued since the last flush, in order, each with its crowd.
        self._outgoing: dict[Stream, list[tuple[Crowd[Any], bytes]]] = {}

    # --- who listens ------------------------------------------------------------------------

    def join(self, stream: Stream, listener: Listener, standing: Standing) -> None:
        """Add a listener to a room, or change the standing of a listener that is there."""
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
        """Remove a listener from every index of one room. No other routine does.

        `lost` means that the connection broke, so the client may be back soon.
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
        """Reset `prepared` for a listener that fell behind, caught up or is closing."""
        for stream in self._rooms_of.get(listener, ()):
            self._changed_in(self._table[stream], listener)

    @staticmethod
    def _changed_in(room: Room, listener: Listener) -> None:
        for crowd in room.crowds_of(listener):
            crowd.prepared = None

    def close(self, stream: Stream) -> None:
        """Empty the room of a stream that is over."""
        room = self._table.get(stream)
        for listener in list(room.listeners if room else ()):
            self.leave(stream, listener)
        self.presence.close(stream)

    def rooms_of(self, listener: Listener) -> list[Stream]:
        return list(self._rooms_of.get(listener, ()))

    def standings(self, stream: Stream) -> Iterable[Standing]:
        room = self._table.get(stream)
        return room.listeners.values() if room else ()

    def is_present(self, stream: Stream, standing: Standing) -> bool:
        """True if a device of a user in a role is in the room."""
        room = self._table.get(stream)
        return room is not None and standing in room.by_user

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
        """Send to each part of the audience."""
        for part in audience:
            if isinstance(part, Everyone):
                self.broadcast(stream, frame)
            elif isinstance(part, User):
                self.send_to(stream, Standing(part.role, part.id), frame)
            else:
                self.send_to_roles(stream, part.roles, frame)

    def accept(self, records: Iterable[Record]) -> None:
        """Send each record to its audience in its stream's room, and flush."""
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

    def show(
        self, stream: Stream, figure: str, frame: bytes, *, without: Container[str | None] = ()
    ) -> None:
        """Send a figure to every socket in the room, except those of the roles in `without`."""
        room = self._table.get(stream)
        for listener, standing in list(room.listeners.items() if room else ()):
            if standing.role not in without:
                listener.show(figure, frame)

    def show_to_roles(
        self, stream: Stream, roles: Iterable[str], figure: str, frame: bytes
    ) -> None:
        """Send a figure to the sockets in the room that have one of the roles."""
        room = self._table.get(stream)
        for role in roles:
            for listener in list(room.by_role.get(role, ()) if room else ()):
                listener.show(figure, frame)

    def frame(self, message: Mapping[str, Any]) -> bytes:
        return self._frame(encode(message))

    def wrap(self, parts: Sequence[Part], window: int) -> bytes:
        """Return the frame of a message in parts, for a listener with that window."""
        if window:
            return self._frame(deflate(parts, window), deflated=True)
        return self._frame(b"".join(part.plain for part in parts))

    def flush(self) -> None:
        """Deliver the queued frames. Consecutive frames for one crowd go in one write."""
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
                self.deliver(crowd, frames[0] if len(frames) == 1 else b"".join(frames))

    def deliver(self, crowd: Crowd[Any], frames: bytes) -> None:
        """Write frames to a crowd now. A listener that fails leaves its rooms."""
        failed = self._delivery.deliver(crowd, frames)
        if failed:
            self._dismiss(failed)

    def _flush_each(self, puts: Iterable[tuple[Crowd[Any], bytes]]) -> None:
        """Send each listener all its frames in one write, where crowds alternate too often."""
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
        """Remove and close the listeners that would miss an event. Closing may raise too."""
        for listener in listeners:
            self.leave_all(listener)
            with suppress(Exception):
                listener.missed()

    def _put(self, stream: Stream, crowd: Crowd[Any], frame: bytes) -> None:
        self._outgoing.setdefault(stream, []).append((crowd, frame))


def _remove(index: dict[K, Any], key: K, value: object) -> None:
    """Remove a value from an index, and its key if no value is left."""
    values = index[key]
    values.pop(value, None)
    if not values:
        del index[key]
