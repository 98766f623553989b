"""The form of the documents in MongoDB, by number, and how a database gets from one to the next.

The number stands in each document's `schema` and, for the database, in collection `meta` as
{_id: "schema", version}. Version 1 is that of the documents which have no `schema`.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from trainhub.core.write_buffer import TooNew

logger = logging.getLogger("trainhub.schema")

# Documents that are changed in one call: it ends well within the store's limit.
DOCUMENTS_A_CALL = 2_000


async def check(database: Any) -> int:
    """The database's version; raises TooNew if this hub does not know it. Changes nothing."""
    found = await database["meta"].find_one({"_id": "schema"})
    version = 1 if found is None else found["version"]
    if type(version) is not int or version > SCHEMA_VERSION:
        raise TooNew(
            f"the database {database.name} has documents of schema {version!r:.20}, and this hub "
            f"knows up to {SCHEMA_VERSION}: run a newer trainhub, or name another with --database"
        )
    return version


async def migrate(database: Any) -> None:
    """Bring the database to VERSION, a step at a time; raises TooNew.

    A step that was broken off is taken again from its beginning, so each may be taken twice. Its
    number is kept only once all of it is on disk.
    """
    version = await check(database)
    for step in range(version + 1, SCHEMA_VERSION + 1):
        logger.info("the database goes from schema %d to %d", step - 1, step)
        await MIGRATIONS[step](database)
        await database["meta"].update_one(
            {"_id": "schema"}, {"$max": {"version": step}}, upsert=True
        )


async def _number_documents(database: Any) -> None:
    """1 → 2: each document says which schema it has."""
    for name in ("runs", "passengers", "offers", "events"):
        await _number_those_of(database[name])


async def _number_those_of(collection: Any) -> None:
    """In the order of `_id`, a batch at a time: no call is long, however many there are."""
    last: Any = None
    while True:
        after = {} if last is None else {"_id": {"$gt": last}}
        batch = collection.find(after, {"_id": 1}).sort("_id", 1).limit(DOCUMENTS_A_CALL)
        names = [each["_id"] async for each in batch]
        if not names:
            return
        last = names[-1]
        span = {**after.get("_id", {}), "$lte": last}
        await collection.update_many(
            {"_id": span, "schema": {"$exists": False}}, {"$set": {"schema": 2}}
        )


# Version → what makes it of the one before. What documents.py writes is of the last one.
MIGRATIONS: dict[int, Callable[[Any], Awaitable[None]]] = {2: _number_documents}
SCHEMA_VERSION = max(MIGRATIONS)
