"""The wiring of a hub: server, tests and benchmarks build it here, each with its own parts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from trainhub.core.follower import Follower
from trainhub.core.journal import Journal, Record
from trainhub.core.lateness import Lateness
from trainhub.core.log import Reader
from trainhub.core.notifications import Notification, Notifications, Sender, Undelivered, UndeliveredJobs
from trainhub.core.rooms import Delivery, Frame, Room
from trainhub.core.stream import Stream
from trainhub.core.write_buffer import Change, DeadLetters, Store, WriteBuffer
from trainhub.hub import letters
from trainhub.hub.audit import HubArchive
from trainhub.hub.documents import changes
from trainhub.hub.hub import Clock, Hub, OnTaken, ignore
from trainhub.hub.train_rooms import TrainRooms
from trainhub.process.health import Health, Lately
from trainhub.settings import Settings

# The followers by the names under which the journal keeps their places.
NOTIFIED = "notified"
FLUSHED = "flushed"
# Seconds between two turns of each.
DRAIN_SECONDS = 0.2
FLUSH_SECONDS = 0.1


class OwnedStore(Store, Protocol):
    """A store that one hub at a time owns."""

    async def reached(self, position: int) -> None:
        """Note in the store that it has all up to a position. Raises StoreAway."""

    async def holds_all(self) -> bool:
        """Return whether the store has, at this moment, what it is believed to have."""


@dataclass(frozen=True)
class Built:
    """A hub and what follows its log."""

    hub: Hub
    notifications: Notifications
    write_buffer: WriteBuffer
    flushed: Reader
    followers: tuple[Follower, ...]
    health: Health

    async def open(self) -> None:
        """Have each follower go on from its place."""
        for each in self.followers:
            await each.open()

    def follow(self) -> None:
        """Let the followers read the log: they know their places by now."""
        self.hub.follow(*(each.reader for each in self.followers))


def build(
    settings: Settings,
    *,
    journal: Journal,
    store: OwnedStore,
    sender: Sender,
    undelivered: UndeliveredJobs,
    set_aside: Iterable[Undelivered] = (),
    dead_letters: DeadLetters,
    clock: Clock,
    rooms: dict[Stream, Room],
    frame: Frame,
    delivery: Delivery | None = None,
    on_failure: Callable[[BaseException], None],
    archive: HubArchive | None = None,
    health: Health | None = None,
    on_taken: OnTaken = ignore,
) -> Built:
    """Put a hub together. It is not loaded yet, and its followers do not read yet.

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
    )
    health = health or Health()
    health.watch(hub.log.complaints, hub.subscriptions.complaints)

    def jobs(record: Record) -> list[Notification]:
        return list(letters.jobs(hub.state(record.stream), record))

    def changed(record: Record) -> Iterable[Change]:
        made_in = journal.lineage.epoch_at(record.position)
        return changes(hub.runs.present(record.stream), record, hub.epoch, made_in)

    def head() -> int:
        return journal.head

    notifications = Notifications(sender, jobs, undelivered, hub.now)
    buffer = WriteBuffer(store, changed, hub.log.append, dead_letters, reached=store.reached)
    hub.audit.write_to(buffer.add)
    notified = Reader(NOTIFIED, journal, notifications)
    flushed = Reader(FLUSHED, journal, buffer, refilled=True)
    followers = (
        Follower(
            reader=notified,
            shown="notifications",
            timer="notify",
            period=DRAIN_SECONDS,
            begin=notifications.begin_drain,
            resume=lambda place: notifications.resume(place.ahead, set_aside),
            finish=notifications.drain,
            close=notifications.close,
            complaints=notifications.complaints,
            late=Lateness(notified, head, "the oldest notification waits for {} s"),
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
    return Built(hub, notifications, buffer, flushed, followers, health)
