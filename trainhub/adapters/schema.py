"""The schema of the documents in MongoDB, by version, and the steps from one version to the next.

Each document has its version in `schema`; documents of version 1 have no such field. The database
has its version in collection `meta`, as {_id: "schema", version}.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from trainhub.core.write_buffer import TooNew

logger = logging.getLogger("trainhub.schema")

# Documents that are changed in one call, so that the call ends well within its time limit.
DOCUMENTS_A_CALL = 2_000
# The collections whose documents have a version.
_NAMES = ("runs", "passengers", "offers", "events")


async def check(database: Any) -> int:
    """Return the database's version. Raises TooNew if this hub does not know it."""
    found = await database["meta"].find_one({"_id": "schema"})
    version = 1 if found is None else found["version"]
    if type(version) is not int or version > SCHEMA_VERSION:
        raise TooNew(
            f"the database {database.name} has documents of schema {version!r:.20}, and this hub "
            f"knows up to {SCHEMA_VERSION}: run a newer trainhub, or name another with --database"
        )
    return version


async def migrate(database: Any) -> None:
    """Bring the database to SCHEMA_VERSION, step by step. Raises TooNew.

    The version of a step is written when all of the step is on disk. A step that was interrupted
    begins again, so each step must be safe to repeat.
    """
    version = await check(database)
    for step in range(version + 1, SCHEMA_VERSION + 1):
        logger.info("the database goes from schema %d to %d", step - 1, step)
        await MIGRATIONS[step](database)
        await database["meta"].update_one(
            {"_id": "schema"}, {"$max": {"version": step}}, upsert=True
        )


async def _number_documents(database: Any) -> None:
    """Migrate from 1 to 2: each document gets its version."""
    for name in _NAMES:
        await _update(database[name], {"schema": {"$exists": False}}, {"schema": 2})


async def _add_marks(database: Any) -> None:
    """Migrate from 2 to 3: each passenger gets the fields of marks, and `need`."""
    marks = {"markedAt": None, "assumed": False, "left": None, "need": None}
    for name in _NAMES:
        fields = marks if name == "passengers" else {}
        await _update(database[name], {"schema": 2}, {**fields, "schema": 3})


async def _update(collection: Any, old: dict[str, Any], fields: dict[str, Any]) -> None:
    """Set fields of a collection's `old` documents, in batches, so that no call takes long."""
    last: Any = None
    while True:
        after = {} if last is None else {"_id": {"$gt": last}}
        batch = collection.find(after, {"_id": 1}).sort("_id", 1).limit(DOCUMENTS_A_CALL)
        names = [each["_id"] async for each in batch]
        if not names:
            return
        last = names[-1]
        span = {**after.get("_id", {}), "$lte": last}
        await collection.update_many({"_id": span, **old}, {"$set": fields})


# Version → the step that makes it of the version before. documents.py writes the last version.
MIGRATIONS: dict[int, Callable[[Any], Awaitable[None]]] = {2: _number_documents, 3: _add_marks}
SCHEMA_VERSION = max(MIGRATIONS)
