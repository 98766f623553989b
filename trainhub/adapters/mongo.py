"""MongoDB through motor: bulk writes, indexes, and the runs of an earlier log.

Only this file imports motor, so that PyMongo's own async client can replace it.
"""

import asyncio
import logging
import re
import time
import warnings
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import bson
import pymongo
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.write_concern import WriteConcern

from trainhub.adapters import schema
from trainhub.adapters.pace import Pace
from trainhub.core.codec import load
from trainhub.core.cost import LONG_WORK, PAUSE, in_slices, paid
from trainhub.core.errors import HubError
from trainhub.core.journal import Vocabulary
from trainhub.core.lineage import NUMBERED
from trainhub.core.stream import Stream
from trainhub.core.write_buffer import TURN, Document, Refused, StoreAway

logger = logging.getLogger("trainhub.mongo")

# Milliseconds of every call without a limit of its own: a frozen server would hold it for ever.
# Writes of documents have their own limits (pace.py).
TIMEOUT_MS = 3_000
# Seconds of a call that reads or that writes one small document.
ANSWER_SECONDS = 2.0
# Bytes of such a call, for its time on a slow line.
SMALL_BYTES = 1_000
# Seconds for an index on a large collection.
INDEX_SECONDS = 10.0
# Seconds for the end of the driver's sessions.
MONGO_CLOSE_SECONDS = 0.5
# Codes of errors that the document itself causes. After other errors in a bulk (of the connection,
# an election or a lock) the document may be written later.
FOR_GOOD = frozenset({2, 9, 15, 40, 52, 57, 121, 10334, 17280})
# Codes with which one document makes a whole call fail: too large, too deep. Other codes may mean
# that the server refuses the call itself.
WHOLE_FOR_GOOD = frozenset({15, 10334, 17280})
DUPLICATE_KEY = 11000
UNAUTHORIZED = 13
CONCERN = WriteConcern(w="majority", j=True)
MOST_DOCUMENT_BYTES = 16 * 1024 * 1024

# For stores that read no events.
_SILENT = Vocabulary({}, object)


class BadUri(ValueError):
    """The MongoDB URI cannot be used. The message shows a valid one."""


class Operation(NamedTuple):
    """A document's write, encoded once for the wire."""

    document: Document
    bson: bytes


class MongoStore:
    """A write_buffer.Store on one database. Also reads the runs of an earlier log."""

    def __init__(
        self,
        uri: str,
        database: str,
        indexes: Mapping[str, Sequence[Sequence[str]]],
        lasting: Collection[str] = (),
        unique: Collection[str] = (),
        vocabulary: Vocabulary = _SILENT,
    ) -> None:
        """Connect to a database. Raises BadUri.

        `indexes` maps a collection to the keys of each index, made before the first write.
        `lasting` names the collections whose documents never change. These documents are inserted,
        which costs the server a quarter of an update. `unique` names those of them in which equal
        ids mean equal documents, so that a document which is there already is never updated.
        """
        self._indexes = indexes
        self._lasting = lasting
        self._unique = unique
        self._vocabulary = vocabulary
        self._met = False
        self._meeting = asyncio.Lock()
        self._pace = Pace()
        self._line = asyncio.Lock()  # held by a write while the line is slow
        self._uri, self._name = uri, database
        try:
            _check_encoded(uri)
            with warnings.catch_warnings():  # the driver's warnings quote the URI's options
                warnings.simplefilter("ignore")
                self._connect()
        except (InvalidURI, ConfigurationError, ValueError, OSError, PyMongoError) as error:
            # The driver's error text may quote the URI and its password.
            kind = type(error).__name__
            raise BadUri(
                f"the MongoDB URI or database name cannot be used ({kind}): "
                "a URI looks like mongodb://host:27017, and / ? # @ within a password are written "
                "as %2F %3F %23 %40"
            ) from None

    def _connect(self) -> None:
        self._client: Any = AsyncIOMotorClient(self._uri, timeoutMS=TIMEOUT_MS, tz_aware=True)
        self._database = self._client.get_database(self._name, write_concern=CONCERN)

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        """Write documents as write_buffer.Store says. Also raises TooNew, before any write."""
        inserts = collection in self._lasting
        operations, reasons = await _encode(documents, inserts)
        done = 0

        def written() -> list[str]:
            names = (each.document["_id"] for each in operations[:done])
            return [name for name in names if name not in reasons]

        try:
            await self._meet()
            while done < len(operations):
                # On a slow line parallel writes would only slow each other down.
                async with self._line if self._pace.is_slow else nullcontext():
                    bulk = _bulk(operations, done, self._pace.bulk_bytes)
                    reasons |= await self._write(collection, bulk, inserts)
                done += len(bulk)
        except StoreAway as error:
            error.written = written()
            raise
        except PyMongoError as error:
            raise self.failed(error, written()) from error
        if reasons:
            raise Refused(reasons)

    def failed(self, error: PyMongoError, written: Collection[str] = ()) -> StoreAway:
        """Return the error to raise for a failed call. The next write checks the schema again."""
        self._met = False
        if isinstance(error, OperationFailure) and error.code == UNAUTHORIZED:
            # The user may have been dropped and made again. The driver would keep its connections,
            # which the server does not accept for the new user.
            self.close()
            self._connect()
        return StoreAway(_reason(error), written)

    def look_round(self) -> None:
        """Let the next write check the schema and the indexes first."""
        self._met = False

    @property
    def patience(self) -> float:
        """Return the seconds that a small call may take; more on a slow line."""
        return self._pace.seconds(SMALL_BYTES) if self._pace.is_slow else ANSWER_SECONDS

    @property
    def database(self) -> Any:
        """Return the database of the present connection."""
        return self._database

    async def _write(
        self, collection: str, bulk: Sequence[Operation], inserts: bool
    ) -> dict[str, str]:
        """Write a bulk. Return a reason for each document that MongoDB refuses for good.

        Uses the server's own commands: the driver's bulk_write would decode and encode each
        operation again, at three times the cost and on the loop.
        """
        command = {
            ("insert" if inserts else "update"): collection,
            "ordered": False,
            "writeConcern": CONCERN.document,
            ("documents" if inserts else "updates"): [RawBSONDocument(each.bson) for each in bulk],
        }
        try:
            reply = await self._send(command, sum(len(each.bson) for each in bulk))
        except (bson.errors.BSONError, OperationFailure) as error:
            if isinstance(error, OperationFailure) and error.code not in WHOLE_FOR_GOOD:
                raise
            if len(bulk) == 1:
                code = getattr(error, "code", None)
                why = f"error {code}" if code else type(error).__name__
                return {bulk[0].document["_id"]: why}
            # One document made the whole call fail: write the halves to find it.
            half = len(bulk) // 2
            found = await self._write(collection, bulk[:half], inserts)
            return found | await self._write(collection, bulk[half:], inserts)
        reasons, there = _taken_apart(reply, bulk, inserts)
        if there and collection not in self._unique:
            updates, _ = await _encode(there, inserts=False)
            reasons |= await self._write(collection, updates, inserts=False)
        return reasons

    async def _send(self, command: dict[str, Any], size: int) -> Any:
        """Send a write within the time that the line needs. If the line fails, lower the rate."""
        rate, start = self._pace.rate, time.monotonic()
        try:
            with pymongo.timeout(self._pace.seconds(size)):
                reply = await self._database.command(command)
        except PyMongoError as error:
            if _is_the_lines(error):
                self._pace.failed(rate)
            raise
        self._pace.succeeded(size, time.monotonic() - start)
        return reply

    async def _meet(self) -> None:
        """Check the schema and make the indexes, again after each failure. Raises TooNew."""
        async with self._meeting:
            if self._met:
                return
            with pymongo.timeout(ANSWER_SECONDS):
                await schema.check(self._database)
            await schema.migrate(self._database)
            for collection, those in self._indexes.items():
                for keys in those:
                    await self._create_index(collection, keys)
            self._met = True

    async def _create_index(self, collection: str, keys: Sequence[str]) -> None:
        try:
            with pymongo.timeout(INDEX_SECONDS):
                await self._database[collection].create_index([(key, 1) for key in keys])
        except OperationFailure as error:  # reads work without the index, but slower
            logger.warning("no index on %s %s: %s", collection, keys, _reason(error))

    async def runs(self, wanted: Mapping[str, Any]) -> AsyncIterator[tuple[Stream, list[Any]]]:
        """Yield each run that a filter matches, with its events from the first up to a gap.

        Events that a hub had not written before it lost its data folder are missing. Raises
        StoreAway.
        """
        try:
            await self._meet()
            async for run in self._database["runs"].find(wanted, {"epoch": 1, "seq": 1}):
                events = await self._events(run["_id"], run["epoch"])
                if len(events) < run["seq"]:
                    logger.error(
                        "%s comes back as of event %d, though it was at %d: the events between "
                        "are not in MongoDB",
                        run["_id"],
                        len(events),
                        run["seq"],
                    )
                if events:
                    yield Stream(run["_id"]), events
        except PyMongoError as error:
            raise StoreAway(_reason(error)) from error

    async def adopt_events(self, run: Stream, past: Collection[str], epoch: str, below: int) -> int:
        """Move a run's events below a seq from the epochs `past` to `epoch`.

        Returns how many of them are missing. Seq 1 is left out: a journal always has it. Raises
        StoreAway.
        """
        seqs = {"$gt": 1, "$lt": below}
        events = self._database["events"]
        try:
            await events.update_many(
                {"run": run, "seq": seqs, "epoch": {"$in": [*past]}}, {"$set": {"epoch": epoch}}
            )
            there = await events.count_documents({"run": run, "seq": seqs, "epoch": epoch})
        except PyMongoError as error:
            raise self.failed(error) from error
        return max(0, below - 2 - int(there))

    async def events(self, run: Stream, epoch: str, after: int, most: int) -> list[Any]:
        """Read events that clients have missed, as audit.HubArchive says. Raises StoreAway."""
        try:
            with pymongo.timeout(ANSWER_SECONDS):
                return await paid(self._events(run, epoch, after, most))
        except PyMongoError as error:
            raise StoreAway(_reason(error)) from error

    async def _events(self, run: str, epoch: str, after: int = 0, most: int = 0) -> list[Any]:
        """Return the events after seq `after`, up to a gap and at most `most`; 0 means all."""
        query = {"run": run, "epoch": epoch, "seq": {"$gt": after}}
        cursor = self._database["events"].find(query).sort("seq", 1).limit(most)
        documents = await cursor.to_list(most or None)
        events: list[Any] = []
        async with LONG_WORK.turn():
            async for document in in_slices(documents, PAUSE if most else 0):
                if document["seq"] != after + len(events) + 1:
                    break
                try:
                    events.append(load(self._vocabulary.events[document["type"]], document["data"]))
                except (KeyError, HubError) as error:
                    logger.error(
                        "%s cannot be read, the run ends before it: %s", document["_id"], error
                    )
                    break
        return events

    async def entries(
        self,
        trains: frozenset[str] | None,
        run: str | None,
        user: str | None,
        before: str | None,
        limit: int,
    ) -> list[Document]:
        """Read the audit trail, as audit.HubArchive says. Raises StoreAway."""
        asked: list[dict[str, Any]] = []
        if trains is not None:
            if not trains:
                return []
            asked.append({"$or": [{"run": _runs_of(name)} for name in trains]})
        for name, value in (("run", run), ("user", user)):
            if value is not None:
                asked.append({name: {"$eq": value}})
        if before is not None:
            asked.append({"_id": {"$lt": before}})
        query = {"$and": asked} if asked else {}
        try:
            with pymongo.timeout(ANSWER_SECONDS):
                found = self._database["audit"].find(query).sort("_id", -1).limit(limit)
                return [document async for document in found]
        except PyMongoError as error:
            logger.warning("the audit trail cannot be read: %s", _reason(error))
            raise StoreAway(_reason(error)) from error

    async def letters(
        self, run: str, about: str | None, user: str | None, most: int
    ) -> list[Document]:
        """An audit.HubArchive. Raises StoreAway."""
        query: dict[str, Any] = {"run": {"$eq": run}}
        if about is not None:
            to_all = {"about": {"$eq": None}, "user": {"$eq": user}}
            query["$or"] = [{"about": {"$eq": about}}, to_all]
        try:
            with pymongo.timeout(ANSWER_SECONDS):
                found = self._database["notifications"].find(query).sort("at", -1).limit(most)
                return [document async for document in found]
        except PyMongoError as error:
            logger.warning("the letters cannot be read: %s", _reason(error))
            raise StoreAway(_reason(error)) from error

    def close(self) -> None:
        # Without a limit the driver would look for an absent server, to end its sessions there.
        with pymongo.timeout(MONGO_CLOSE_SECONDS):
            self._client.close()


async def _encode(
    documents: Sequence[Document], inserts: bool
) -> tuple[list[Operation], dict[str, str]]:
    """Return the operations, and a reason for each document that BSON cannot hold.

    The driver would refuse a whole bulk because of one such document.
    """
    operations, reasons, turn = [], {}, 0.0
    for document in documents:
        if time.monotonic() - turn > TURN:
            await asyncio.sleep(0)
            turn = time.monotonic()
        try:
            encoded = bson.encode(document if inserts else _update(document))
        except (bson.errors.BSONError, OverflowError, UnicodeError, RecursionError) as error:
            reasons[document["_id"]] = type(error).__name__
            continue
        if len(encoded) > MOST_DOCUMENT_BYTES and (size := len(bson.encode(document))) > (
            MOST_DOCUMENT_BYTES
        ):
            reasons[document["_id"]] = f"it has {size} bytes"
        else:
            operations.append(Operation(document, encoded))
    return operations, reasons


def _update(document: Document) -> dict[str, Any]:
    """Return an update that replaces what is stored, unless that is newer or as new.

    The stored document is newer if its epoch is later, or if its epoch is the same and its seq is
    not lower. Epochs without a number cannot be compared: then the writing epoch wins. A pipeline
    lets the server find the document by `_id` alone, which is faster than a filter with the guard.
    """
    same_log = {"$eq": ["$epoch", {"$literal": document["epoch"]}]}
    as_new = {"$gte": ["$seq", {"$literal": document["seq"]}]}
    after = max(document["epoch"], NUMBERED)
    later_log = {"$gt": ["$epoch", {"$literal": after}]}
    newer = {
        "$cond": [
            {"$or": [later_log, {"$and": [same_log, as_new]}]},
            "$$ROOT",
            {"$literal": document},
        ]
    }
    return {"q": {"_id": document["_id"]}, "u": [{"$replaceWith": newer}], "upsert": True}


def _bulk(operations: Sequence[Operation], start: int, most_bytes: int) -> Sequence[Operation]:
    """Return the operations from `start` on that fit into one bulk, at least one."""
    size = 0
    for place in range(start, len(operations)):
        size += len(operations[place].bson)
        if size > most_bytes and place > start:
            return operations[start:place]
    return operations[start:]


def _check_encoded(uri: str) -> None:
    """Raise InvalidURI if a password seems to go on where the driver would see a port and a path:
    it would name the user as a server that is away.
    """
    rest = re.split("[/?#]", uri.partition("://")[2], maxsplit=1)[1:]
    if "@" in "".join(rest):
        raise InvalidURI("an @ behind the servers")


def _runs_of(name: str) -> dict[str, str]:
    """Return a condition for the runs that a train number or a run in a token means."""
    # After the number comes "-" with a part, or "/": both are before "0".
    return {"$eq": name} if "/" in name else {"$gte": f"{name}-", "$lt": f"{name}0"}


def _taken_apart(
    reply: Mapping[str, Any], bulk: Sequence[Operation], inserts: bool
) -> tuple[dict[str, str], list[Document]]:
    """Return a reason for each document refused for good, and the documents already there.

    Documents already there may be older or of another log, so they are to be updated. Raises
    StoreAway if any other document may be written later.
    """
    concern = reply.get("writeConcernError")
    later = set() if concern is None else {str(concern.get("code"))}
    reasons, there = {}, []
    for failed in reply.get("writeErrors", ()):
        code, document = failed["code"], bulk[failed["index"]].document
        if code == DUPLICATE_KEY and _same_id(failed):
            if inserts:
                there.append(document)
            else:  # two calls inserted it at the same moment, and this may be the newer one
                later.add(str(code))
        elif code == DUPLICATE_KEY or code in FOR_GOOD:
            reasons[document["_id"]] = f"error {code}"
        else:
            later.add(str(code))
    if later:
        raise StoreAway(f"errors {', '.join(sorted(later))} of a bulk write")
    return reasons, there


def _is_the_lines(error: PyMongoError) -> bool:
    """Return whether a write was too slow or was cut off. False if the server was away before."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    return isinstance(error, ConnectionFailure) or error.timeout


def _same_id(failed: Mapping[str, Any]) -> bool:
    return list(failed.get("keyPattern", ())) == ["_id"]


def _reason(error: PyMongoError) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:200]}"
