"""Journal and MongoDB are compared, and one hub at a time owns the database.

A lease in MongoDB (lease.py) names the hub that may write. The owner renews the lease on a timer,
and stores with it the place up to which MongoDB is written. The hub compares journal and MongoDB at
the start, and after MongoDB was away. If MongoDB is behind, it is refilled from the journal. If the
histories have forked, a new epoch begins, whose documents replace those of earlier epochs.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from trainhub.core.journal import Commit, JournalFailed, ReaderPlace
from trainhub.core.lease import RENEW_SECONDS, Lease, LeaseHolder, State, Tenancy
from trainhub.core.lineage import Lineage, StorePlace, Verdict, compare, next_epoch
from trainhub.core.log import Log, Reader
from trainhub.core.stream import Stream
from trainhub.core.write_buffer import Document, Refused, Store, StoreAway, TooNew, WriteBuffer

logger = logging.getLogger("trainhub.stores")

# A write first renews the lease if the last renewal is longer ago than this.
LEASE_FRESH_SECONDS = 2.5
# Seconds without a renewal that are not yet a complaint.
UNRENEWED_SECONDS = 5.0
# Seconds between two reads of another hub's lease during the start.
WATCH_SECONDS = 0.2
# Seconds between two attempts to reach MongoDB while an empty journal waits for it.
WAIT_SECONDS = 1.0
# `trainhub refill` asks for a refill with this file in the data folder.
REFILL_FILE = "refill"
# The prefix of an empty file in the data folder; the last start's id follows. The file survives a
# backup that is copied over the folder, and then shows that the journal is older.
MARK = "started."


class Archive(Store, Protocol):
    """The store of the documents, and of the events that the journal has trimmed."""

    def look_round(self) -> None: ...
    async def adopt_events(
        self, stream: Stream, past: Collection[str], epoch: str, below: int
    ) -> int: ...


class LineageJournal(Protocol):
    """The part of the journal that the comparison needs."""

    lineage: Lineage
    copied: bool
    head: int

    async def start(self, name: str) -> None: ...
    async def begin_epoch(self, epoch: str, after: str | None = None) -> None: ...
    async def first_kept(self) -> dict[Stream, int]: ...


class Stores:
    """The two stores of one hub. The write buffer writes through `write` and `reached`."""

    def __init__(
        self,
        journal: LineageJournal,
        store: Archive,
        lease: Lease,
        folder: Path,
        *,
        alone: bool = False,
    ) -> None:
        """`alone` means that no other hub can reach the database: a lease there is a dead hub's."""
        self._journal = journal
        self._store = store
        self._lease = lease
        self._folder = folder
        self._asked = folder / REFILL_FILE
        self._start = secrets.token_hex(8)
        self._tenancy = Tenancy(lease, self._start, self._is_own, alone=alone)
        self._looking: asyncio.Task[None] | None = None
        # True after the start. From then on a rival does not end this hub.
        self._met = False
        # MongoDB's place as this hub last wrote it. None before the first comparison.
        self._place: StorePlace | None = None
        self._missing = 0
        self._refilled_up_to: int | None = None
        self._log: Log
        self._buffer: WriteBuffer
        self._reader: Reader
        self._on_new_epoch: Callable[[], Awaitable[None]]

    def follow(
        self,
        log: Log,
        buffer: WriteBuffer,
        reader: Reader,
        on_new_epoch: Callable[[], Awaitable[None]],
    ) -> None:
        """Set the parts that a refill restarts, and the call that announces a new epoch."""
        self._log, self._buffer, self._reader = log, buffer, reader
        self._on_new_epoch = on_new_epoch

    # --- starting and stopping ----------------------------------------------------------------

    async def open(self) -> None:
        """Record the start in the journal. A copied journal continues under a new epoch."""
        lineage = self._journal.lineage
        before, starts = lineage.epoch, {each.name for each in lineage.starts}
        marks = list(self._folder.glob(f"{MARK}*"))
        if any(mark.name.removeprefix(MARK) not in starts for mark in marks):
            self._journal.copied = True  # a backup was copied over the folder
        await self._journal.start(self._start)
        (self._folder / f"{MARK}{self._start}").touch(mode=0o600)
        for mark in marks:
            mark.unlink(missing_ok=True)
        if self._journal.copied:
            logger.warning(
                "the journal is a copy of the file on which the hub last ran, so it may be older: "
                "epoch %s begins in place of %s, and clients take a fresh snapshot",
                self._journal.lineage.epoch,
                before,
            )

    async def meet(self) -> None:
        """Compare the stores at the start. Raises RivalHub, TooNew and StoreAway."""
        try:
            await self._look()
            while self._tenancy.state is State.WATCHING:
                await asyncio.sleep(WATCH_SECONDS)
                await self._look()
        finally:
            self._met = True
        if self._tenancy.state is State.RIVAL:
            raise self._tenancy.rival()

    async def wait(self, say: Callable[[str], None]) -> None:
        """Wait until MongoDB answers. Raises RivalHub and TooNew. `say` gets each reason."""
        while True:
            try:
                return await self.meet()
            except TooNew:
                raise
            except StoreAway as error:
                say(str(error))
            await asyncio.sleep(WAIT_SECONDS)

    async def succeed(self) -> None:
        """Begin an epoch that sorts after MongoDB's, so that an empty journal continues from it."""
        place, own = self._place, self._journal.lineage.epoch
        if place is not None and (place.epoch, place.position) != (own, 0):
            await self._journal.begin_epoch(next_epoch([own, place.epoch]), after=place.epoch)
            await self._on_new_epoch()

    async def release(self) -> None:
        """Release the lease, so that the next hub gets the database at once."""
        if self._tenancy.state is State.OWNER:
            self._tenancy.state = State.AWAY
            try:
                await self._lease.release(self._start)
            except StoreAway as error:
                logger.info("the lease was not released: %s", error)

    # --- on a timer -----------------------------------------------------------------------------

    async def renew(self) -> None:
        """Renew the lease. Compare the stores if MongoDB is not as this hub left it."""
        try:
            await self._look()
        except StoreAway as error:
            logger.debug("MongoDB does not answer: %s", error)

    async def holds_all(self) -> bool:
        """Renew the lease, and return whether MongoDB is as this hub left it."""
        before = self._buffer.refills
        await self.renew()
        return self._tenancy.state is State.OWNER and self._buffer.refills == before

    async def _look(self) -> None:
        """Check the lease and the place. Concurrent callers share one check. Raises StoreAway."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_once())
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._looking)

    async def _look_once(self) -> None:
        tenancy = self._tenancy
        if tenancy.state is State.RIVAL:
            return
        try:
            if tenancy.state is not State.OWNER or not await self._is_as_left():
                await self._acquire()
            if tenancy.state is State.OWNER and self._asked.exists():
                logger.info("a refill was asked for")
                await self._refill()
                self._asked.unlink(missing_ok=True)
        except JournalFailed as error:
            self._log.fail(error)
            raise StoreAway("the journal failed") from error
        except StoreAway:
            tenancy.state = State.AWAY
            raise

    async def _is_as_left(self) -> bool:
        """Renew the lease, and return whether MongoDB's place is as this hub left it."""
        before = self._place
        held = await self._tenancy.renew()
        if held is not None and held.place in (before, self._place):
            return True
        self._tenancy.state = State.AWAY
        return False

    async def _acquire(self) -> None:
        tenancy = self._tenancy
        has, held = await tenancy.acquire(self._journal.lineage.epoch)
        if has:
            await self._compare(None if held is None else held.place)
            tenancy.state = State.OWNER
        elif tenancy.state is State.RIVAL and self._met and tenancy.holder is not None:
            logger.critical(
                "the hub of process %d on %s (epoch %s) owns the database: this hub writes "
                "nothing there any more; stop one of the two, and start the other again",
                tenancy.holder.pid,
                tenancy.holder.host,
                tenancy.holder.epoch,
            )

    def _is_own(self, holder: LeaseHolder) -> bool:
        """Return whether a lease is of an earlier start on this journal, which was not copied."""
        starts = {each.name for each in self._journal.lineage.starts}
        return holder.start in starts and not self._journal.copied

    # --- comparing and refilling ----------------------------------------------------------------

    async def _compare(self, place: StorePlace | None) -> None:
        known, lineage = self._place, self._journal.lineage
        flushed = self._reader.saved
        if known is not None and known.epoch == lineage.epoch:
            flushed = max(flushed, known.position)
        verdict = compare(lineage, flushed, place)
        if self._journal.head == 0 or verdict is Verdict.SAME:
            self._place = place  # an empty journal has nothing to compare
            return
        if verdict is Verdict.FORKED:
            assert place is not None
            epoch = next_epoch([lineage.epoch, place.epoch])
            logger.warning(
                "MongoDB has a history (epoch %s, up to %d) that this journal (epoch %s, up to %d) "
                "does not know: epoch %s begins, and the journal's history takes its place",
                place.epoch,
                place.position,
                lineage.epoch,
                self._journal.head,
                epoch,
            )
            await self._journal.begin_epoch(epoch)
            await self._on_new_epoch()
        elif flushed:
            logger.warning(
                "MongoDB has records up to %d, but this journal had written up to %d: MongoDB is "
                "refilled",
                0 if place is None else place.position,
                flushed,
            )
        await self._refill()

    async def _refill(self) -> None:
        """Write all records that the journal still has to MongoDB again."""
        lineage = self._journal.lineage
        place = StorePlace(lineage.epoch, self._start, 0)
        # From here on nothing is trimmed. The reader's new place is durable before MongoDB's.
        self._reader.rewind()
        self._buffer.restart()
        self._store.look_round()
        self._place = place
        await self._log.commit(Commit(places=[ReaderPlace(self._reader.name, 0, {})]))
        if not await self._lease.put(self._start, place, None):
            raise StoreAway("another hub took the database")
        self._missing = await self._adopt_trimmed(lineage)
        self._refilled_up_to = self._journal.head

    async def _adopt_trimmed(self, lineage: Lineage) -> int:
        """Move the trimmed events in MongoDB to the present epoch. Return how many are missing."""
        missing = 0
        for stream, below in (await self._journal.first_kept()).items():
            if self._tenancy.unheard_for > RENEW_SECONDS:
                await self._tenancy.renew()  # many runs may take longer than the lease
            if below > 2:
                missing += await self._store.adopt_events(
                    stream, lineage.past, lineage.epoch, below
                )
        if missing:
            logger.error(
                "%d events are neither in MongoDB nor in the journal any more, which has trimmed "
                "them: restore a later dump of MongoDB, and run `trainhub refill`",
                missing,
            )
        return missing

    # --- the write buffer's store ---------------------------------------------------------------

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        """Write documents. Raises StoreAway if this hub does not own the database."""
        await self._confirm()
        try:
            await self._store.write(collection, documents)
        except Refused:
            raise
        except StoreAway:
            self._doubt()
            raise

    async def reached(self, position: int) -> None:
        """Store MongoDB's new place: all records up to a position. Raises StoreAway."""
        await self._confirm()
        before = self._place
        after = StorePlace(self._journal.lineage.epoch, self._start, position)
        if not await self._lease.put(self._start, after, before):
            self._doubt()
            raise StoreAway("MongoDB is not as this hub left it, and is compared with the journal")
        if self._place is before:
            self._place = after

    async def _confirm(self) -> None:
        if (
            self._tenancy.state is not State.OWNER
            or self._tenancy.unheard_for > LEASE_FRESH_SECONDS
        ):
            await self._look()
        if self._tenancy.state is not State.OWNER:
            raise StoreAway("another hub owns the database")

    def _doubt(self) -> None:
        """Compare before the next write: MongoDB may have been away or replaced."""
        if self._tenancy.state is State.OWNER:
            self._tenancy.state = State.AWAY

    # --- what is wrong --------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """Return sentences on the lease, on a running refill, and on lost events."""
        found = []
        if self._tenancy.state is State.RIVAL:
            found.append(
                "another hub owns the database, and this hub writes nothing there: stop one of the "
                "two, and start the other again"
            )
        elif self._tenancy.state is State.WATCHING:
            found.append("another hub holds the database: whether it lives is not known yet")
        elif not self._buffer.failing and self._tenancy.unheard_for > UNRENEWED_SECONDS:
            found.append("MongoDB does not answer, or refuses the hub its lease")
        if self._refilled_up_to is not None:
            left = self._refilled_up_to - self._reader.done
            if left > 0:
                found.append(f"MongoDB is refilled from the journal: {left} records to go")
            else:
                self._refilled_up_to = None
        if self._missing:
            found.append(
                f"{self._missing} events are neither in MongoDB nor in the journal any more"
            )
        return found
