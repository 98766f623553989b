"""The write buffer: changes merged per document, flushed to MongoDB in bulk on a timer.

It is a consumer of the log. It holds only the documents that are not in MongoDB yet, each once
even if it changed often. While MongoDB is away the buffer keeps them, and the records that do not
fit stay in the journal until there is room.
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

# Documents in one write. Slow writes shrink the bulk, down to one document: then each write that
# succeeds counts, and documents are rendered late.
BULK = 1_000
# Seconds from which a write is slow, and the bulk is halved.
LONG_SECONDS = 4.0
# Seconds below which a write is fast, and the bulk is doubled.
SHORT_SECONDS = 1.0
# Waiting documents that start a flush before the timer does.
EARLY = 2 * BULK
# Seconds of rendering or encoding after which other work of the loop comes first. Several
# collections may do so in one turn of the loop.
TURN = 0.0002
# Waiting documents.
BUFFER_CAPACITY = 50_000
# Seconds between attempts while MongoDB is away, first and longest, with jitter.
BACKOFF = (0.1, 5.0)
# Seconds between two log lines while MongoDB is away.
WAIT_COMPLAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """A document to write. `render` makes it at the time of the write."""

    collection: str
    id: str
    render: Callable[[], Document]


class StoreAway(Exception):
    """The store did not write all documents now. It may do so later. The message is one line.

    `written` has the `_id` of each document that is on the store's disk nevertheless.
    """

    def __init__(self, reason: str, written: Collection[str] = ()) -> None:
        super().__init__(reason)
        self.written = written


class Refused(StoreAway):
    """The store rejected some documents for good, and wrote the others.

    `reasons` maps the `_id` of each rejected document to the reason.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        self.reasons = reasons


class TooNew(StoreAway):
    """The store has documents of a newer version than this hub knows, so the hub writes nothing.

    The message says what to do. It is public, so it quotes no document.
    """


class Store(Protocol):
    """The permanent store of documents."""

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        """Upsert documents in one bulk. Never replace a newer seq of an epoch by an older one.

        Returns when the documents are on the store's disk. Raises StoreAway if one may not be, and
        Refused if all are except those that it names.
        """


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected document with the reason. `document` is None if rendering failed."""

    change: Change
    document: Document | None
    reason: str


class DeadLetters(Protocol):
    """The store of dead letters, for operators."""

    async def store(self, letters: Sequence[DeadLetter]) -> None:
        """Store letters. Never raises because of a letter or of a failed write."""


@dataclass(slots=True)
class _Generation:
    """The changes of one flush, and the positions of their first and last records."""

    changes: dict[tuple[str, str], Change] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class LastFlush:
    at: float
    documents: int
    seconds: float


class WriteBuffer:
    """Gather changes from records, and write them when `flush` is called.

    `changes` maps a record to its changes. A document is rendered later than its record was made,
    so `settled` waits until all events that the document may show are durable. Documents that the
    store rejects for good go to `dead_letters`. `reached` stores the position up to which the store
    has all records; it may raise StoreAway.
    """

    # Empty: writing a document twice does no harm.
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
        # Two generations: the changes that a flush is writing, and those made since. If the first
        # is empty, all records before the second's first record are in MongoDB.
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
        # The same text if it is public, else None.
        self.failing_told: str | None = None
        self.flushed = 0
        self.refused = 0
        # How often the reader went back to the log's start.
        self.refills = 0
        self.last_flush: LastFlush | None = None

    @property
    def depth(self) -> int:
        """Return the number of documents that wait to be written."""
        return len(self._flushing.changes) + len(self._gathering.changes)

    @property
    def full(self) -> bool:
        return self.depth >= self.capacity

    @property
    def oldest(self) -> int | None:
        first = self._flushing.first
        return self._gathering.first if first is None else first

    def accept(self, records: Sequence[Record]) -> None:
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
        """Add a change that is not in the log. Return False if half the capacity is used.

        The change is lost if the hub dies before the next flush.
        """
        if self.depth >= self.capacity // 2:
            return False
        self._gathering.changes[change.collection, change.id] = change
        return True

    def restart(self) -> None:
        """Count no record as written: the reader starts again at the log's start."""
        self.refills += 1
        for generation in (self._flushing, self._gathering):
            generation.first, generation.last = 1, None

    def complaints(self) -> list[str]:
        """Return a sentence if MongoDB does not accept writes. It never quotes the driver."""
        if self.failing is None:
            return []
        why = f": {self.failing_told}" if self.failing_told else ""
        return [f"MongoDB does not take writes, {self.depth} documents wait{why}"]

    def begin_flush(self) -> None:
        """Start a flush, unless one is running. A timer calls this. Never waits."""
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
        """Write all waiting documents. Those that fail wait for the next call.

        Does nothing while another flush is running, or before the time of the next attempt.
        """
        if self._busy.locked() or time.monotonic() < self._retry_at:
            return
        await self.flush_now()

    async def flush_now(self) -> None:
        """Flush even before the time of the next attempt, because the hub is stopping."""
        async with self._busy:
            start, before = time.monotonic(), self.flushed
            try:
                # First the rest of an earlier flush, then the changes since, but no later ones.
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
        """Start on the gathered changes if the previous generation is written."""
        if not self._flushing.changes and self._flushing.last is None:
            self._flushing, self._gathering = self._gathering, _Generation()

    async def _write_generation(self) -> None:
        """Write each collection's changes in bulks, oldest first. Collections run concurrently.

        Raises StoreAway if any change is left.
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
        """Store dead letters, so that a bad document does not delay others."""
        await self._dead_letters.store(letters)
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
    """Return the documents by id, and a letter for each document that could not be rendered."""
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
