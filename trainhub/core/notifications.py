"""Notifications: a bounded deque of e-mail and push jobs, drained on a timer.

It is one of the log's readers: taking a record puts its jobs on the deque and never waits for a
sender. A job is sent at least once. A failed job is tried again for a day; then it is given up,
kept as a dead letter, counted and shown.
"""

import asyncio
import heapq
import logging
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count, islice, takewhile
from typing import Protocol

from trainhub.core.journal import Record
from trainhub.core.stream import NO_STREAM, Stream

logger = logging.getLogger("trainhub.notifications")

QUEUE_CAPACITY = 10_000
# Jobs that are with the sender at once, and those of them that were tried before.
SENDS_AT_ONCE = 20
AGAIN_AT_ONCE = 10
# Seconds for one try.
SEND_SECONDS = 10.0
# The wait for the next try is this share of the job's age, so it grows by a quarter each time.
WAIT_SHARE = 0.25
FIRST_WAIT_SECONDS = 1.0
LAST_WAIT_SECONDS = 120.0
# After this many failed jobs since the last success, the sender counts as down, and one at a time
# probes it. The wait for the next probe is a share of the time for which the sender has been down.
DOWN_AFTER = SENDS_AT_ONCE
PROBE_SHARE = 0.1
LAST_PROBE_SECONDS = 30.0
# Seconds after which a job is given up: a day late it helps no passenger.
LIFETIME_SECONDS = 24 * 3600.0
# A job that is open for longer, in seconds, is set aside in a file: the journal need not keep it.
ASIDE_SECONDS = 30.0
MOST_ASIDE = 10_000
# Notifications that are made in one turn of the loop, and seconds until the next turn. A full train
# has thousands.
MADE_AT_ONCE = 25
MADE_AGAIN_SECONDS = 0.001
# Records whose notifications are still to be made.
MOST_PLANS = 1_000
# Jobs that go into the file in one write.
NOTED_AT_ONCE = 500
# Seconds until the next write after a failed write.
NOTE_AGAIN_SECONDS = 5.0
# Seconds from one log line to the next.
FAILURE_LOG_SECONDS = 60.0
# Seconds for which a dead letter is complained of.
NEWS_SECONDS = 24 * 3600.0
# The longest wait that another side may ask for.
LONGEST_WAIT_SECONDS = 3600.0
# Sends whose times are remembered, for the rate of the last minute.
MOST_COUNTED = 10_000
RATE_SECONDS = 60.0
# Seconds between two looks for what has expired while the sender is down.
EXPIRE_SECONDS = 1.0
# Seconds at the end for the last write.
LAST_NOTE_SECONDS = 0.5


TOO_LATE = "it expired before it could be sent"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


class Channel(StrEnum):
    """A way to a person. Another channel is one more line here, and a sender."""

    EMAIL = "EMAIL"
    PUSH = "PUSH"


class Urgency(StrEnum):
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


class Outcome(StrEnum):
    """What became of a notification."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    CANCELLED = "CANCELLED"  # acknowledged or answered before it was sent
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"  # given up; a dead letter
    REFUSED = "REFUSED"  # the queue was full; a dead letter


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one person over one channel, in its final words.

    `id` names it for good: the same record makes the same notifications. `to` is an e-mail address
    for EMAIL, and the user (irctcId) for PUSH. `about` is PNR/index of the person it is about.
    A newer one of the same `topic` and user replaces it. `link` is a page of the hub, "" for none.
    It was `queued` with its event. It is not sent before `due`, and after `expires`, by the hub's
    clock, it is no longer true.
    """

    id: str
    position: int
    channel: Channel
    to: str
    subject: str
    body: str
    expires: datetime = NEVER
    queued: datetime = LONG_AGO
    due: datetime = LONG_AGO
    stream: Stream = NO_STREAM
    seq: int = 0
    kind: str = ""
    user: str = ""
    about: str | None = None
    topic: str = ""
    language: str = "en"
    link: str = ""
    urgency: Urgency = Urgency.NORMAL


@dataclass(frozen=True, slots=True)
class Plan:
    """What a record asks of the queue.

    `settled` are topics with their users: what of them is not sent yet need not be sent any more.
    Each notification is made when it is taken from `notifications`.
    """

    notifications: Iterable[Notification] = ()
    settled: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A notification and what became of it so far, by the hub's clock."""

    notification: Notification
    outcome: Outcome
    attempts: int
    at: datetime
    detail: str = ""


class TryLater(Exception):
    """The other side asks for another try, no sooner than in `seconds`.

    `reached` says which devices have the notification already: "1 of 2 devices". Then the others
    are tried again, and the notification counts as sent when no try is left.
    """

    def __init__(self, reason: str, seconds: float, reached: str = "") -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.reached = reached


class Undeliverable(Exception):
    """No later try can bring this job to its person. The message holds nothing of theirs."""


class Sender(Protocol):
    """What brings a job to its person.

    `at_once`, if it has one, is how many may be with it at the same time.
    """

    async def send(self, notification: Notification, /) -> str:
        """Return when it is on its way, with a detail for the ledger: "2 devices".

        Raises Undeliverable if that can never be, TryLater if the other side says when to try
        again; any other exception means try again.
        """

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A job that could not be sent so far, or for good. Times are seconds since 1970."""

    job: Notification
    since: float
    tries: int
    reason: str
    given_up: float | None = None


class UndeliveredJobs(Protocol):
    """Where they are kept durably, by their jobs' ids."""

    async def note(self, jobs: Sequence[Undelivered], sent: Sequence[str]) -> None:
        """Keep jobs, each in place of what was kept of it before, and drop those that were sent.

        Returns when that is on disk. Raises OSError.
        """


@dataclass(slots=True, eq=False)
class _Open:
    """A job that is neither sent nor given up. Times are monotonic."""

    job: Notification
    since: float
    tries: int = 0
    reason: str = ""
    given_up: float | None = None
    outcome: Outcome = Outcome.QUEUED
    in_hand: bool = False
    cancelled: bool = False
    # Which devices have it while others are tried again.
    partly: str = ""
    # When it may be sent first. The hub's clock may run faster than this one, as the demo's.
    due: float = 0.0

    def undelivered(self, now: float) -> Undelivered:
        """Return it with wall times, as it is kept."""
        wall = time.time() - now
        given_up = None if self.given_up is None else wall + self.given_up
        return Undelivered(self.job, wall + self.since, self.tries, self.reason, given_up)


class Notifications:
    """The deque of a channel and its drain. `now` is the hub's clock.

    `plan` says what a record asks of this channel. `told` hears what becomes of each notification.
    `sent` is called after each send, so that its place is saved before a crash can repeat it.

    A job is open until it was sent, given up, or set aside: only then may the journal drop its
    record. A job that was set aside is tried on as before. Jobs are set aside and given up by a
    durable note in `kept` first.
    """

    def __init__(
        self,
        sender: Sender,
        plan: Callable[[Record], Plan],
        kept: UndeliveredJobs,
        now: Callable[[], datetime],
        capacity: int = QUEUE_CAPACITY,
        told: Callable[[Told], None] = lambda _: None,
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        self._sender = sender
        self._at_once: int = getattr(sender, "at_once", SENDS_AT_ONCE)
        self._plan = plan
        self._told = told
        self._on_sent = sent
        self._kept = kept
        self._now = now
        self.capacity = capacity
        # Positions of records whose notifications are not all made, in order, with the rest.
        self._plans: deque[tuple[int, Iterator[Notification]]] = deque()
        self._making: asyncio.TimerHandle | None = None
        # Topics and users that were settled meanwhile, each with the newest record it concerns.
        self._settled: dict[tuple[str, str], int] = {}
        self.not_made = 0
        # Jobs not yet done with by their ids, in the order of the log, and those set aside.
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._aside: OrderedDict[str, _Open] = OrderedDict()
        # Where each of both is: due for the first try, due again, waiting for its time, in hand.
        self._queue: deque[_Open] = deque()
        self._again: deque[_Open] = deque()
        self._later: list[tuple[float, int, _Open]] = []
        # Those that are not due for the first time yet.
        self._first: list[tuple[float, int, _Open]] = []
        self._in_hand: set[asyncio.Task[None]] = set()
        self._again_in_hand = 0
        self._numbers = count()
        # Jobs that failed since the last success, and the times of a sender that is down.
        self._failed: set[str] = set()
        self._down_since: float | None = None
        self._probe_at = 0.0
        # What `kept` has still to hear: jobs that are given up, and ids of sent ones.
        self._giving_up: dict[str, _Open] = {}
        self._sent_late: list[str] = []
        # Dead letters that may be tried again, and those that are not true any more.
        self._dead: OrderedDict[str, _Open] = OrderedDict()
        self._untrue: dict[str, _Open] = {}
        self._noting: asyncio.Task[None] | None = None
        self._note_at = 0.0
        self._one_note = asyncio.Lock()
        # Jobs done with though an older one is not: id → position. And those that were so before
        # the hub was last stopped, until their records have come by again.
        self.ahead: dict[str, int] = {}
        self._ahead_by_position: list[tuple[int, str]] = []  # a heap
        self._done_before: set[str] = set()
        self._given_up_at: deque[float] = deque(maxlen=MOST_ASIDE)
        self._silent_until = 0.0
        self._expire_at = 0.0
        # Topic and user → what is open of them.
        self._of_topic: dict[tuple[str, str], dict[str, _Open]] = {}
        self._sent_at: deque[float] = deque(maxlen=MOST_COUNTED)
        self.last_error = ""
        self.sent = self.failed = self.retried = self.cancelled = self.refused = self.expired = 0

    # --- as a reader of the log -------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Jobs for which the journal keeps their records."""
        return len(self._open)

    @property
    def set_aside(self) -> int:
        """Jobs that are tried on though the journal need not keep their records."""
        return len(self._aside)

    @property
    def rate(self) -> int:
        """The notifications sent in the last minute."""
        while self._sent_at and time.monotonic() - self._sent_at[0] > RATE_SECONDS:
            self._sent_at.popleft()
        return len(self._sent_at)

    @property
    def oldest_seconds(self) -> float | None:
        """The age of the oldest notification that waits, None if none does."""
        both = (next(iter(self._aside.values()), None), next(iter(self._open.values()), None))
        waits = [time.monotonic() - self._since(each) for each in both if each is not None]
        return round(max(0.0, *waits), 1) if waits else None

    def _since(self, opened: _Open) -> float:
        """Return since when a notification could have been sent, on the monotonic clock."""
        return max(opened.since, opened.due)

    @property
    def full(self) -> bool:
        return self.depth >= self.capacity or len(self._plans) >= MOST_PLANS

    @property
    def oldest(self) -> int | None:
        first = next(iter(self._open.values()), None)
        if first is not None:
            return first.job.position
        return self._plans[0][0] if self._plans else None

    def resume(self, ahead: Mapping[str, int], kept: Iterable[Undelivered] = ()) -> None:
        """Know again, before any record is taken, what was done and what could not be sent."""
        for name, position in ahead.items():
            self._go_ahead(name, position)
        self._done_before |= ahead.keys()
        now, wall = time.monotonic(), time.time()
        for each in kept:
            since = now - max(0.0, wall - each.since)
            opened = _Open(each.job, since, each.tries, each.reason)
            if each.given_up is not None:
                opened.given_up = now - max(0.0, wall - each.given_up)
                opened.outcome = Outcome.FAILED
                self._given_up_at.append(opened.given_up)
                self._bury(opened)
            else:
                self._aside[each.job.id] = opened
                self._index(opened)
                opened.due = now + (each.job.due - self._now()).total_seconds()
                heapq.heappush(self._first, (opened.due, next(self._numbers), opened))
            self._done_before.add(each.job.id)

    def accept(self, records: Sequence[Record]) -> None:
        for record in records:
            plan = self._plan(record)
            if plan.settled or plan.notifications:
                self._plans.append((record.position, self._carry_out(plan)))
        if self._making is None:
            self._make()

    def _carry_out(self, plan: Plan) -> Iterator[Notification]:
        for topic in plan.settled:
            self._settle(*topic)
        yield from plan.notifications

    def _make(self) -> None:
        """Make the next notifications. A later turn of the loop goes on if there are more."""
        if self._making is not None:
            self._making.cancel()
            self._making = None
        made = 0
        while self._plans and self.depth < self.capacity and made < MADE_AT_ONCE:
            made += self._make_one(*self._plans[0])
        if made == MADE_AT_ONCE:
            loop = asyncio.get_running_loop()
            self._making = loop.call_later(MADE_AGAIN_SECONDS, self._make)
        if not self._plans:
            self._settled.clear()

    def _make_one(self, position: int, rest: Iterator[Notification]) -> bool:
        """Make the next notification of a record. After the last one, leave the record."""
        try:
            job = next(rest, None)
        except Exception:
            logger.exception("the notifications of record %d cannot be made", position)
            self.not_made += 1
            job = None
        if job is None:
            self._plans.popleft()
            return False
        self._replace(job)
        now = time.monotonic()
        if job.id in self._done_before:
            self._done_before.discard(job.id)
            self._go_ahead(job.id, job.position)
        elif self._now() >= job.expires:  # a record of the past, read again or late
            self.expired += 1
            self._tell(_Open(job, now, outcome=Outcome.EXPIRED), TOO_LATE)
        else:
            opened = _Open(job, now)
            self._admit(opened)
            if any(self._settled.get(topic, -1) >= position for topic in _topics(job)):
                self._cancel(opened)
        return True

    def _replace(self, job: Notification) -> None:
        """Do not send what is still open of the same topic and address: it is out of date."""
        for opened in tuple(self._of_topic.get((job.topic, job.user), {}).values()):
            if job.topic and opened.job.to == job.to and opened.job.position < job.position:
                self._cancel(opened, "a newer one takes its place")

    def _admit(self, opened: _Open) -> None:
        job = opened.job
        self._open[job.id] = opened
        self._index(opened)
        wait = (job.due - self._now()).total_seconds()
        if wait <= 0:
            self._queue.append(opened)
        else:
            opened.due = opened.since + wait
            heapq.heappush(self._first, (opened.due, next(self._numbers), opened))
        self._tell(opened)

    def settle(self, topic: str, user: str) -> None:
        """Do not send what is still open of a topic: the user knows it."""
        if self._plans:
            self._settled[topic, user] = self._plans[-1][0]
        self._settle(topic, user)

    def _settle(self, topic: str, user: str) -> None:
        for opened in tuple(self._of_topic.get((topic, user), {}).values()):
            self._cancel(opened)

    def _cancel(self, opened: _Open, detail: str = "") -> None:
        """Let go of what is not sent yet. What a sender has in hand is not tried again."""
        opened.cancelled = True
        if opened.given_up is not None:
            opened.job = replace(opened.job, expires=self._now())
            self._untrue[opened.job.id] = opened
        if opened.outcome is not Outcome.QUEUED or opened.in_hand:
            return
        if opened.partly:
            self._have_sent(opened, opened.partly)
            return
        opened.outcome = Outcome.CANCELLED
        self.cancelled += 1
        self._tell(opened, detail)
        self._done(opened)

    def _tell(self, opened: _Open, detail: str = "") -> None:
        self._told(Told(opened.job, opened.outcome, opened.tries, self._now(), detail))

    def complaints(self) -> list[str]:
        """Return how many jobs were set aside, and how many were given up of late."""
        now, found = time.monotonic(), []
        first = next(iter(self._aside.values()), None)
        if first is not None:
            number = sum(each.tries > 0 for each in self._aside.values())
            age = now - self._since(first)
        if first is not None and number:
            found.append(f"{number} notifications cannot be sent, the oldest for {age:.0f} s")
        while self._given_up_at and now - self._given_up_at[0] > NEWS_SECONDS:
            self._given_up_at.popleft()
        if self.not_made:
            found.append(
                f"the notifications of {self.not_made} events could not be made: the hub's log "
                "says why"
            )
        if self._given_up_at:
            number = len(self._given_up_at)
            found.append(f"{number} notifications of the last 24 hours were given up")
        return found

    # --- sending ----------------------------------------------------------------------------

    def begin_drain(self) -> None:
        """Give the sender the jobs that are due, and wait for none; called by a timer."""
        self._relieve()
        self._expire()
        if self._making is None:
            self._make()
        self._send_due()
        if self._noting is None and time.monotonic() >= self._note_at and self._has_news():
            self._noting = asyncio.create_task(self._note())
            self._noting.add_done_callback(self._noted)

    def _expire(self) -> None:
        """Give up what has expired while the sender is down, and is not tried for that long."""
        now = time.monotonic()
        if self._down_since is None or now < self._expire_at:
            return
        clock = self._now()
        over = [
            each
            for each in (*self._open.values(), *self._aside.values())
            if clock >= each.job.expires and each.outcome is Outcome.QUEUED and not each.in_hand
        ]
        for each in over[:NOTED_AT_ONCE]:
            self.expired += 1
            self._give_up(each, TOO_LATE, Outcome.EXPIRED)
        if len(over) <= NOTED_AT_ONCE:
            self._expire_at = now + EXPIRE_SECONDS

    def _relieve(self) -> None:
        """Make room when nothing more can be set aside: the journal is not held for ever.

        Expired notifications leave first, and then the newest are refused: they are dead letters.
        """
        if not self.full or len(self._aside) < MOST_ASIDE:
            return
        now = self._now()
        waiting = [each for each in self._open.values() if not each.in_hand]
        leaving = [each for each in waiting if now >= each.job.expires][:NOTED_AT_ONCE]
        outcome, reason = Outcome.EXPIRED, TOO_LATE
        if not leaving:
            leaving = waiting[-NOTED_AT_ONCE:]
            outcome, reason = Outcome.REFUSED, "the queue was full"
            self.refused += len(leaving)
        for each in leaving:
            if each.outcome is Outcome.QUEUED:
                self._give_up(each, reason, outcome)

    async def retry(self, dead: Iterable[Undelivered]) -> int:
        """Try dead letters again that are still true. Returns how many. Raises OSError."""
        now = time.monotonic()
        found = [self._dead.get(each.job.id) for each in dead if self._now() < each.job.expires]
        buried = [each for each in found if each and self._now() < each.job.expires]
        again = [_Open(each.job, now, each.tries) for each in buried]
        for opened in again:  # at once: what settles them meanwhile finds them
            self._unearth(opened.job.id)
            self._aside[opened.job.id] = opened
            self._index(opened)
        try:
            await self._kept.note([each.undelivered(now) for each in again], [])
        except OSError:
            for opened, before in zip(again, buried, strict=True):
                if self._aside.pop(opened.job.id, None) is not None:
                    self._unindex(opened)
                    self._bury(before)
            raise
        for opened in again:
            if opened.outcome is Outcome.QUEUED:
                self._queue.append(opened)
                self._tell(opened)
        return len(again)

    def _bury(self, opened: _Open) -> None:
        """Remember a dead letter as long as it may be tried again."""
        if self._now() >= opened.job.expires:
            return
        self._dead[opened.job.id] = opened
        self._index(opened)
        while len(self._dead) > MOST_ASIDE:
            self._unearth(next(iter(self._dead)))

    def _unearth(self, name: str) -> None:
        self._unindex(self._dead.pop(name))

    async def drain(self) -> None:
        """Give the sender the jobs that are due, and wait until each was sent or has failed."""
        while True:
            self._make()
            self._send_due()
            while self._in_hand:
                await asyncio.wait(self._in_hand)
            if not self._plans or self.depth >= self.capacity:
                break
        with suppress(OSError):  # the journal keeps it then
            while self._has_news():
                await self._note()

    async def close(self) -> None:
        """Break off what the sender has in hand, and keep what was sent and given up."""
        if self._making is not None:
            self._making.cancel()
        for task in self._in_hand:
            task.cancel()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(LAST_NOTE_SECONDS):
                await self._note()

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._first and self._first[0][0] <= now:
            self._queue.append(heapq.heappop(self._first)[2])
        if self._down_since is not None:
            self._probe(now)
            return
        while self._later and self._later[0][0] <= now:
            self._again.append(heapq.heappop(self._later)[2])
        while self._queue and len(self._in_hand) < self._at_once:
            self._begin(self._queue.popleft())
        # Those that keep failing leave room for the others.
        while (
            self._again
            and self._again_in_hand < AGAIN_AT_ONCE
            and len(self._in_hand) < self._at_once
        ):
            self._begin(self._again.popleft())

    def _probe(self, now: float) -> None:
        """Try one job: a new one if there is any, so that no bad job keeps the others waiting."""
        if self._in_hand or now < self._probe_at:
            return
        if self._queue or self._again:
            self._begin((self._queue or self._again).popleft())
        elif self._later:
            self._begin(heapq.heappop(self._later)[2])

    def _begin(self, opened: _Open) -> None:
        if opened.outcome is not Outcome.QUEUED:
            return
        opened.in_hand = True
        again = opened.tries > 0
        self._again_in_hand += again

        def ended(task: asyncio.Task[None]) -> None:
            self._in_hand.discard(task)
            opened.in_hand = False
            self._again_in_hand -= again
            if not task.cancelled():
                self._send_due()

        task = asyncio.create_task(self._send(opened))
        self._in_hand.add(task)
        task.add_done_callback(ended)

    async def _send(self, opened: _Open) -> None:
        job = opened.job
        if self._now() >= job.expires:
            self.expired += 1
            self._give_up(opened, TOO_LATE, Outcome.EXPIRED)
        elif opened.tries and time.monotonic() - opened.since >= LIFETIME_SECONDS:
            self._give_up(opened, f"it could not be sent for so long: {opened.reason}")
        else:
            opened.tries += 1
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    detail = await self._sender.send(job)
            except Undeliverable as error:
                self._give_up(opened, str(error))
            except TryLater as error:
                if error.reached != opened.partly:
                    opened.partly = error.reached
                    self._is_up()
                self._try_again(opened, error, error.seconds)
            except Exception as error:
                self._try_again(opened, error)
            else:
                self._have_sent(opened, detail or "")
                self._is_up()

    def _have_sent(self, opened: _Open, detail: str) -> None:
        self.sent += 1
        self._sent_at.append(time.monotonic())
        opened.outcome = Outcome.SENT
        self._tell(opened, detail)
        self._done(opened)
        self._on_sent()

    def _is_up(self) -> None:
        self._failed.clear()
        if self._down_since is not None:
            self._down_since = None
            self._again += (opened for _, _, opened in sorted(self._later))
            self._later.clear()

    def _try_again(self, opened: _Open, error: Exception, least: float = 0.0) -> None:
        if self._is_cancelled(opened):
            return
        opened.reason = repr(error)[:200]
        # What other libraries say may quote an address, and the monitor page is for everyone.
        own = type(error).__module__.startswith("trainhub.")
        self.last_error = str(error)[:200] if own else type(error).__name__
        self.retried += 1
        if opened.partly:
            self._told(Told(opened.job, Outcome.SENT, opened.tries, self._now(), opened.partly))
        else:
            self._tell(opened, self.last_error)
        now = time.monotonic()
        wait = _spread((now - opened.since) * WAIT_SHARE, LAST_WAIT_SECONDS)
        due = now + max(wait, min(least, LONGEST_WAIT_SECONDS))
        heapq.heappush(self._later, (due, next(self._numbers), opened))
        if len(self._failed) < DOWN_AFTER:
            self._failed.add(opened.job.id)
        if len(self._failed) >= DOWN_AFTER:
            self._down_since = now if self._down_since is None else self._down_since
            down = now - self._down_since
            self._probe_at = now + _spread(down * PROBE_SHARE, LAST_PROBE_SECONDS)
        if now >= self._silent_until:
            self._silent_until = now + FAILURE_LOG_SECONDS
            waiting = len(self._open) + len(self._aside)
            logger.warning("notifications are not sent, %d wait: %s", waiting, opened.reason)

    def _is_cancelled(self, opened: _Open) -> bool:
        """Let go of what was cancelled while the sender had it in hand."""
        if opened.cancelled:
            opened.in_hand = False
            self._cancel(opened)
        return opened.cancelled

    def _give_up(self, opened: _Open, reason: str, outcome: Outcome = Outcome.FAILED) -> None:
        if self._is_cancelled(opened):
            return
        if opened.partly:
            self._have_sent(opened, opened.partly)
            return
        opened.reason, opened.given_up = reason, time.monotonic()
        opened.outcome = outcome
        self.last_error = reason
        self._tell(opened, reason)
        self._giving_up[opened.job.id] = opened
        if outcome is Outcome.EXPIRED:
            return  # kept, and no complaint: nothing failed
        self.failed += 1
        self._given_up_at.append(opened.given_up)
        logger.error("job %s is given up after %d tries: %s", opened.job.id, opened.tries, reason)

    def _done(self, opened: _Open) -> None:
        """Let the journal drop the job's record. If the job was set aside, it may do so already."""
        name = opened.job.id
        self._unindex(opened)
        if opened.outcome in (Outcome.FAILED, Outcome.REFUSED):
            self._bury(opened)
        if self._aside.pop(name, None) is not None:
            if opened.given_up is None:
                self._sent_late.append(name)
            return
        del self._open[name]
        self._go_ahead(name, opened.job.position)
        oldest, done = self.oldest, self._ahead_by_position
        while done and (oldest is None or done[0][0] < oldest):
            self.ahead.pop(heapq.heappop(done)[1], None)

    def _index(self, opened: _Open) -> None:
        for topic in _topics(opened.job):
            self._of_topic.setdefault(topic, {})[opened.job.id] = opened

    def _unindex(self, opened: _Open) -> None:
        for topic in _topics(opened.job):
            same = self._of_topic.get(topic)
            if same is not None and same.pop(opened.job.id, None) is not None and not same:
                del self._of_topic[topic]

    def _go_ahead(self, name: str, position: int) -> None:
        """Remember that a job is done, for as long as an older one is not."""
        self.ahead[name] = position
        heapq.heappush(self._ahead_by_position, (position, name))

    # --- keeping what was not sent ----------------------------------------------------------

    def _stale(self) -> list[_Open]:
        """The jobs that are to be set aside."""
        before = time.monotonic() - ASIDE_SECONDS
        room = max(0, min(MOST_ASIDE - len(self._aside), NOTED_AT_ONCE))
        old = takewhile(lambda each: each.since <= before, self._open.values())
        return [each for each in islice(old, room) if each.given_up is None]

    def _has_news(self) -> bool:
        return bool(self._giving_up or self._untrue or self._sent_late or self._stale())

    async def _note(self) -> None:
        async with self._one_note:
            given_up = list(islice(self._giving_up.values(), NOTED_AT_ONCE))
            stale, sent, now = self._stale(), list(self._sent_late), time.monotonic()
            untrue = list(islice(self._untrue.values(), NOTED_AT_ONCE))
            dead = (*given_up, *untrue)
            await self._kept.note([each.undelivered(now) for each in (*stale, *dead)], sent)
            del self._sent_late[: len(sent)]
            for each in untrue:
                del self._untrue[each.job.id]
                if each.job.id in self._dead:
                    self._unearth(each.job.id)
            for each in given_up:
                del self._giving_up[each.job.id]
                self._done(each)
            for each in stale:
                self._put_aside(each)

    def _put_aside(self, opened: _Open) -> None:
        name = opened.job.id
        if name not in self._open:  # it was sent while it was noted
            self._sent_late.append(name)
        elif opened.given_up is None:
            self._done(opened)
            self._aside[name] = opened
            self._index(opened)

    def _noted(self, task: "asyncio.Task[None]") -> None:
        self._noting = None
        if not task.cancelled() and task.exception() is not None:
            self._note_at = time.monotonic() + NOTE_AGAIN_SECONDS
            logger.error("undelivered notifications cannot be kept: %r", task.exception())


def _topics(job: Notification) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return what settles a notification: its topic, or an acknowledgement of its event."""
    return (job.topic, job.user), (f"{job.stream}/{job.seq}", job.user)


def _spread(wait: float, most: float) -> float:
    """Return a wait within its bounds and spread by chance: the jobs failed at the same time."""
    return min(max(wait, FIRST_WAIT_SECONDS), most) * random.uniform(0.5, 1.0)
