"""Notifications: a bounded deque of e-mail and push jobs, drained on a timer.

It is one of the log's readers: taking a record puts its jobs on the deque and never waits for a
sender. A job is sent at least once; one that fails for long is given up, counted and logged.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trainhub.journal import Record

log = logging.getLogger("trainhub.notifications")

CAPACITY = 10_000
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
