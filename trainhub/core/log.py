"""The log: group commit into the journal, and the readers that follow the log.

Nothing is told, sent, stored or answered before `Log` has its events on disk. Each `Reader` then
gets every record in order: from the commit while it keeps up, otherwise from the journal.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainhub.core.audience import DomainEvent
from trainhub.core.errors import Unavailable
from trainhub.core.journal import (
    Commit,
    Deed,
    Journal,
    JournalFailed,
    ReaderPlace,
    Record,
    StoredAnswer,
)
from trainhub.core.stream import Stream

logger = logging.getLogger("trainhub.log")

# Records that a late reader gets from the journal at once. One chart's record may make thousands of
# changes, and the loop is blocked meanwhile.
CATCH_UP = 50
# Bytes of the log.
LIMIT = 4 << 30
# The fraction of the limit at which the hub complains.
WARN_AT = 0.5


@dataclass(slots=True)
class _Entry:
    batch: Commit
    then: Callable[[], None] | None
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Log:
    """Group commit: while one commit is in flight, entries gather for the next commit.

    `on_commit` gets the records that one commit made durable, in order, and the position before
    them. `on_failure` is called at most once. At `limit` bytes `check_room` raises until the log is
    trimmed.
    """

    def __init__(
        self,
        journal: Journal,
        on_commit: Callable[[list[Record], int], None],
        on_failure: Callable[[BaseException], None],
        limit: int = LIMIT,
    ) -> None:
        self._journal = journal
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._waiting: list[_Entry] = []
        self._writer: asyncio.Task[None] | None = None
        self.last = self._delivered = journal.head
        # Why the log rejects entries, in words for clients. None while the log works.
        self._failed: str | None = None
        self._warned = False
        self.limit = limit
        self.last_commit_seconds = 0.0

    @property
    def size(self) -> int:
        """Return the bytes of the log on disk."""
        return self._journal.size

    @property
    def filling(self) -> bool:
        """True if the size has reached WARN_AT of the limit."""
        return self.size >= self.limit * WARN_AT

    @property
    def full(self) -> bool:
        return self.size >= self.limit

    def complaints(self) -> list[str]:
        """Return a sentence if the journal is near its limit."""
        if not self.filling:
            return []
        size, limit = self.size >> 20, self.limit >> 20
        return [f"the journal has {size} of {limit} MB, at which commands are refused"]

    def check(self) -> None:
        """Raise Unavailable if the log has failed: the hub must not decide commands any more."""
        if self._failed is not None:
            raise Unavailable(self._failed)

    def check_room(self) -> None:
        """Raise Unavailable if the log is full. Reads still work."""
        if self.full:
            raise Unavailable(
                "the hub's journal has reached its limit, as MongoDB or the mail has been away for "
                "long: nothing was changed, try again when it is back"
            )

    def append(
        self,
        stream: Stream | None = None,
        seq: int = 0,
        events: Iterable[DomainEvent] = (),
        answer: StoredAnswer | None = None,
        then: Callable[[], None] | None = None,
        deed: Deed | None = None,
        gone: Iterable[tuple[str, str]] = (),
    ) -> "asyncio.Future[None]":
        """Queue events and an answer for the next commit. `seq` numbers the first event.

        `deed` belongs to the first event. The future is done when this entry and all earlier ones
        are durable and delivered to the readers. `then` is called after the delivery of these
        events and before that of any later event. `gone` has the user and key of each answer that
        was dropped for this one.
        """
        self.check()
        batch = Commit(answers=[] if answer is None else [answer], gone=list(gone))
        for number, event in enumerate(events, start=seq):
            self.last += 1
            assert stream is not None
            batch.records.append(Record(self.last, stream, number, event, deed))
            deed = None
        return self._put(_Entry(batch, then))

    def commit(self, batch: Commit) -> "asyncio.Future[None]":
        """Queue a batch without records for the next commit: snapshots, places, retired runs."""
        assert not batch.records
        self.check()
        return self._put(_Entry(batch, None))

    def _put(self, entry: _Entry) -> "asyncio.Future[None]":
        if not entry.batch and self._writer is None:
            self._settle([entry])
        else:
            self._waiting.append(entry)
            if self._writer is None:
                self._writer = asyncio.get_running_loop().create_task(self._write())
        return entry.done

    async def _write(self) -> None:
        try:
            while self._waiting:
                entries, self._waiting = self._waiting, []
                try:
                    await self._commit(entries)
                except Exception as error:
                    _refuse(entries, _NOT_KNOWN)
                    self.fail(error)
                    return
                self._settle(entries)
        finally:
            self._writer = None

    async def _commit(self, entries: list[_Entry]) -> None:
        batch = Commit()
        for entry in entries:
            batch.merge(entry.batch)
        if not batch:
            return
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self._journal.commit(batch)
        self.last_commit_seconds = loop.time() - start
        self._watch_size()

    def _watch_size(self) -> None:
        if self.filling and not self._warned:
            logger.warning(
                "the journal has %d of %d MB, as MongoDB or the mail does not keep up: "
                "at the limit commands are refused",
                self.size >> 20,
                self.limit >> 20,
            )
        self._warned = self.filling

    def _settle(self, entries: list[_Entry]) -> None:
        """Deliver durable entries in order. An entry succeeds even if its delivery fails.

        If `then` raises, only its own entry fails. `on_commit` handles the errors of its parts. If
        it raises nevertheless, the hub's state is unknown and the hub stops.
        """
        told: list[Record] = []
        for entry in entries:
            told += entry.batch.records
            if entry.then is not None:
                self._tell(told)
                told = []
                try:
                    entry.then()
                except Exception as error:
                    logger.exception("the call after a commit failed, and so does its command")
                    _settle_with(entry, error)
        self._tell(told)
        for entry in entries:
            if not entry.done.done():  # the caller may have cancelled it
                entry.done.set_result(None)

    def _tell(self, records: list[Record]) -> None:
        if not records:
            return
        after, self._delivered = self._delivered, records[-1].position
        try:
            self._on_commit(records, after)
        except Exception as error:
            logger.exception("committed records could not be delivered")
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Reject all entries from now on, and call `on_failure` once. `error` is the cause."""
        _refuse(self._waiting, _DID_NOT_HAPPEN)
        self._waiting = []
        if self._failed is None:
            self._failed = _NO_JOURNAL if isinstance(error, JournalFailed) else _NO_HUB
            self._on_failure(error)


_NO_JOURNAL = "the hub cannot write its journal and is stopping: try another hub"
_NO_HUB = "the hub has met an error of its own and is stopping: try another hub"
# The failed commit may be on disk nevertheless, and then the next start finds it.
_NOT_KNOWN = (
    "the hub's journal failed while it was writing this: whether it happened is not known; ask "
    "again under the same idempotency key once the hub is back"
)
_DID_NOT_HAPPEN = "the hub is stopping after a failure: the command did not happen"


def _refuse(entries: Iterable[_Entry], message: str) -> None:
    for entry in entries:
        _settle_with(entry, Unavailable(message))


def _settle_with(entry: _Entry, error: Exception) -> None:
    if not entry.done.done():
        entry.done.set_exception(error)
        entry.done.exception()  # read here: without a waiting caller asyncio would log it


class Consumer(Protocol):
    """The part behind a reader: it accepts records and processes them in its own time."""

    @property
    def full(self) -> bool:
        """True if the consumer accepts no more records now."""

    @property
    def oldest(self) -> int | None:
        """The position of the oldest record that was accepted and is not done. None if all are."""

    @property
    def ahead(self) -> Mapping[str, int]:
        """The items that are done before an older one: their ids and their records' positions.

        Empty if doing an item twice does no harm.
        """

    def accept(self, records: Sequence[Record]) -> None: ...


class Reader:
    """One reader of the log, with its place in the log.

    Each commit feeds the reader while its consumer keeps up. If the consumer is full, or the hub
    was stopped, the reader stays at its place and catches up from the journal. So no part waits for
    the reader, its memory is bounded, and no record is lost.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        consumer: Consumer,
        *,
        catches_up: bool = True,
        refilled: bool = False,
        heir_of: str | None = None,
    ) -> None:
        """Set `catches_up` to False for a reader that skips records at which its consumer raises.

        Set `refilled` if the consumer gets the records that the journal has trimmed from elsewhere.
        A reader without a place of its own goes on from that of the reader that it is `heir_of`.
        """
        self.name = name
        self._catches_up = catches_up
        self._refilled = refilled
        self._heir_of = heir_of
        # The position up to which the journal was trimmed before this reader got there, or 0.
        self.missed_up_to = 0
        self.passed_over = 0
        self._journal = journal
        self._consumer = consumer
        self._position = 0
        self.saved = 0
        self._saved_ahead: frozenset[str] = frozenset()

    async def open(self) -> ReaderPlace:
        """Go to the place that the journal has stored for this reader, and return it.

        If the journal has trimmed records after that place, log a warning.
        """
        place = await self._journal.read_place(self.name)
        if place.position == 0 and self._heir_of is not None:
            place = await self._journal.read_place(self._heir_of)
        if place.position < self._journal.trimmed and not self._refilled:
            self.missed_up_to = self._journal.trimmed
            logger.warning(
                "'%s' continues after position %d, but the journal has been trimmed up to %d: "
                "of the records between, it gets only the first of each run",
                self.name,
                place.position,
                self.missed_up_to,
            )
        self._position = self.saved = place.position
        self._saved_ahead = frozenset(place.ahead)
        return place

    def skip(self) -> None:
        """Go to the log's head: the waiting records are not needed."""
        self._position = self._journal.head

    @property
    def behind(self) -> int:
        """Return how many positions this reader is behind the log's head."""
        return self._journal.head - self._position

    @property
    def done(self) -> int:
        """Return the position up to which all records are done."""
        oldest = self._consumer.oldest
        return self._position if oldest is None else oldest - 1

    def offer(self, records: Sequence[Record], after: int) -> None:
        """Pass on a commit's records, unless older ones still wait or the consumer is full.

        `after` is the position before them. Never raises, so an error of one reader does not affect
        another. A reader that catches up tries again.
        """
        if not after <= self._position < records[0].position or self._consumer.full:
            return
        try:
            self._accept(records)
        except Exception:
            if self._catches_up:
                logger.exception("'%s' failed on a commit, and reads it again", self.name)
            else:
                self._pass_over(records)

    async def catch_up(self) -> None:
        """Pass on the records that wait in the journal, until the consumer is full.

        If the consumer raises, pass on each record alone. Skip and count those that fail again.
        """
        while self.behind and not self._consumer.full:
            position = self._position
            records = await self._journal.read(position, CATCH_UP)
            if not records or self._position != position:
                return
            try:
                self._accept(records)
            except Exception:
                for record in records:
                    self._accept_alone(record)

    def _accept_alone(self, record: Record) -> None:
        try:
            self._accept([record])
        except Exception:
            self._pass_over([record])

    def _pass_over(self, records: Sequence[Record]) -> None:
        self.passed_over += len(records)
        self._position = records[-1].position
        logger.exception(
            "'%s' failed on the records from %d to %d, which stay in the journal: it continues "
            "without them",
            self.name,
            records[0].position,
            records[-1].position,
        )

    def complaints(self) -> list[str]:
        """Return sentences on the events that have not reached the consumer since the start."""
        found = []
        if self.missed_up_to:
            found.append(
                f"events up to position {self.missed_up_to} were trimmed from the journal before "
                f"they were {self.name}"
            )
        if self.passed_over:
            found.append(
                f"{self.passed_over} events could not be {self.name}: the hub's log says why"
            )
        return found

    def rewind(self) -> None:
        """Go back to the journal's start. The caller restarts the consumer."""
        self._position = self.saved = 0

    def place(self) -> ReaderPlace | None:
        """Return the place for a restart. None means that the saved place is still right."""
        done, ahead = self.done, self._consumer.ahead
        fresh = {name: at for name, at in ahead.items() if name not in self._saved_ahead}
        if done <= self.saved and not fresh:
            return None
        return ReaderPlace(self.name, max(done, self.saved), fresh)

    def has_saved(self, place: ReaderPlace) -> None:
        """Record that a place is on disk."""
        self.saved = min(place.position, self.done)  # `rewind` may have been called meanwhile
        still = self._consumer.ahead.keys()
        self._saved_ahead = frozenset(
            name for name in (*self._saved_ahead, *place.ahead) if name in still
        )

    def _accept(self, records: Sequence[Record]) -> None:
        self._consumer.accept(records)
        self._position = records[-1].position
