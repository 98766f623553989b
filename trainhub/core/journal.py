"""The journal: the durable part of the log, and the port that stores it.

The records are the log itself. The journal also stores answers, snapshots of runs, and the place of
each reader, so that one commit makes all of it durable together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from trainhub.core.audience import DomainEvent
from trainhub.core.lineage import Lineage
from trainhub.core.stream import Stream


class StreamSnapshot(Protocol):
    """A stream's state after its record `seq`. A start need not read the records before it."""

    @property
    def seq(self) -> int: ...


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a domain's events and snapshots, so that a journal can write and read them.

    `events` maps the stored and sent name of a type to its class. `snapshot` is the class
    of all snapshots. All classes are dataclasses that core/codec.py can dump and reload.
    """

    events: Mapping[str, type[Any]]
    snapshot: type[Any]

    def type_of(self, event: DomainEvent) -> str:
        """Return the name of an event's type."""
        return self._names[type(event)]

    @cached_property
    def _names(self) -> dict[type[Any], str]:
        return {cls: name for name, cls in self.events.items()}


@dataclass(frozen=True, slots=True)
class Deed:
    """The caller of a command, and the caller's address. None means that the hub itself acted.

    `command` is the command's name in the protocol. `about` is the person (PNR/index), offer id,
    station code or user that the command names. None means that it concerns the whole run.
    """

    user: str
    role: str
    address: str | None
    command: str
    about: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """An event in the log. `position` counts the records of all streams, `seq` those of its stream.

    Both start at 1. A record of the ledger is of no stream and has seq 0. The first record of a
    command has the command's deed; other records have none. `event` is an audience.DomainEvent;
    only its domain knows its class.
    """

    position: int
    stream: Stream
    seq: int
    event: Any
    deed: Deed | None = None

    @property
    def in_stream(self) -> bool:
        """False for a record of the ledger."""
        return self.seq > 0


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer to a command that came with an idempotency key.

    `command` is a digest that identifies the command. `result` is JSON. `at` is in seconds since
    1970.
    """

    user: str
    key: str
    command: str
    result: str
    at: float


@dataclass(frozen=True, slots=True)
class ReaderPlace:
    """How far a reader is done: up to `position`, and also with the items in `ahead`.

    `ahead` maps the ids of items that are done to the positions of their records.
    """

    reader: str
    position: int
    ahead: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Retired:
    """A retired run: its first record's position, and when it retired in seconds since 1970."""

    stream: Stream
    first: int
    at: float


@dataclass(slots=True)
class Commit:
    """The contents of one atomic commit.

    A snapshot replaces the run's records up to its seq, except the first. `gone` has the user and
    key of each earlier answer to drop.
    """

    records: list[Record] = field(default_factory=list)
    answers: list[StoredAnswer] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)
    snapshots: dict[Stream, StreamSnapshot] = field(default_factory=dict)
    places: list[ReaderPlace] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.records or self.answers or self.snapshots or self.places or self.retired)

    def merge(self, other: "Commit") -> None:
        self.records += other.records
        self.answers += other.answers
        self.gone += other.gone
        self.snapshots |= other.snapshots
        self.places += other.places
        self.retired += other.retired


class JournalFailed(Exception):
    """The journal cannot be opened, read or written. The message says what to do."""


class Journal(Protocol):
    """The port that stores the log. Every failure raises JournalFailed, and is final.

    `head` is the last record's position, `size` the bytes of the journal. Up to the position
    `trimmed` the journal has only the first record of each live run. Positions may have gaps.
    """

    head: int
    size: int
    trimmed: int

    @property
    def epoch(self) -> str: ...

    @property
    def lineage(self) -> Lineage:
        """The epochs and starts of this journal."""

    async def commit(self, batch: Commit) -> None:
        """Return when the batch is on disk. After a failure all of it may be there, or nothing."""

    async def read(self, after: int, limit: int) -> list[Record]:
        """Return at most `limit` records with a position above `after`, in order."""

    async def unfolded(self, after: int, limit: int, kept: int) -> list[Record]:
        """Return the next records of live runs for a start, except those that snapshots replace.

        All records of the last `kept` positions are included. The result may have fewer than
        `limit` records if events are long. An empty list is the end.
        """

    async def snapshot(self, stream: Stream) -> Any:
        """Return the newest snapshot of a stream; None if it has none."""

    async def retired(self) -> dict[Stream, float]:
        """Return the retired runs, each with its time in seconds since 1970."""

    async def answers(self) -> list[StoredAnswer]:
        """Return all stored answers, oldest first."""

    async def read_place(self, reader: str) -> ReaderPlace:
        """Return a reader's place. A reader without a stored place is at position 0."""

    async def trim(self, up_to: int) -> None:
        """Drop the records up to a position, except the first of each run that is not retired.

        The caller makes sure that every reader is done with them and that snapshots replace them.
        """

    async def prune(self, answers_before: float, retired_before: float) -> None:
        """Drop the answers and the names of retired runs from before these times."""

    async def close(self) -> None: ...
