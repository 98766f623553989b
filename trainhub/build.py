"""The wiring of a hub: server, tests and benchmarks build hubs here, each with its own parts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from trainhub.core.audience import Standing
from trainhub.core.contacts import Contacts
from trainhub.core.errors import Unavailable
from trainhub.core.follower import Follower
from trainhub.core.journal import Journal, Record
from trainhub.core.lateness import Lateness
from trainhub.core.log import Reader
from trainhub.core.notifications import (
    Channel,
    Notifications,
    Plan,
    Sender,
    Told,
    Undelivered,
    UndeliveredJobs,
)
from trainhub.core.rooms import Delivery, Frame, Room
from trainhub.core.stream import Stream
from trainhub.core.write_buffer import Change, DeadLetters, Store, WriteBuffer
from trainhub.domain.model import Role
from trainhub.hub import documents
from trainhub.hub.audit import HubArchive
from trainhub.hub.documents import changes
from trainhub.hub.hub import Clock, Hub, OnTaken, ignore
from trainhub.hub.letters import Escalation, Letters
from trainhub.hub.train_rooms import TrainRooms
from trainhub.process.activity import Act, Activity
from trainhub.process.health import Health, Lately
from trainhub.settings import Settings

# The names under which the journal has the followers' places.
NOTIFIED = "notified"
FLUSHED = "flushed"
# Seconds between two turns of the notifications.
DRAIN_SECONDS = 0.2
# Seconds between two turns of the write buffer.
FLUSH_SECONDS = 0.1
# Seconds from a send until its place is saved. After a crash between both it is sent again.
SOON_SECONDS = 0.01


class OwnedStore(Store, Protocol):
    """A store that one hub at a time owns."""

    async def reached(self, position: int) -> None:
        """Record in the store that it has all up to a position. Raises StoreAway."""

    async def holds_all(self) -> bool:
        """Return whether the store still has all that was written to it."""


@dataclass(frozen=True)
class Built:
    """A hub and the followers of its log."""

    hub: Hub
    queues: Mapping[Channel, Notifications]
    write_buffer: WriteBuffer
    flushed: Reader
    followers: tuple[Follower, ...]
    health: Health

    @property
    def notified(self) -> list[str]:
        """Return the names under which the journal has the channels' places."""
        return [each.name for each in self.followers if each.name.startswith(NOTIFIED)]

    async def retry(self, dead: Iterable[Undelivered]) -> int:
        """Try dead letters again, each over its channel. Returns how many. Raises OSError."""
        letters = list(dead)
        count = 0
        for channel, queue in self.queues.items():
            count += await queue.retry(each for each in letters if each.job.channel is channel)
        return count

    async def open(self) -> None:
        """Let each follower find its place."""
        for each in self.followers:
            await each.open()

    def follow(self) -> None:
        """Let the followers read the log, after `open`."""
        self.hub.follow(*(each.reader for each in self.followers))


def build(
    settings: Settings,
    *,
    journal: Journal,
    store: OwnedStore,
    senders: Mapping[Channel, Sender],
    undelivered: UndeliveredJobs,
    set_aside: Iterable[Undelivered] = (),
    contacts: Contacts | None = None,
    dead_letters: DeadLetters,
    clock: Clock,
    rooms: dict[Stream, Room],
    frame: Frame,
    delivery: Delivery | None = None,
    on_failure: Callable[[BaseException], None],
    archive: HubArchive | None = None,
    health: Health | None = None,
    on_taken: OnTaken = ignore,
    activity: Activity | None = None,
) -> Built:
    """Build a hub. The hub is not loaded yet, and its followers do not read yet.

    `rooms` is the table that the sockets share, `frame` makes their frames, and `delivery` writes
    them to a crowd. `set_aside` are jobs that an earlier process could not send. `archive` has the
    audit trail, and the events that memory does not hold. `on_taken` gets each message of a socket
    that was carried out.
    """
    hub = Hub(
        journal,
        TrainRooms(rooms, frame, delivery),
        clock,
        on_failure,
        settings.journal_limit << 20,
        archive,
        store.holds_all,
        on_taken,
        activity,
    )
    health = health or Health()
    health.watch(hub.log.complaints, hub.subscriptions.complaints)

    def changed(record: Record) -> Iterable[Change]:
        if not record.in_stream:
            return (documents.told(way, record.position, hub.epoch) for way in record.event.ways)
        made_in = journal.lineage.epoch_at(record.position)
        return changes(hub.runs.present(record.stream), record, hub.epoch, made_in)

    def head() -> int:
        return journal.head

    buffer = WriteBuffer(store, changed, hub.log.append, dead_letters, reached=store.reached)
    hub.audit.write_to(buffer.add)
    letters = Letters(
        escalation=Escalation(
            settings.escalate_push_seconds,
            settings.escalate_mail_seconds,
            settings.delay_threshold_minutes,
        )
    )
    letters.present = lambda run, user: hub.rooms.is_present(run, Standing(Role.PASSENGER, user))
    hub.rooms.wants_ack = letters.are_due
    if contacts is not None:
        letters.preferences = contacts.preferences

    def plan(channel: Channel, record: Record) -> Plan:
        if not record.in_stream:
            return Plan()
        return letters.plan(hub.state(record.stream), record, [channel])

    def told(what: Told) -> None:
        job = what.notification
        kind = f"{what.outcome} by {job.channel}"
        detail = "%s of event %d of %s: %s, tries %d"
        ids = job.kind, job.seq, job.stream, kind, what.attempts
        hub.activity.note(Act.NOTIFICATIONS, kind, detail, *ids)
        way = hub.ledger.tell(what)
        if way is not None:
            buffer.add(documents.told(way, what.notification.position, hub.epoch))

    saving = Soon(hub.save_places)
    queues = {
        channel: Notifications(
            sender,
            partial(plan, channel),
            undelivered,
            hub.now,
            told=told,
            sent=saving.request,
        )
        for channel, sender in senders.items()
    }

    def acknowledged(run: Stream, seq: int, user: str) -> None:
        hub.ledger.saw(run, seq, user, hub.now())
        for queue in queues.values():
            queue.settle(f"{run}/{seq}", user)

    hub.acknowledged = acknowledged
    flushed = Reader(FLUSHED, journal, buffer, refilled=True)
    followers = (
        *(
            _notifying(channel, queue, journal, head, set_aside)
            for channel, queue in queues.items()
        ),
        Follower(
            reader=flushed,
            shown="mongodb",
            timer="flush",
            period=FLUSH_SECONDS,
            begin=buffer.begin_flush,
            finish=buffer.flush_now,
            complaints=buffer.complaints,
            late=Lateness(flushed, head, "MongoDB lacks changes that are {} s old"),
        ),
    )
    for each in followers:
        health.watch(each.complaints, each.reader.complaints)
        health.observe(each.late)
    for reader in hub.readers:
        health.watch(reader.complaints)
    health.observe(
        Lately(
            lambda: buffer.refused,
            "MongoDB refused {} documents for good within an hour: they are in dead_letters",
        )
    )
    return Built(hub, queues, buffer, flushed, followers, health)


def _notifying(
    channel: Channel,
    queue: Notifications,
    journal: Journal,
    head: Callable[[], int],
    set_aside: Iterable[Undelivered],
) -> Follower:
    """Return the follower that sends over one channel."""
    name = channel.lower()
    # In older journals one reader had the place of all channels.
    heir_of = None if channel is Channel.EMAIL else NOTIFIED
    reader = Reader(
        NOTIFIED if channel is Channel.EMAIL else f"{NOTIFIED}-{name}",
        journal,
        queue,
        heir_of=heir_of,
    )
    own = [each for each in set_aside if each.job.channel is channel]
    return Follower(
        reader=reader,
        shown=name,
        timer=f"notify-{name}",
        period=DRAIN_SECONDS,
        begin=queue.begin_drain,
        resume=lambda place: queue.resume(place.ahead, own),
        finish=queue.drain,
        close=queue.close,
        complaints=queue.complaints,
        late=Lateness(
            reader,
            head,
            f"the oldest notification by {name} waits for {{}} s",
            overdue=lambda: queue.oldest_seconds,
        ),
    )


class Soon:
    """A call that is made once for all requests within SOON_SECONDS."""

    def __init__(self, call: Callable[[], Awaitable[None]]) -> None:
        self._call = call
        self._task: asyncio.Task[None] | None = None

    def request(self) -> None:
        """Request the call, which comes in SOON_SECONDS unless one is due already."""
        if self._task is None:
            self._task = asyncio.create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(SOON_SECONDS)
        self._task = None  # later requests need another call
        with suppress(Unavailable):  # the journal has failed, and the hub stops
            await self._call()
