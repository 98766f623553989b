"""The write buffer: changes merged per document, flushed to MongoDB in bulk on a timer.

It is one of the log's readers. What it holds is only what is not in MongoDB yet, a document once
however often it changed; while MongoDB is away it keeps that, and what does not fit stays in
the journal until there is room.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from trainhub.core.errors import Unavailable
from trainhub.core.journal import Record

logger = logging.getLogger("trainhub.write_buffer")

Document = dict[str, Any]

# A bulk of 1,000 is near the best rate. A slow bulk is made smaller, down to one document:
# what is written counts as written then, and is rendered as late as can be.
BULK = 1_000
LONG_SECONDS = 4.0
SHORT_SECONDS = 1.0
# From this many waiting documents on, a flush does not wait for the timer.
EARLY = 2 * BULK
# Seconds of rendering or encoding after which all else that the loop has to do comes first. Several
# collections are at it in one turn of the loop.
TURN = 0.0002
BUFFER_CAPACITY = 50_000
# Seconds between tries while MongoDB is away: from, to. Spread by chance.
BACKOFF = (0.1, 5.0)
WAIT_COMPLAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """A document that is to be written; `render` gives it as it is at the time of the write."""

    collection: str
    id: str
    render: Callable[[], Document]


class StoreAway(Exception):
    """The store did not take the documents now; it may later. One line of reason.

    `written` has the `_id` of each that is on the store's disk all the same.
    """

    def __init__(self, reason: str, written: Collection[str] = ()) -> None:
        super().__init__(reason)
        self.written = written


class Refused(StoreAway):
    """The store will never take some documents as they are; it took the others.

    `reasons` maps the `_id` of each to why.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        self.reasons = reasons


class TooNew(StoreAway):
    """The store has documents of a later form than this hub knows: it is let be.

    The message says what to do, and quotes nothing that was to be written: all may read it.
    """


class Store(Protocol):
    """Where documents are kept for good."""

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        """Upsert documents in one bulk, never an older seq over a newer one of the same epoch.

        Returns when they are on the store's disk; raises StoreAway if any may not be, and
        Refused if all are but those that it names.
        """


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A document that the store will never take, None if it could not even be made, and why."""

    change: Change
    document: Document | None
    reason: str


class DeadLetters(Protocol):
    """Where those are kept for people to look at."""

    async def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Never raises on account of what it is given, or of where it keeps them."""


@dataclass(slots=True)
class _Generation:
    """Changes of one flush, and the first and last records that they come from."""

    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class LastFlush:
    at: float
    documents: int
    seconds: float


class WriteBuffer:
    """Gathers changes from records, and writes them when `flush` is called.

    `changes` maps a record to its changes; `settled` waits until all that a document may show by
    now is in the journal, since a document is rendered later than the record that asked for it.
    What the store refuses for good goes to `dead_letters`. `reached` notes in the store up to which
    record it has all; it may raise StoreAway.
    """

    # A document that is written twice is the same document.
    ahead: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        store: Store,
        changes: Callable[[Record], Iterable[Change]],
        settled: Callable[[], Awaitable[None]],
        dead_letters: DeadLetters,
        capacity: int = BUFFER_CAPACITY,
        reached: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._reached = reached
        self._changes = changes
        self._settled = settled
        self._dead_letters = dead_letters
        self.capacity = capacity
        # Two generations: what a flush is working off, and what came since. When the first is
        # empty, all records before the second's first are in MongoDB.
        self._flushing = _Generation()
        self._gathering = _Generation()
        self._bulk = BULK
        self._busy = asyncio.Lock()
        self._flush: asyncio.Task[None] | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._complained_at = 0.0
        self._complained_of: type[StoreAway] | None = None
        self.failing: str | None = None
        # The same, in words that any reader may see.
        self.failing_told: str | None = None
        self.flushed = 0
        self.refused = 0
        # How often the log was gone through again from its start.
        self.refills = 0
        self.last_flush: LastFlush | None = None

    @property
    def depth(self) -> int:
        """Documents waiting to be written."""
        return len(self._flushing.changes) + len(self._gathering.changes)

    @property
    def full(self) -> bool:
        return self.depth >= self.capacity

    @property
    def oldest(self) -> int | None:
        first = self._flushing.first
        return self._gathering.first if first is None else first

    def take(self, records: Sequence[Record]) -> None:
        gathering = self._gathering
        if gathering.first is None:
            gathering.first = records[0].position
        gathering.last = records[-1].position
        for record in records:
            for change in self._changes(record):
                gathering.changes[change.collection, change.id] = change
        if len(gathering.changes) >= EARLY:
            self.begin_flush()

    def add(self, change: Change) -> bool:
        """Take a change that is in no log, unless much waits: those of the log come first.

        It is lost if the hub dies before the next flush.
        """
        if self.depth >= self.capacity // 2:
            return False
        self._gathering.changes[change.collection, change.id] = change
        return True

    def restart(self) -> None:
        """Count nothing as written: the reader goes through the log from its start again."""
        self.refills += 1
        for generation in (self._flushing, self._gathering):
            generation.first, generation.last = 1, None

    def complaints(self) -> list[str]:
        """Return what keeps documents from MongoDB, without the words of its driver."""
        if self.failing is None:
            return []
        why = f": {self.failing_told}" if self.failing_told else ""
        return [f"MongoDB does not take writes, {self.depth} documents wait{why}"]

    def begin_flush(self) -> None:
        """Flush, and wait for nothing; called by a timer. Does nothing while a flush is at it."""
        if self._flush is None and not self._busy.locked():
            self._flush = asyncio.get_running_loop().create_task(self._flush_quietly())

    async def _flush_quietly(self) -> None:
        try:
            await self.flush()
        except Unavailable:
            pass  # the journal has failed, and the hub is stopping
        except Exception:
            logger.exception("a flush failed, its documents wait for the next one")
        finally:
            self._flush = None

    async def flush(self) -> None:
        """Write all that is waiting; what could not be written is kept for the next call.

        Does nothing while an earlier flush is at it, or before the time for a next try.
        """
        if self._busy.locked() or time.monotonic() < self._retry_at:
            return
        await self.flush_now()

    async def flush_now(self) -> None:
        """Flush without regard to the time for a next try: the hub is stopping."""
        async with self._busy:
            start, before = time.monotonic(), self.flushed
            try:
                # What is left of an earlier flush, and what came since; not what comes meanwhile.
                for _ in range(2):
                    self._next_generation()
                    await self._write_generation()
                self._next_generation()
            except StoreAway as error:
                self._back_off(error)
            else:
                self._recovered()
            if self.flushed > before:
                took = time.monotonic() - start
                self.last_flush = LastFlush(time.time(), self.flushed - before, took)

    def _next_generation(self) -> None:
        """Take up what came since, once what was before it is written."""
        if not self._flushing.changes and self._flushing.last is None:
            self._flushing, self._gathering = self._gathering, _Generation()

    async def _write_generation(self) -> None:
        """Write each collection's changes in bulks, the oldest first, the collections in parallel.

        Raises StoreAway if any is left: it waits, with those that came after it.
        """
        collections: dict[str, list[Change]] = defaultdict(list)
        flushing = self._flushing
        for change in flushing.changes.values():
            collections[change.collection].append(change)
        writing = (self._write_collection(*each) for each in collections.items())
        outcomes = await asyncio.gather(*writing, return_exceptions=True)
        for failed in filter(None, outcomes):
            raise failed
        if flushing.last is not None and self._reached is not None:
            await self._reached(flushing.last)
        flushing.last = None

    async def _write_collection(self, collection: str, waiting: list[Change]) -> None:
        while waiting:
            bulk, waiting = waiting[: self._bulk], waiting[self._bulk :]
            documents, letters = await _render(bulk)
            await self._settled()
            start = time.monotonic()
            try:
                await self._store.write(collection, list(documents.values()))
            except Refused as error:
                letters += [
                    DeadLetter(change, documents[change.id], error.reasons[change.id])
                    for change in bulk
                    if change.id in error.reasons
                ]
            except StoreAway as error:
                self._have_written(collection, error.written)
                self._bulk = max(self._bulk // 4, 1)
                raise
            self._adapt(time.monotonic() - start)
            if letters:
                await self._give_up(collection, letters)
            self._have_written(collection, [change.id for change in bulk])
            self.flushed -= len(letters)

    def _adapt(self, seconds: float) -> None:
        if seconds > LONG_SECONDS:
            self._bulk = max(self._bulk // 2, 1)
        elif seconds < SHORT_SECONDS:
            self._bulk = min(self._bulk * 2, BULK)

    def _have_written(self, collection: str, ids: Collection[str]) -> None:
        for each in ids:
            del self._flushing.changes[collection, each]
        self.flushed += len(ids)

    async def _give_up(self, collection: str, letters: Sequence[DeadLetter]) -> None:
        """One bad document holds up no other."""
        await self._dead_letters.keep(letters)
        self.refused += len(letters)
        logger.error(
            "MongoDB refuses %d documents of %s for good: they are in dead_letters",
            len(letters),
            collection,
        )

    def _back_off(self, error: StoreAway) -> None:
        self.failing = str(error)
        self.failing_told = self.failing if isinstance(error, TooNew) else None
        first, most = BACKOFF
        wait = min(first * 2**self._failures, most)
        self._failures = min(self._failures + 1, 10)
        now = time.monotonic()
        self._retry_at = now + wait * random.uniform(0.5, 1.0)
        another = type(error) is not self._complained_of
        if another or now - self._complained_at >= WAIT_COMPLAIN_SECONDS:
            self._complained_at, self._complained_of = now, type(error)
            logger.warning("MongoDB does not take writes, %d documents wait: %s", self.depth, error)

    def _recovered(self) -> None:
        if self.failing is not None:
            logger.warning("MongoDB takes writes again")
        self.failing = self.failing_told = None
        self._failures = 0
        self._retry_at = 0.0
        self._complained_of = None


async def _render(bulk: Iterable[Change]) -> tuple[dict[str, Document], list[DeadLetter]]:
    """The documents by their ids, and a letter for each that could not be made."""
    documents, letters, turn = {}, [], time.monotonic()
    for change in bulk:
        if time.monotonic() - turn > TURN:
            await asyncio.sleep(0)
            turn = time.monotonic()
        try:
            documents[change.id] = change.render()
        except Exception as error:
            logger.exception("a document of %s cannot be made", change.collection)
            letters.append(DeadLetter(change, None, type(error).__name__))
    return documents, letters
