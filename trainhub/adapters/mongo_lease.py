"""The document `hub` of collection `meta`: which hub owns the database, and how far it has written.

    {_id: "hub", lease: {start, epoch, host, pid, since, renewed, beats, released},
     place: {epoch, start, position}}

Each change names the lease or the place that it expects, so only one of two hubs succeeds. Hubs
compare `beats`, as their clocks may differ; `since` and `renewed` are for operators.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pymongo
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from trainhub.adapters import schema
from trainhub.adapters.mongo import MONGO_CLOSE_SECONDS, MongoStore
from trainhub.core.lease import Held, LeaseHolder
from trainhub.core.lineage import StorePlace

_OWNER = {"_id": "hub"}


class MongoLease:
    """A lease.Lease on the database of a MongoStore. Every method raises StoreAway."""

    def __init__(self, store: MongoStore) -> None:
        self._store = store

    async def read(self) -> Held | None:
        """Return the lease and the place. None means that no hub has owned the database.

        Raises TooNew if the database has a later schema than this hub knows.
        """
        try:
            with pymongo.timeout(self._store.patience):
                await schema.check(self._store.database)
                return _held(await self._meta.find_one(_OWNER))
        except PyMongoError as error:
            raise self._store.failed(error) from error

    async def claim(self, mine: LeaseHolder, expected: LeaseHolder | None) -> bool:
        """Claim the lease from its holder; `expected` None means that there was no lease.

        Returns False if another hub was faster.
        """
        lease = {
            "start": mine.start,
            "epoch": mine.epoch,
            "host": mine.host,
            "pid": mine.pid,
            "since": datetime.now(UTC),
            "renewed": datetime.now(UTC),
            "beats": 1 if expected is None else expected.beats + 1,
            "released": False,
        }
        try:
            with pymongo.timeout(self._store.patience):
                if expected is None:
                    await self._meta.insert_one({**_OWNER, "lease": lease})
                    return True
                were = {"lease.start": expected.start, "lease.beats": expected.beats}
                done = await self._meta.update_one({**_OWNER, **were}, {"$set": {"lease": lease}})
                return bool(done.matched_count)
        except DuplicateKeyError:
            return False
        except PyMongoError as error:
            raise self._store.failed(error) from error

    async def renew(self, start: str) -> Held | None:
        """Add a beat, and return the lease and the place. None means that the lease was lost."""
        change = {"$inc": {"lease.beats": 1}, "$set": {"lease.renewed": datetime.now(UTC)}}
        try:
            with pymongo.timeout(self._store.patience):
                found = await self._meta.find_one_and_update(
                    {**_OWNER, "lease.start": start},
                    change,
                    return_document=ReturnDocument.AFTER,
                )
        except PyMongoError as error:
            raise self._store.failed(error) from error
        return _held(found)

    async def put(self, start: str, place: StorePlace, expected: StorePlace | None) -> bool:
        """Store how far MongoDB has got. Return False if the lease was lost.

        Also returns False if the stored place is not `expected`; None expects nothing.
        """
        were = {} if expected is None else {"place": _fields(expected)}
        try:
            with pymongo.timeout(self._store.patience):
                done = await self._meta.update_one(
                    {**_OWNER, "lease.start": start, **were}, {"$set": {"place": _fields(place)}}
                )
        except PyMongoError as error:
            raise self._store.failed(error) from error
        return bool(done.matched_count)

    async def release(self, start: str) -> None:
        """Release the lease, so that another hub may claim it at once."""
        try:
            with pymongo.timeout(MONGO_CLOSE_SECONDS):
                await self._meta.update_one(
                    {**_OWNER, "lease.start": start}, {"$set": {"lease.released": True}}
                )
        except PyMongoError as error:
            raise self._store.failed(error) from error

    @property
    def _meta(self) -> Any:
        return self._store.database["meta"]


async def look(uri: str, database: str) -> Held | None:
    """Read the lease and the place of a database. Raises BadUri, StoreAway and TooNew."""
    store = MongoStore(uri, database, {})
    try:
        return await MongoLease(store).read()
    finally:
        store.close()


def _fields(place: StorePlace) -> dict[str, Any]:
    return {"epoch": place.epoch, "start": place.start, "position": place.position}


def _held(document: Mapping[str, Any] | None) -> Held | None:
    if document is None:
        return None
    lease, place = document["lease"], document.get("place")
    holder = LeaseHolder(
        *(lease[name] for name in ("start", "epoch", "host", "pid", "beats", "released"))
    )
    return Held(holder, place and StorePlace(place["epoch"], place["start"], place["position"]))
