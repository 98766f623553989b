"""The log: what a record is, the port that makes records durable, group commit, and its readers.

Nothing is told, sent, stored or answered before `Log` has its events on disk; each `Reader` then
gets every record in order, from the commit itself while it keeps up and from the journal when not.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainhub.domain.errors import Unavailable
from trainhub.domain.events import Event
from trainhub.domain.model import RunKey

log = logging.getLogger("trainhub.journal")

# How many records a reader that fell behind takes from the journal at once. A chart's record alone
# may make thousands of changes, and the loop waits while they are taken.
CATCH_UP = 50


@dataclass(frozen=True, slots=True)
class Record:
    """An event in the log: the position counts all runs from 1, the seq its own run from 1."""

    position: int
    run: RunKey
    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command that came with an idempotency key was answered.

    `command` tells the command apart from another under the same key; `result` is JSON; `at` is in
    seconds since 1970.
    """

    user: str
    key: str
    command: str
    result: str
    at: float


class JournalFailed(Exception):
    """The journal cannot be opened, read or written; the message says what to do."""


class Journal(Protocol):
    """Where the log lives. Any failure is a JournalFailed, and is final."""

    epoch: str
    head: int

    async def commit(self, records: Sequence[Record], answers: Sequence[Answer] = ()) -> None:
        """Return once all the records and answers are on disk; fail with none of them there."""

    async def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records with a position above `after`, in order."""

    async def answers(self) -> list[Answer]:
        """All answers that are kept, oldest first."""

    async def forget_answers(self, before: float) -> None:
        """Drop the answers given before that time."""

    async def position(self, reader: str) -> int:
        """How far a reader has got for good; 0 if it never has."""

    async def save_position(self, reader: str, position: int) -> None: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Entry:
    records: list[Record]
    answer: Answer | None
    then: Callable[[], None] | None
    done: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Log:
    """Group commit: while one commit is in flight the next entries gather for the next one.

    `on_commit` gets what one commit made durable, in order; `on_failure` is called once.
    """

    def __init__(
        self,
        journal: Journal,
        on_commit: Callable[[list[Record]], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._journal = journal
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._waiting: list[_Entry] = []
        self._writer: asyncio.Task[None] | None = None
        self.last = journal.head
        self._failed = False
        self.last_commit_seconds = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is on its way to the disk."""
        return self._writer is not None

    def check(self) -> None:
        """Raise Unavailable if the journal has failed: nothing may be decided any more."""
        if self._failed:
            raise Unavailable("the hub cannot write its journal and is stopping: try another hub")

    def append(
        self,
        run: RunKey | None = None,
        seq: int = 0,
        events: Iterable[Event] = (),
        answer: Answer | None = None,
        then: Callable[[], None] | None = None,
    ) -> "asyncio.Future[None]":
        """Put events, the first of them numbered `seq`, and a command's answer in line.

        The future is done when they, and all that was put in line before them, are durable and
        handed to the readers. `then` is called at just that place in the line: after the events
        before it were delivered, and before any that come later.
        """
        self.check()
        records = []
        for number, event in enumerate(events, start=seq):
            self.last += 1
            assert run is not None
            records.append(Record(self.last, run, number, event))
        entry = _Entry(records, answer, then)
        if not records and answer is None and self._writer is None:
            self._settle([entry])
        else:
            self._waiting.append(entry)
            if self._writer is None:
                self._writer = asyncio.get_running_loop().create_task(self._write())
        return entry.done

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    await self._commit(batch)
                except Exception as error:
                    self._fail(batch + self._waiting, error)
                    return
                self._settle(batch)
        finally:
            self._writer = None

    async def _commit(self, batch: list[_Entry]) -> None:
        records = [record for entry in batch for record in entry.records]
        answers = [entry.answer for entry in batch if entry.answer is not None]
        if not records and not answers:
            return
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self._journal.commit(records, answers)
        self.last_commit_seconds = loop.time() - start

    def _settle(self, batch: list[_Entry]) -> None:
        """Deliver in order. What is durable is answered so, even if telling it fails."""
        told: list[Record] = []
        try:
            for entry in batch:
                told += entry.records
                if entry.then is not None:
                    self._tell(told)
                    told = []
                    entry.then()
            self._tell(told)
        except Exception as error:
            log.exception("what the journal has could not be delivered")
            self._failed = True
            self._on_failure(error)
        for entry in batch:
            if not entry.done.done():  # whoever waited may have gone
                entry.done.set_result(None)

    def _tell(self, records: list[Record]) -> None:
        if records:
            self._on_commit(records)

    def _fail(self, entries: list[_Entry], error: BaseException) -> None:
        self._failed = True
        self._waiting = []
        for entry in entries:
            if not entry.done.done():
                entry.done.set_exception(
                    Unavailable("the hub could not write its journal: the command did not happen")
                )
                entry.done.exception()  # nobody may be waiting any more
        self._on_failure(error)


class Consumer(Protocol):
    """What stands behind a reader: takes records and works through them in its own time."""

    @property
    def full(self) -> bool:
        """Whether it wants no more records now."""

    @property
    def oldest(self) -> int | None:
        """The position of the oldest record that it has taken and not yet dealt with for good."""

    def take(self, records: Sequence[Record]) -> None: ...


class Reader:
    """One reader of the log, with its place in it.

    It is fed by each commit while its consumer keeps up. If the consumer is full, or the hub was
    stopped, it stays where it is and catches up from the journal: so nothing waits for it, nothing
    it holds grows without bound, and nothing is lost.
    """

    def __init__(self, name: str, journal: Journal, consumer: Consumer) -> None:
        self.name = name
        self._journal = journal
        self._consumer = consumer
        self._position = 0
        self._saved = 0

    async def open(self) -> None:
        """Go to where this reader had got before the hub was last stopped."""
        self._position = self._saved = await self._journal.position(self.name)

    @property
    def behind(self) -> int:
        """How many records wait in the journal for this reader."""
        return self._journal.head - self._position

    @property
    def done(self) -> int:
        """Up to which position everything has been dealt with for good."""
        oldest = self._consumer.oldest
        return self._position if oldest is None else oldest - 1

    def offer(self, records: Sequence[Record]) -> None:
        """Take what a commit brought, unless older records are still to come."""
        if records[0].position == self._position + 1 and not self._consumer.full:
            self._take(records)

    async def catch_up(self) -> None:
        """Take what is waiting in the journal, until the consumer is full."""
        while self.behind and not self._consumer.full:
            position = self._position
            records = await self._journal.read(position, CATCH_UP)
            if not records or self._position != position:
                return
            self._take(records)

    async def save(self) -> None:
        """Keep the place, so that a restart goes on from here."""
        done = self.done
        if done > self._saved:
            await self._journal.save_position(self.name, done)
            self._saved = done

    def _take(self, records: Sequence[Record]) -> None:
        self._consumer.take(records)
        self._position = records[-1].position
