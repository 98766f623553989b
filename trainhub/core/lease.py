"""The lease on the database: which hub owns it, and how a hub gets it, keeps it and loses it.

No two machines' clocks are compared: a holder counts its `beats`, and another hub takes over once
it has seen them stand still for DEAD_SECONDS of its own monotonic clock.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from trainhub.core.lineage import StorePlace

logger = logging.getLogger("trainhub.lease")

# Seconds between two beats of the owner.
RENEW_SECONDS = 1.0
DEAD_SECONDS = 10.0


class RivalHub(Exception):
    """Another hub owns the database; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """A hub that holds the lease, by its start; `beats` counts how often it renewed it."""

    start: str
    epoch: str
    host: str
    pid: int
    beats: int = 0
    released: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The lease as it is in MongoDB, and how far MongoDB has got."""

    holder: LeaseHolder
    place: StorePlace | None


class Lease(Protocol):
    """The lease in the database (adapters/mongo_lease.py). Every method raises StoreAway."""

    async def read(self) -> Held | None: ...
    async def claim(self, mine: LeaseHolder, expected: LeaseHolder | None) -> bool: ...
    async def renew(self, start: str) -> Held | None: ...
    async def put(self, start: str, place: StorePlace, expected: StorePlace | None) -> bool: ...
    async def release(self, start: str) -> None: ...


class State(Enum):
    AWAY = auto()  # the database has not answered yet, or no longer does
    WATCHING = auto()  # another hub holds the lease; whether it lives is not known yet
    OWNER = auto()
    RIVAL = auto()  # another hub owns the database; this one writes nothing there any more


class Tenancy:
    """One hub's hold on the lease, from its start to its end."""

    def __init__(
        self, lease: Lease, start: str, is_own: Callable[[LeaseHolder], bool], *, alone: bool
    ) -> None:
        """`is_own` knows a lease that only this hub can have held, at an earlier start.

        `alone` is for a database that no other hub can reach: a lease there is a dead hub's.
        """
        self._lease = lease
        self._start = start
        self._is_own = is_own
        self._alone = alone
        self.state = State.AWAY
        self.holder: LeaseHolder | None = None
        self._seen_at = 0.0
        self._renewed = asyncio.get_running_loop().time()

    @property
    def unheard_for(self) -> float:
        """Seconds since the lease was last renewed."""
        return asyncio.get_running_loop().time() - self._renewed

    async def renew(self) -> Held | None:
        """Beat once; returns what is there, or None if the lease is another's by now."""
        held = await self._lease.renew(self._start)
        if held is not None:
            self._renewed = asyncio.get_running_loop().time()
        return held

    async def take(self, epoch: str) -> tuple[bool, Held | None]:
        """Try to have the lease; returns whether this hub has it, and what was there before.

        If it has not, the state is WATCHING or RIVAL. It becomes OWNER by the caller's hand.
        """
        held = await self._lease.read()
        holder = None if held is None else held.holder
        if holder is None or holder.start != self._start:
            if holder is not None and not self._is_free(holder):
                return False, held
            mine = LeaseHolder(self._start, epoch, socket.gethostname(), os.getpid())
            if not await self._lease.claim(mine, holder):
                self.state = State.WATCHING  # another was quicker, or lives: look again
                return False, held
            if holder is not None and not self._is_own(holder):
                logger.log(
                    logging.INFO if holder.released else logging.WARNING,
                    "took over the database from the hub of process %d on %s (epoch %s), which %s",
                    holder.pid,
                    holder.host,
                    holder.epoch,
                    "has stopped" if holder.released else "does not renew its lease",
                )
        self._renewed = asyncio.get_running_loop().time()
        return True, held

    def _is_free(self, holder: LeaseHolder) -> bool:
        """Whether the lease may be taken; if not, the state says what to do meanwhile."""
        if self._alone or holder.released or self._is_own(holder):
            return True
        now = asyncio.get_running_loop().time()
        seen, self.holder = self.holder, holder
        if seen is None or self.state is not State.WATCHING:
            self.state, self._seen_at = State.WATCHING, now
            logger.info(
                "the hub of process %d on %s holds the database: looking for %g s whether it lives",
                holder.pid,
                holder.host,
                DEAD_SECONDS,
            )
        elif seen != holder:
            self.state = State.RIVAL
        return self.state is State.WATCHING and now - self._seen_at >= DEAD_SECONDS

    def rival(self) -> RivalHub:
        """Return the error with which a start ends that has met a rival."""
        assert self.holder is not None
        return RivalHub(
            f"the hub of process {self.holder.pid} on {self.holder.host} (epoch "
            f"{self.holder.epoch}) owns this database: stop that hub first, or name another "
            "database with --database"
        )
