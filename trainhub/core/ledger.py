"""The ledger: the way of each notification, from the queue to the person who has seen it.

What becomes of a notification is a record of the log, so it is as durable as an event and reaches
MongoDB in the same way. A record has whole ways, so the newest one of a notification counts.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import ClassVar

from trainhub.core.audience import Audience
from trainhub.core.notifications import Channel, Notification, Outcome, Told

# Events and users whose ways are in memory, for the time at which they are seen.
MOST_WAYS = 20_000
# Ways in one record: more would make one commit long.
WAYS_AT_ONCE = 200

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A notification and what became of it so far, without an address and without a text.

    `event` is the seq of its event in `run`. `at` is the time of the outcome, and `detail` says
    more about it. `seen_at` is the time at which a device of the user acknowledged the event.
    """

    id: str
    run: str
    event: int
    kind: str
    channel: Channel
    user: str
    about: str | None
    queued_at: datetime
    outcome: Outcome
    attempts: int
    at: datetime
    detail: str
    sent_at: datetime | None = None
    seen_at: datetime | None = None

    @property
    def key(self) -> Key:
        """Return the event and the user, which several channels have in common."""
        return self.run, self.event, self.user


@dataclass(frozen=True)
class WaysNoted:
    """What became of some notifications: an event of no stream, which no client is told."""

    audience: ClassVar[Audience] = ()

    at: datetime
    ways: tuple[Way, ...]


class Ledger:
    """The newest ways, and those that the log has still to get."""

    def __init__(self) -> None:
        self._ways: OrderedDict[Key, dict[str, Way]] = OrderedDict()
        self._news: dict[str, Way] = {}

    def __bool__(self) -> bool:
        """True if the log has still to get ways."""
        return bool(self._news)

    def tell(self, told: Told) -> Way | None:
        """Note what became of a notification.

        Return its way if it was only queued. The log need not get that: after a crash the event
        queues it again.
        """
        one = told.notification
        known = self._ways.get((one.stream, one.seq, one.user), {}).get(one.id)
        before = known or _queued(one)
        way = replace(
            before,
            outcome=told.outcome,
            attempts=max(told.attempts, before.attempts),
            at=told.at,
            detail=told.detail,
            sent_at=told.at if told.outcome is Outcome.SENT else before.sent_at,
        )
        self._know(way)
        if known is None and told.outcome is Outcome.QUEUED and not told.attempts:
            return way
        self._news[way.id] = way
        return None

    def saw(self, run: str, event: int, user: str, at: datetime) -> None:
        """Note that a device of the user has acknowledged an event. The first time counts."""
        for way in tuple(self._ways.get((run, event, user), {}).values()):
            if way.seen_at is None:
                seen = self._news[way.id] = replace(way, seen_at=at)
                self._know(seen)

    def recall(self, noted: WaysNoted) -> None:
        """Know again what an earlier process has written to the log."""
        for way in noted.ways:
            self._know(way)

    def take_news(self, now: datetime) -> WaysNoted:
        """Return the next record of ways for the log."""
        names = list(islice(self._news, WAYS_AT_ONCE))
        return WaysNoted(now, tuple(self._news.pop(name) for name in names))

    def _know(self, way: Way) -> None:
        self._ways.setdefault(way.key, {})[way.id] = way
        self._ways.move_to_end(way.key)
        if len(self._ways) > MOST_WAYS:
            self._ways.popitem(last=False)


def _queued(one: Notification) -> Way:
    return Way(
        id=one.id,
        run=one.stream,
        event=one.seq,
        kind=one.kind,
        channel=one.channel,
        user=one.user,
        about=one.about,
        queued_at=one.queued,
        outcome=Outcome.QUEUED,
        attempts=0,
        at=one.queued,
        detail="",
    )
