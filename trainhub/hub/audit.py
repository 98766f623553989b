"""The audit trail: who gave which command, on which run, from where, and what became of it.

What was done stands in the journal with what it did, as a `journal.Deed`, and from there in
MongoDB, for good. What was refused changed nothing and is in no log: it goes to MongoDB as far as
there is room for it, so that a flood of refusals fills no disk; what is left out is counted.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from trainhub.access.identity import ALL_TRAINS, Identity
from trainhub.core.audience import DomainEvent
from trainhub.core.errors import HubError, Unavailable
from trainhub.core.journal import Deed
from trainhub.core.lookups import EventArchive
from trainhub.core.write_buffer import Change, Document, StoreAway
from trainhub.domain import commands as c
from trainhub.domain.model import RunKey
from trainhub.hub.documents import refusal

# Refusals of one user that are kept in a minute.
MOST_A_MINUTE = 60
# An id that was refused may be any text.
LONGEST_ABOUT = 100

_NAMES = {command: name for name, command in c.COMMANDS.items()}


def deed_of(command: c.Command, identity: Identity, address: str | None) -> Deed | None:
    """Return the command as the trail has it; None for a caller without a token."""
    return deed_of_kind(type(command), identity, address, _about(command))


def deed_of_kind(
    kind: type[c.Command], identity: Identity, address: str | None, about: str | None = None
) -> Deed | None:
    """The same, of a command whose fields were not looked at."""
    if identity.user is None or identity.role is None:
        return None
    about = about and about[:LONGEST_ABOUT]
    return Deed(identity.user, identity.role, address, _NAMES[kind], about)


def _about(command: c.Command) -> str | None:
    if isinstance(command, c.PersonCommand):
        return f"{command.pnr}/{command.index}"
    if isinstance(command, c.OfferCommand):
        return command.offer_id
    if isinstance(command, c.StationCommand):
        return command.station_code
    return command.user if isinstance(command, c.Announce) else None


class HubArchive(EventArchive, Protocol):
    """Where all events and the audit trail can be read, though not at once."""

    async def entries(
        self,
        trains: frozenset[str] | None,
        run: str | None,
        user: str | None,
        before: str | None,
        limit: int,
    ) -> list[Document]:
        """The newest entries whose `_id` is below `before`, newest first; raises StoreAway.

        `trains` are train numbers and runs, None for all; entries of other runs are left out.
        """

    async def letters(self, run: str, about: str | None, most: int) -> list[Document]:
        """Return a run's letters, of one person or of all, the newest first. Raises StoreAway."""


class NoArchive:
    """For a hub that has no store."""

    async def events(self, *_: object) -> Sequence[DomainEvent]:
        return ()

    async def entries(self, *_: object) -> list[Document]:
        raise StoreAway("there is no store")

    async def letters(self, *_: object) -> list[Document]:
        raise StoreAway("there is no store")


class Audit:
    """The trail of one hub. `kept` counts the refusals in it, `left_out` those that had no room,
    `unidentified` those of clients without a token, which are only counted.
    """

    def __init__(
        self, epoch: str, archive: HubArchive, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` counts seconds; no wall clock, whose minutes may be long or short."""
        self.epoch = epoch
        self._clock = clock
        self._archive = archive
        self._keep: Callable[[Change], bool] = lambda _: False
        self._minute = 0
        self._in_this_minute: Counter[str] = Counter()
        self.kept = self.left_out = self.unidentified = 0

    def write_to(self, keep: Callable[[Change], bool]) -> None:
        """`keep` takes a document that is to be written, or says that it has no room for it."""
        self._keep = keep

    def refused(self, deed: Deed | None, run: RunKey | None, error: HubError, at: datetime) -> None:
        """Note a refusal. Unavailable is no refusal: the hub could not, for now."""
        if isinstance(error, Unavailable):
            return
        if deed is None:
            self.unidentified += 1
        elif self._may(deed.user) and self._keep(refusal(deed, run, error.code, at, self.epoch)):
            self.kept += 1
        else:
            self.left_out += 1

    def _may(self, user: str) -> bool:
        minute = int(self._clock()) // 60
        if minute != self._minute:
            self._minute = minute
            self._in_this_minute.clear()
        self._in_this_minute[user] += 1
        return self._in_this_minute[user] <= MOST_A_MINUTE

    async def read(
        self,
        identity: Identity,
        run: RunKey | None,
        user: str | None,
        before: str | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """The newest entries that the identity's runs have; raises Unavailable.

        `before` is the id of the last entry that is known already, or `documents.stamp` of a time.
        """
        trains = None if ALL_TRAINS in identity.trains else identity.trains
        try:
            found = await self._archive.entries(trains, run, user, before, limit)
        except StoreAway:
            raise Unavailable(
                "the audit trail is read from MongoDB, which does not answer now: try again later"
            ) from None
        return [_shown(entry) for entry in found]


def _shown(entry: Document) -> dict[str, Any]:
    """An entry as it is answered: without the fields by which the hub files it."""
    filed = {"_id", "epoch", "schema"}
    fields = {name: value for name, value in entry.items() if name not in filed}
    return {"id": entry["_id"], **fields, "at": entry["at"].isoformat(timespec="milliseconds")}
