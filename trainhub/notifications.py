"""Notifications: a bounded deque of e-mail and push jobs, drained on a timer.

It is one of the log's readers: taking a record puts its jobs on the deque and never waits for a
sender. A job is sent at least once; one that fails for long is given up, counted and logged.
"""

import asyncio
import hashlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from trainhub.domain import events as e
from trainhub.domain.train import TrainState
from trainhub.journal import Record

log = logging.getLogger("trainhub.notifications")

CAPACITY = 10_000
_PLAIN_ID = re.compile("[A-Za-z0-9_-]{1,64}")
# How many jobs are with the sender at once; how often one is tried; seconds for one try.
AT_ONCE = 20
TRIES = 5
SEND_SECONDS = 10.0


class Channel(StrEnum):
    EMAIL = "EMAIL"
    PUSH = "PUSH"


@dataclass(frozen=True, slots=True)
class Job:
    """One message to one person. `id` names it for good: the same record makes the same jobs.

    `to` is an e-mail address for EMAIL, and the user (irctcId) for PUSH.
    """

    id: str
    position: int
    channel: Channel
    to: str
    subject: str
    body: str


class Sender(Protocol):
    """What brings a job to its person."""

    async def send(self, job: Job) -> None:
        """Return when it is on its way; any exception means try again later."""

    async def close(self) -> None: ...


def jobs(state: TrainState, record: Record) -> Iterator[Job]:
    """The jobs of a record: whom the railway tells on the phone, and in which words."""
    event = record.event
    words = _WORDS.get(type(event))
    if words is None:
        return
    subject, body = words(state, event)
    name = f"{record.run}/{record.seq}".replace("/", "_")
    for user, email in _told(state, event):
        job = f"{name}-{_id(user)}"
        if email is not None:
            yield Job(f"{job}-email", record.position, Channel.EMAIL, email, subject, body)
        yield Job(f"{job}-push", record.position, Channel.PUSH, user, subject, body)


def _id(user: str) -> str:
    """The user as part of a job's id, which becomes a file's name and a header."""
    if _PLAIN_ID.fullmatch(user):
        return user
    return hashlib.sha256(user.encode()).hexdigest()[:32]


def _told(state: TrainState, event: e.Event) -> Iterator[tuple[str, str | None]]:
    """The users an event is for, each with an e-mail address if there is one."""
    users = {part.id for part in event.audience if isinstance(part, e.User)}
    for user in users or state.by_user:
        emails = (passenger.booking.email for passenger in state.of_user(user))
        yield user, next(filter(None, emails), None)


def _no_show(state: TrainState, event: e.PersonEvent) -> tuple[str, str]:
    return (
        f"Train {state.chart.train_no}: you are marked as not turned up",
        f"The ticket examiner of {state.chart.train_name} did not find {_whom(event)}. "
        "If you are on the train, speak to the examiner within 30 minutes: "
        "after that the berth may go to another passenger.",
    )


def _no_show_undone(state: TrainState, event: e.PersonEvent) -> tuple[str, str]:
    return (
        f"Train {state.chart.train_no}: you are expected on board again",
        f"The mark 'not turned up' for {_whom(event)} on {state.chart.train_name} was taken back.",
    )


def _train_cancelled(state: TrainState, event: e.TrainCancelled) -> tuple[str, str]:
    why = f": {event.reason}" if event.reason else ""
    return (
        f"Train {state.chart.train_no} is cancelled",
        f"{state.chart.train_name} of {state.chart.start_date:%d %B %Y} is cancelled{why}.",
    )


def _offer(state: TrainState, event: e.UpgradeOffer) -> tuple[str, str]:
    return (
        f"Train {state.chart.train_no}: a berth of your own is free",
        f"Berth {event.coach}-{event.berth} ({_words(event.berth_type)}) is held for you, to "
        f"{event.to}. Answer in the app, or tell the ticket examiner, before "
        f"{event.expires_at:%H:%M}: after that the next passenger is asked.",
    )


def _upgraded(state: TrainState, event: e.UpgradeConfirmed) -> tuple[str, str]:
    return (
        f"Train {state.chart.train_no}: you have berth {event.coach}-{event.berth}",
        f"{event.name} now travels confirmed in berth {event.coach}-{event.berth}, to {event.to}.",
    )


def _words(berth_type: str) -> str:
    return berth_type.lower().replace("_", " ")


def _whom(event: e.PersonEvent) -> str:
    berth = f" (berth {event.coach}-{event.berth})" if event.coach else ""
    return f"{event.name}{berth}, {event.from_} to {event.to}"


_WORDS: dict[type[e.Event], Callable[[TrainState, Any], tuple[str, str]]] = {
    e.NoShow: _no_show,
    e.NoShowUndone: _no_show_undone,
    e.TrainCancelled: _train_cancelled,
    e.UpgradeOffer: _offer,
    e.UpgradeConfirmed: _upgraded,
}


class Notifications:
    """The deque and its drain. `make` maps a record to its jobs."""

    def __init__(
        self,
        sender: Sender,
        make: Callable[[Record], Iterable[Job]],
        capacity: int = CAPACITY,
    ) -> None:
        self._sender = sender
        self._make = make
        self.capacity = capacity
        self._queue: deque[Job] = deque()
        # Tries of each job not yet done with, in the order in which they came.
        self._tries: dict[Job, int] = {}
        # Jobs done with though an older one is not: id → position. And those of them that were so
        # before the hub was last stopped, until their records have come by again.
        self.ahead: dict[str, int] = {}
        self._sent_before: set[str] = set()
        self._busy = asyncio.Lock()
        self.sent = self.failed = self.retried = 0

    @property
    def depth(self) -> int:
        return len(self._tries)

    @property
    def full(self) -> bool:
        return self.depth >= self.capacity

    @property
    def oldest(self) -> int | None:
        first = next(iter(self._tries), None)
        return None if first is None else first.position

    def resume(self, ahead: Mapping[str, int]) -> None:
        """Know again, before any record is taken, which jobs are done with already."""
        self.ahead |= ahead
        self._sent_before |= ahead.keys()

    def take(self, records: Sequence[Record]) -> None:
        for record in records:
            for job in self._make(record):
                if job.id in self._sent_before:
                    self._sent_before.discard(job.id)
                else:
                    self._queue.append(job)
                    self._tries[job] = 0

    async def drain(self) -> None:
        """Give the sender each job that waits now; those that fail wait for the next drain."""
        if self._busy.locked():
            return
        async with self._busy:
            due = len(self._queue)
            while due > 0:
                batch = [self._queue.popleft() for _ in range(min(due, AT_ONCE))]
                due -= len(batch)
                await asyncio.gather(*(self._send(job) for job in batch))

    async def _send(self, job: Job) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._sender.send(job)
        except Exception as error:
            self._failed(job, error)
        else:
            self.sent += 1
            self._done(job)

    def _done(self, job: Job) -> None:
        first = self.oldest
        del self._tries[job]
        self.ahead[job.id] = job.position
        oldest = self.oldest
        if oldest != first:
            self.ahead = {
                name: at for name, at in self.ahead.items() if oldest is not None and at >= oldest
            }

    def _failed(self, job: Job, error: Exception) -> None:
        self._tries[job] += 1
        if self._tries[job] < TRIES:
            self.retried += 1
            self._queue.append(job)
            return
        self.failed += 1
        self._done(job)
        log.error("job %s is given up after %d tries: %r", job.id, TRIES, error)
