"""The lease on the database: which hub owns it, and how a hub gets, renews and loses the lease.

Clocks of two machines are never compared. A holder counts its `beats`. Another hub takes over when
`beats` has not changed for DEAD_SECONDS of that hub's own monotonic clock.
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

# Seconds between two renewals by the owner.
RENEW_SECONDS = 1.0
# Seconds without a renewal after which another hub takes over.
DEAD_SECONDS = 10.0


class RivalHub(Exception):
    """Another hub owns the database. The message says which hub, and what to do."""


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """The hub that holds the lease, identified by its start. `beats` counts the renewals."""

    start: str
    epoch: str
    host: str
    pid: int
    beats: int = 0
    released: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The lease in MongoDB, and the place up to which MongoDB is written."""

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
    WATCHING = auto()  # another hub holds the lease, and may be dead
    OWNER = auto()
    RIVAL = auto()  # another hub owns the database; this hub no longer writes to it


class Tenancy:
    """One hub's hold on the lease, from its start to its end."""

    def __init__(
        self, lease: Lease, start: str, is_own: Callable[[LeaseHolder], bool], *, alone: bool
    ) -> None:
        """`is_own` returns True for a lease of an earlier start of this same hub.

        `alone` means that no other hub can reach the database: a lease there is a dead hub's.
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
        """Return the seconds since the lease was last renewed."""
        return asyncio.get_running_loop().time() - self._renewed

    async def renew(self) -> Held | None:
        """Renew the lease and return it. None means that another hub holds it by now."""
        held = await self._lease.renew(self._start)
        if held is not None:
            self._renewed = asyncio.get_running_loop().time()
        return held

    async def acquire(self, epoch: str) -> tuple[bool, Held | None]:
        """Try to get the lease. Return whether this hub has it, and the lease as it was before.

        If this hub does not get it, the state becomes WATCHING or RIVAL. Otherwise the caller sets
        the state to OWNER.
        """
        held = await self._lease.read()
        holder = None if held is None else held.holder
        if holder is None or holder.start != self._start:
            if holder is not None and not self._is_free(holder):
                return False, held
            mine = LeaseHolder(self._start, epoch, socket.gethostname(), os.getpid())
            if not await self._lease.claim(mine, holder):
                self.state = State.WATCHING  # another hub was quicker or is alive: watch it again
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
        """Return whether this hub may claim the lease. If not, set the state."""
        if self._alone or holder.released or self._is_own(holder):
            return True
        now = asyncio.get_running_loop().time()
        seen, self.holder = self.holder, holder
        if seen is None or self.state is not State.WATCHING:
            self.state, self._seen_at = State.WATCHING, now
            logger.info(
                "the hub of process %d on %s holds the database: watching it for %g s",
                holder.pid,
                holder.host,
                DEAD_SECONDS,
            )
        elif seen != holder:
            self.state = State.RIVAL
        return self.state is State.WATCHING and now - self._seen_at >= DEAD_SECONDS

    def rival(self) -> RivalHub:
        """Return the error that ends a start because another hub owns the database."""
        assert self.holder is not None
        return RivalHub(
            f"the hub of process {self.holder.pid} on {self.holder.host} (epoch "
            f"{self.holder.epoch}) owns this database: stop that hub first, or name another "
            "database with --database"
        )
