"""MongoDB through motor: bulk writes, indexes, and the runs that another log has kept.

The only file that knows motor, so that PyMongo's own async client can take its place.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import bson
import pymongo
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReplaceOne
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.write_concern import WriteConcern

from trainhub.domain.codec import load
from trainhub.domain.errors import HubError
from trainhub.domain.events import EVENTS, Event
from trainhub.domain.model import RunKey, RunStatus
from trainhub.write_buffer import Document, Refused, StoreAway

log = logging.getLogger("trainhub.mongo")

# Without a limit a frozen server holds a call for ever; one that is away shows it sooner.
TIMEOUT_MS = 10_000
ANSWER_SECONDS = 2.0
CLOSE_SECONDS = 0.5
# Errors of the connection, an election or a lock come inside a bulk too: those documents may be
# written later. These codes, and a value that BSON cannot hold, are the document's own.
FOR_GOOD = frozenset({2, 9, 40, 52, 57, 121, 10334, 17280})
DUPLICATE_KEY = 11000
MOST_DOCUMENT_BYTES = 16 * 1024 * 1024


class BadUri(ValueError):
    """The MongoDB URI cannot be used; the message says what a good one looks like."""


class MongoStore:
    """A write_buffer.Store on one database; also reads back the runs of an earlier log."""

    def __init__(
        self, uri: str, database: str, indexes: Mapping[str, Sequence[Sequence[str]]]
    ) -> None:
        """`indexes` maps a collection to the keys of each index; they are made before a write."""
        self._indexes = indexes
        self._met = False
        try:
            self._client: Any = AsyncIOMotorClient(uri, timeoutMS=TIMEOUT_MS, tz_aware=True)
            self._database = self._client.get_database(
                database, write_concern=WriteConcern(w="majority", j=True)
            )
        except (InvalidURI, ConfigurationError, ValueError, PyMongoError) as error:
            # The driver's words may quote the URI, and with it a password.
            kind = type(error).__name__
            raise BadUri(
                f"the MongoDB URI or database name cannot be used ({kind}): "
                "a URI looks like mongodb://host:27017"
            ) from None

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        sound, reasons = _encodable(documents)
        try:
            await self._meet()
            if sound:
                operations = [_upsert(document) for document in sound]
                await self._database[collection].bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            reasons |= _refused(error, sound)
        except PyMongoError as error:
            self._met = False
            raise StoreAway(_reason(error)) from error
        if reasons:
            raise Refused(reasons)

    async def _meet(self) -> None:
        """See that the server answers, and make the indexes; again after each failure."""
        if self._met:
            return
        with pymongo.timeout(ANSWER_SECONDS):
            await self._database.command("ping")
        for collection, those in self._indexes.items():
            for keys in those:
                await self._create_index(collection, keys)
        self._met = True

    async def _create_index(self, collection: str, keys: Sequence[str]) -> None:
        try:
            await self._database[collection].create_index([(key, 1) for key in keys])
        except OperationFailure as error:  # it is slower without, and works
            log.warning("no index on %s %s: %s", collection, keys, _reason(error))

    async def live_runs(self) -> AsyncIterator[tuple[RunKey, list[Event]]]:
        """Each run that has not ended, with its events from the first, without a gap.

        What a hub that lost its data folder had not yet written is not there. Raises StoreAway.
        """
        live = {"status": {"$in": [RunStatus.SCHEDULED.value, RunStatus.RUNNING.value]}}
        try:
            await self._meet()
            async for run in self._database["runs"].find(live, {"epoch": 1}):
                events = await self._events(run["_id"], run["epoch"])
                if events:
                    yield RunKey(run["_id"]), events
        except PyMongoError as error:
            raise StoreAway(_reason(error)) from error

    async def _events(self, run: str, epoch: str) -> list[Event]:
        events: list[Event] = []
        found = self._database["events"].find({"run": run, "epoch": epoch}).sort("seq", 1)
        async for document in found:
            if document["seq"] != len(events) + 1:
                break
            try:
                events.append(load(EVENTS[document["type"]], document["data"]))
            except (KeyError, HubError) as error:
                log.error("%s cannot be read, the run ends before it: %s", document["_id"], error)
                break
        return events

    def close(self) -> None:
        # Otherwise the driver looks for a server that is gone, to end its sessions there.
        with pymongo.timeout(CLOSE_SECONDS):
            self._client.close()


def _upsert(document: Document) -> ReplaceOne[Document]:
    """Write unless the same log has a later seq there; then the insert fails as a duplicate."""
    older = [{"epoch": {"$ne": document["epoch"]}}, {"seq": {"$lt": document["seq"]}}]
    return ReplaceOne({"_id": document["_id"], "$or": older}, document, upsert=True)


def _encodable(documents: Sequence[Document]) -> tuple[list[Document], dict[str, str]]:
    """Those that BSON can hold, and why not for each of the others.

    The driver refuses a whole bulk for one of them, before it sends any.
    """
    sound, reasons = [], {}
    for document in documents:
        try:
            size = len(bson.encode(document))
        except (bson.errors.BSONError, OverflowError, UnicodeError) as error:
            reasons[document["_id"]] = type(error).__name__
            continue
        if size > MOST_DOCUMENT_BYTES:
            reasons[document["_id"]] = f"it has {size} bytes"
        else:
            sound.append(document)
    return sound, reasons


def _refused(error: BulkWriteError, documents: Sequence[Document]) -> dict[str, str]:
    """The documents that MongoDB will never take; StoreAway if others may still be taken.

    A duplicate `_id` means that what is there is as new: that one is done.
    """
    details = error.details or {}
    reasons, later = {}, [str(each.get("code")) for each in details.get("writeConcernErrors", ())]
    for failed in details.get("writeErrors", ()):
        code, name = failed["code"], documents[failed["index"]]["_id"]
        if code in FOR_GOOD or (code == DUPLICATE_KEY and not _same_id(failed)):
            reasons[name] = f"error {code}"
        elif code != DUPLICATE_KEY:
            later.append(str(code))
    if later:
        raise StoreAway(f"errors {', '.join(sorted(set(later)))} of a bulk write") from error
    return reasons


def _same_id(failed: Mapping[str, Any]) -> bool:
    return list(failed.get("keyPattern", ())) == ["_id"]


def _reason(error: PyMongoError) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:200]}"
