"""MongoDB through motor: bulk writes, indexes, and the runs that another log has kept.

The only file that knows motor, so that PyMongo's own async client can take its place.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError, ConfigurationError, InvalidURI, PyMongoError
from pymongo.write_concern import WriteConcern

from trainhub.domain.codec import load
from trainhub.domain.events import EVENTS, Event
from trainhub.domain.model import RunKey, RunStatus
from trainhub.write_buffer import Document, StoreAway

# Without a limit a frozen server holds a call for ever; one that is away shows it sooner.
TIMEOUT_MS = 10_000
ANSWER_SECONDS = 2.0
DUPLICATE_KEY = 11000


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
        operations = [_upsert(document) for document in documents]
        try:
            await self._meet()
            await self._database[collection].bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            _check(error)
        except PyMongoError as error:
            self._met = False
            raise StoreAway(_reason(error)) from error

    async def _meet(self) -> None:
        """See that the server answers, and make the indexes; again after each failure."""
        if self._met:
            return
        with pymongo.timeout(ANSWER_SECONDS):
            await self._database.command("ping")
        for collection, those in self._indexes.items():
            for keys in those:
                await self._database[collection].create_index([(key, 1) for key in keys])
        self._met = True

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
            events.append(load(EVENTS[document["type"]], document["data"]))
        return events

    def close(self) -> None:
        self._client.close()


def _upsert(document: Document) -> ReplaceOne[Document]:
    """Write unless the same log has a later seq there; then the insert fails as a duplicate."""
    older = [{"epoch": {"$ne": document["epoch"]}}, {"seq": {"$lt": document["seq"]}}]
    return ReplaceOne({"_id": document["_id"], "$or": older}, document, upsert=True)


def _check(error: BulkWriteError) -> None:
    """A duplicate key means that what is there is as new: that is done. All else is not."""
    details = error.details or {}
    others: dict[int, str] = {}
    for failed in details.get("writeErrors", ()):
        if failed["code"] != DUPLICATE_KEY:
            others[failed["code"]] = failed["errmsg"]
    for concern in details.get("writeConcernErrors", ()):
        others[concern["code"]] = concern["errmsg"]
    if others:
        reasons = "; ".join(f"{code}: {text[:200]}" for code, text in others.items())
        raise StoreAway(f"some documents were not written ({reasons})") from error


def _reason(error: PyMongoError) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
