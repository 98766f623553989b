"""The audit trail: each command with its user, role, run and address, and its result.

A command that was carried out is in the journal with its events, as a `journal.Deed`, and from
there in MongoDB, for good. A refused command has no events and is in no log. It goes to MongoDB
directly, up to a limit, so that a flood of refusals fills no disk. The rest is only counted.
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
from trainhub.hub.documents import single

# Refusals of one user that are written in one minute.
MOST_A_MINUTE = 60
# Characters of an entry's `about`: an id in a refused command may be any text.
LONGEST_ABOUT = 100

_NAMES = {command: name for name, command in c.COMMANDS.items()}


def deed_of(command: c.Command, identity: Identity, address: str | None) -> Deed | None:
    """Return the command's entry in the trail; None for a caller without a token."""
    return deed_of_kind(type(command), identity, address, _about(command))


def deed_of_kind(
    kind: type[c.Command], identity: Identity, address: str | None, about: str | None = None
) -> Deed | None:
    """Return the entry of a command of which only the type is known; else as `deed_of`."""
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
    if isinstance(command, c.CheckCoach | c.Remark):
        return command.coach
    if isinstance(command, c.SignOn):
        return ",".join(command.coaches)
    if isinstance(command, c.BerthsCommand):
        return command.coach if command.berth is None else f"{command.coach}-{command.berth}"
    return command.user if isinstance(command, c.Announce) else None


class HubArchive(EventArchive, Protocol):
    """A store of all events and of the audit trail, which gets them with a delay."""

    async def entries(
        self,
        trains: frozenset[str] | None,
        run: str | None,
        user: str | None,
        before: str | None,
        limit: int,
    ) -> list[Document]:
        """Return the entries whose `_id` is below `before`, the newest first.

        `trains` are the train numbers and runs to include; None means all.
        Raises StoreAway if the store does not answer.
        """

    async def letters(
        self, run: str, about: str | None, user: str | None, most: int
    ) -> list[Document]:
        """Return a run's letters, the newest first. Raises StoreAway.

        With `about`, return those about that person, and those to `user` about no one person.
        """


class NoArchive:
    """The archive of a hub without a store."""

    async def events(self, *_: object) -> Sequence[DomainEvent]:
        return ()

    async def entries(self, *_: object) -> list[Document]:
        raise StoreAway("there is no store")

    async def letters(self, *_: object) -> list[Document]:
        raise StoreAway("there is no store")


class Audit:
    """The trail of one hub.

    `kept` counts the refusals that were written, `left_out` those above the limit or without room
    in the buffer, and `unidentified` those of clients without a token, which are never written.
    """

    def __init__(
        self, epoch: str, archive: HubArchive, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` counts seconds. It is not a wall clock, which can be set."""
        self.epoch = epoch
        self._clock = clock
        self._archive = archive
        self._write: Callable[[Change], bool] = lambda _: False
        self._minute = 0
        self._in_this_minute: Counter[str] = Counter()
        self.kept = self.left_out = self.unidentified = 0

    def write_to(self, write: Callable[[Change], bool]) -> None:
        """Write refusals by `write`, which returns False if it has no room for a document."""
        self._write = write

    def refused(self, deed: Deed | None, run: RunKey | None, error: HubError, at: datetime) -> None:
        """Note a refusal. Unavailable is not a refusal: the caller may try again."""
        if isinstance(error, Unavailable):
            return
        if deed is None:
            self.unidentified += 1
        elif self._may(deed.user) and self._write(single(deed, run, error.code, at, self.epoch)):
            self.kept += 1
        else:
            self.left_out += 1

    def done(
        self, act: str, identity: Identity, address: str | None, about: str, at: datetime
    ) -> None:
        """Note an act that is no command. Raises Unavailable if it cannot be noted."""
        assert identity.user is not None
        assert identity.role is not None
        deed = Deed(identity.user, identity.role, address, act, about[:LONGEST_ABOUT])
        if not self._write(single(deed, None, "DONE", at, self.epoch)):
            raise Unavailable("the audit trail has no room now: try again when MongoDB answers")

    def _may(self, user: str) -> bool:
        """Count a refusal of a user. Returns whether it is within the user's limit."""
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
        """Return the newest entries of the runs that the identity covers.

        `before` is the id of the oldest entry already read, or `documents.stamp` of a time.
        Raises Unavailable if the store does not answer.
        """
        trains = None if ALL_TRAINS in identity.trains else identity.trains
        try:
            found = await self._archive.entries(trains, run, user, before, limit)
        except StoreAway:
            raise Unavailable(
                "the audit trail is in MongoDB, which does not answer now: try again later"
            ) from None
        return [_shown(entry) for entry in found]


def _shown(entry: Document) -> dict[str, Any]:
    """Return an entry for a client, without the fields that only the hub uses."""
    internal = {"_id", "epoch", "schema"}
    fields = {name: value for name, value in entry.items() if name not in internal}
    return {"id": entry["_id"], **fields, "at": entry["at"].isoformat(timespec="milliseconds")}
