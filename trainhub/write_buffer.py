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
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Protocol

from trainhub.journal import Record

log = logging.getLogger("trainhub.write_buffer")

Document = dict[str, Any]

# A bulk of 1,000 is near the best rate, and encoding it holds the loop for some 2 ms.
BULK = 1_000
CAPACITY = 50_000
# Seconds between tries while MongoDB is away: from, to. Spread by chance.
BACKOFF = (0.1, 5.0)
COMPLAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """A document that is to be written; `render` gives it as it is at the time of the write."""

    collection: str
    id: str
    render: Callable[[], Document]


class StoreAway(Exception):
    """The store did not take the documents now; it may later. One line of reason."""


class Refused(StoreAway):
    """The store will never take some documents as they are; it took the others.

    `reasons` maps the `_id` of each to why.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        self.reasons = reasons


class Store(Protocol):
    """Where documents are kept for good."""

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        """Upsert documents in one bulk, never an older seq over a newer one of the same epoch.

        Returns when they are on the store's disk; raises StoreAway if any may not be, and
        Refused if all are but those that it names.
        """


@dataclass(frozen=True, slots=True)
class LastFlush:
    at: float
    documents: int
    seconds: float


class WriteBuffer:
    """Gathers changes from records, and writes them when `flush` is called.

    `changes` maps a record to its changes; `settled` waits until all that a document may show by
    now is in the journal, since a document is rendered later than the record that asked for it.
    """

    # A document that is written twice is the same document.
    ahead: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        store: Store,
        changes: Callable[[Record], Iterable[Change]],
        settled: Callable[[], Awaitable[None]],
        capacity: int = CAPACITY,
    ) -> None:
        self._store = store
        self._changes = changes
        self._settled = settled
        self.capacity = capacity
        # Two generations: what a flush is working off, and what came since. When the first is
        # empty, all records before the second's first are in MongoDB.
        self._flushing: dict[tuple[str, str], Change] = {}
        self._gathering: dict[tuple[str, str], Change] = {}
        self._flushing_from: int | None = None
        self._gathering_from: int | None = None
        self._busy = asyncio.Lock()
        self._failures = 0
        self._retry_at = 0.0
        self._complained_at = -COMPLAIN_SECONDS
        self.failing: str | None = None
        self.flushed = 0
        self.refused = 0
        self.last_flush: LastFlush | None = None

    @property
    def depth(self) -> int:
        """Documents waiting to be written."""
        return len(self._flushing) + len(self._gathering)

    @property
    def full(self) -> bool:
        return self.depth >= self.capacity

    @property
    def oldest(self) -> int | None:
        return self._gathering_from if self._flushing_from is None else self._flushing_from

    def take(self, records: Sequence[Record]) -> None:
        if self._gathering_from is None:
            self._gathering_from = records[0].position
        for record in records:
            for change in self._changes(record):
                self._gathering[change.collection, change.id] = change

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
                    while self._flushing:
                        await self._write_bulk()
                self._next_generation()
            except StoreAway as error:
                self._back_off(str(error))
            else:
                self._recovered()
            if self.flushed > before:
                took = time.monotonic() - start
                self.last_flush = LastFlush(time.time(), self.flushed - before, took)

    def _next_generation(self) -> None:
        """Take up what came since, once what was before it is written."""
        if not self._flushing:
            self._flushing, self._gathering = self._gathering, {}
            self._flushing_from, self._gathering_from = self._gathering_from, None

    async def _write_bulk(self) -> None:
        """One bulk for each collection that the next changes name."""
        batch = list(islice(self._flushing.items(), BULK))
        documents: dict[str, list[Document]] = defaultdict(list)
        for (collection, _), change in batch:
            documents[collection].append(change.render())
        await self._settled()
        for collection, those in documents.items():
            try:
                await self._store.write(collection, those)
            except Refused as error:
                self._give_up(collection, error)
        for key, _ in batch:
            del self._flushing[key]
        self.flushed += len(batch)

    def _give_up(self, collection: str, error: Refused) -> None:
        """One bad document holds up no other; the journal still has what it was made from."""
        self.refused += len(error.reasons)
        log.error(
            "MongoDB refuses %d documents of %s for good: they are left out",
            len(error.reasons),
            collection,
        )

    def _back_off(self, reason: str) -> None:
        self.failing = reason
        first, most = BACKOFF
        wait = min(first * 2**self._failures, most)
        self._failures = min(self._failures + 1, 10)
        now = time.monotonic()
        self._retry_at = now + wait * random.uniform(0.5, 1.0)
        if now - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = now
            log.warning("MongoDB does not take writes, %d documents wait: %s", self.depth, reason)

    def _recovered(self) -> None:
        if self.failing is not None:
            log.warning("MongoDB takes writes again")
        self.failing = None
        self._failures = 0
        self._retry_at = 0.0
        self._complained_at = -COMPLAIN_SECONDS
