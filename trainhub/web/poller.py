"""Waits for many sockets, and serves a bounded number of them in one turn of the loop.

An asyncio loop serves all sockets that are ready in one turn, and keeps four objects for each. So
when thousands speak or leave at once, all else waits for all of them.
"""

import asyncio
import select
from typing import Protocol

# Sockets that are served in one turn of the loop: a few milliseconds of work.
SERVED_A_TURN = 32


class Pollable(Protocol):
    """What waits for a socket."""

    def ready(self, read: bool, write: bool) -> None:
        """Read or write: the socket is ready for it, or has failed."""


class Poller(Protocol):
    """Calls `ready` of what it waits for."""

    def wait(self, descriptor: int, pollable: Pollable, *, read: bool, write: bool) -> None:
        """Wait until the socket can be read or written, from now on each time."""

    def stop(self, descriptor: int) -> None:
        """Wait for the socket no more. Call it before the descriptor is closed."""


class EpollPoller:
    """The poller of Linux: one epoll for all sockets, which the loop sees as one descriptor."""

    def __init__(self, most: int) -> None:
        """Begin, in a running loop. `most` sockets are served in one of its turns."""
        self._most = most
        self._epoll = select.epoll()
        self._waiting: dict[int, Pollable] = {}
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._turn)

    def wait(self, descriptor: int, pollable: Pollable, *, read: bool, write: bool) -> None:
        events = (select.EPOLLIN if read else 0) | (select.EPOLLOUT if write else 0)
        if not events:
            self.stop(descriptor)
        elif descriptor in self._waiting:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
            self._waiting[descriptor] = pollable

    def stop(self, descriptor: int) -> None:
        if self._waiting.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _turn(self) -> None:
        # The kernel puts a socket that stays ready at the end of its queue: all have their turns.
        for descriptor, events in self._epoll.poll(0, self._most):
            pollable = self._waiting.get(descriptor)
            if pollable is not None:  # an earlier one of this turn may have stopped it
                pollable.ready(bool(events & ~select.EPOLLOUT), bool(events & ~select.EPOLLIN))


class LoopPoller:
    """The poller for systems without epoll."""

    def wait(self, descriptor: int, pollable: Pollable, *, read: bool, write: bool) -> None:
        loop = asyncio.get_running_loop()
        self.stop(descriptor)
        if read:
            loop.add_reader(descriptor, pollable.ready, True, False)
        if write:
            loop.add_writer(descriptor, pollable.ready, False, True)

    def stop(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)


def best_poller(most: int = SERVED_A_TURN) -> Poller:
    """Return the poller of this system, for the running loop."""
    return EpollPoller(most) if hasattr(select, "epoll") else LoopPoller()
