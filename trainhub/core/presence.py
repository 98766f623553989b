"""The users and sockets online in a room, as a figure.

The figure is derived from the room's sockets. A lost socket still counts for GRACE_SECONDS or until
its client is back: a train in a tunnel loses all its sockets at once.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trainhub.core.audience import Standing
from trainhub.core.stream import Stream

# Seconds for which a lost socket counts as online.
GRACE_SECONDS = 15.0


class Presence:
    """The lost sockets by stream and standing, and the streams whose figure may have changed."""

    def __init__(
        self,
        sockets: Callable[[Counter[str | None]], Any],
        users: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sockets` makes a figure from the sockets by role. `users` maps a field to its role."""
        self._sockets = sockets
        self._users = users
        self._clock = clock
        self._lost: dict[Stream, dict[Standing, list[float]]] = {}
        self._news: set[Stream] = set()
        self._told: dict[Stream, dict[str, Any]] = {}

    def came(self, stream: Stream, standing: Standing) -> None:
        """Record that a socket joined a room. It replaces a lost socket of the same standing."""
        self._news.add(stream)
        those = self._lost.get(stream, {})
        if times := those.get(standing):
            times.pop(0)
            if not times:
                del those[standing]
                self._tidy(stream)

    def went(self, stream: Stream, standing: Standing, *, lost: bool) -> None:
        """Record that a socket left a room, or that its connection was `lost`."""
        self._news.add(stream)
        if lost:
            self._lost.setdefault(stream, defaultdict(list))[standing].append(self._clock())

    def close(self, stream: Stream) -> None:
        """Drop a stream that is over."""
        self._lost.pop(stream, None)
        self._told.pop(stream, None)
        self._news.discard(stream)

    def figure(self, stream: Stream, standings: Iterable[Standing]) -> dict[str, Any]:
        """Return the users and the sockets online, by role. `standings` are those of the room."""
        there = Counter(standings)
        for standing, times in self._lost.get(stream, {}).items():
            there[standing] += len(times)
        roles: Counter[str | None] = Counter()
        for standing, count in there.items():
            roles[standing.role] += count
        return {
            **{
                name: len({standing.user for standing in there if standing.role == role})
                for name, role in self._users.items()
            },
            "sockets": self._sockets(roles),
        }

    def news(self, standings: Callable[[Stream], Iterable[Standing]]) -> dict[Stream, Any]:
        """Return the figures that have changed since the last call, by stream."""
        self._give_up()
        streams, self._news = self._news, set()
        changed = {}
        for stream in streams:
            there = list(standings(stream))
            figure = self.figure(stream, there)
            if figure != self._told.get(stream):
                changed[stream] = figure
            if there or stream in self._lost:
                self._told[stream] = figure
            else:
                self._told.pop(stream, None)
        return changed

    def _give_up(self) -> None:
        """Drop the sockets that were lost over GRACE_SECONDS ago."""
        before = self._clock() - GRACE_SECONDS
        for stream, those in list(self._lost.items()):
            for standing, times in list(those.items()):
                left = [at for at in times if at > before]
                if len(left) < len(times):
                    self._news.add(stream)
                    those[standing] = left
                if not left:
                    del those[standing]
            self._tidy(stream)

    def _tidy(self, stream: Stream) -> None:
        if not self._lost[stream]:
            del self._lost[stream]
