"""The journal: what is kept on disk of the log, and the port behind which it is kept.

Records are the log itself. The journal also has answers, snapshots of runs, and how far each
of the log's readers has got, so that one commit makes all of it durable together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from trainhub.core.audience import DomainEvent
from trainhub.core.lineage import Lineage
from trainhub.core.stream import Stream


class StreamSnapshot(Protocol):
    """A stream's state after its record `seq`, so that a start need not read what came before."""

    @property
    def seq(self) -> int: ...


@dataclass(frozen=True)
class Vocabulary:
    """The classes in which a domain speaks, so that a journal can write and read them.

    `events` maps the type's name, as it is stored and sent, to the class. `snapshot` is the class
    of all snapshots. All are dataclasses that core/codec.py can dump and reload.
    """

    events: Mapping[str, type[Any]]
    snapshot: type[Any]

    def type_of(self, event: DomainEvent) -> str:
        """Return the type's name of an event."""
        return self._names[type(event)]

    @cached_property
    def _names(self) -> dict[type[Any], str]:
        return {cls: name for name, cls in self.events.items()}


@dataclass(frozen=True, slots=True)
class Deed:
    """Who gave a command and from which address; None for the hub's own hand.

    `command` is the protocol's name; `about` the person (PNR/index), the offer's id, the station's
    code or the user that it names, None if it is about the run alone.
    """

    user: str
    role: str
    address: str | None
    command: str
    about: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """An event in the log: the position counts all streams from 1, the seq its own stream from 1.

    A command's first record has its deed; what follows from it, or from a timer, has none.
    `event` is an audience.Event; only its domain knows its class.
    """

    position: int
    stream: Stream
    seq: int
    event: Any
    deed: Deed | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a command that came with an idempotency key was answered.

    `command` tells the command apart from another under the same key; `result` is JSON; `at` is in
    seconds since 1970.
    """

    user: str
    key: str
    command: str
    result: str
    at: float


@dataclass(frozen=True, slots=True)
class ReaderPlace:
    """How far a reader has got for good: up to `position`, and beyond it with what `ahead` names.

    `ahead` maps the ids of single things that are done to the positions of their records.
    """

    reader: str
    position: int
    ahead: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Retired:
    """A run that is over and done with: its first record's position, and when, since 1970."""

    stream: Stream
    first: int
    at: float


@dataclass(slots=True)
class Commit:
    """What one commit makes durable, all of it or nothing.

    A snapshot stands for the run's records up to its seq, but the first. `gone` names answers of
    earlier commands by user and key: they are dropped.
    """

    records: list[Record] = field(default_factory=list)
    answers: list[StoredAnswer] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)
    snapshots: dict[Stream, StreamSnapshot] = field(default_factory=dict)
    places: list[ReaderPlace] = field(default_factory=list)
    retired: list[Retired] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.records or self.answers or self.snapshots or self.places or self.retired)

    def add(self, other: "Commit") -> None:
        self.records += other.records
        self.answers += other.answers
        self.gone += other.gone
        self.snapshots |= other.snapshots
        self.places += other.places
        self.retired += other.retired


class JournalFailed(Exception):
    """The journal cannot be opened, read or written; the message says what to do."""


class Journal(Protocol):
    """Where the log lives. Any failure is a JournalFailed, and is final.

    `head` is the last record's position, `size` the bytes that it takes up. Up to the position
    `trimmed` it has only the first record of each live run. Positions may have gaps.
    """

    head: int
    size: int
    trimmed: int

    @property
    def epoch(self) -> str: ...

    @property
    def lineage(self) -> Lineage:
        """The epochs that it has been through."""

    async def commit(self, batch: Commit) -> None:
        """Return once all of it is on disk. If it fails, all of it may be there, or none."""

    async def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records with a position above `after`, in order."""

    async def unfolded(self, after: int, limit: int, kept: int) -> list[Record]:
        """Read on for a start: the records of live runs, without what snapshots stand for.

        Of the last `kept` positions it has all records all the same. It may return fewer than
        `limit` where events are long; an empty list is the end.
        """

    async def snapshot(self, stream: Stream) -> Any:
        """Return the newest snapshot of a stream; None if it has none."""

    async def retired(self) -> dict[Stream, float]:
        """The runs that are over and done with, and since when."""

    async def answers(self) -> list[StoredAnswer]:
        """All answers that are kept, oldest first."""

    async def place(self, reader: str) -> ReaderPlace:
        """How far a reader has got; nowhere, if nothing was kept of it."""

    async def trim(self, up_to: int) -> None:
        """Drop the records up to a position, but the first of each run that is not retired.

        Every reader has dealt with them, and snapshots stand for them.
        """

    async def forget(self, answers_before: float, retired_before: float) -> None:
        """Drop answers and names of retired runs that are older than that."""

    async def close(self) -> None: ...
