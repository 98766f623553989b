"""What is older than memory holds, from the archive: once for all, and not while it is away."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from trainhub.core.audience import DomainEvent
from trainhub.core.breaker import Breaker
from trainhub.core.cost import Gate
from trainhub.core.journal import Record
from trainhub.core.stream import Stream
from trainhub.core.write_buffer import StoreAway

logger = logging.getLogger("trainhub.lookups")

# How many runs are looked up at once: MongoDB has other work too.
LOOKUPS_AT_ONCE = 8


class EventArchive(Protocol):
    """Where all events are for good, though not at once."""

    async def events(
        self, stream: Stream, epoch: str, after: int, most: int
    ) -> Sequence[DomainEvent]:
        """The stream's events from seq `after` + 1 on, without a gap, at most `most`.

        Raises StoreAway.
        """


class Lookups:
    """Asks the archive of one log."""

    def __init__(self, archive: EventArchive, epoch: str) -> None:
        self.archive = archive
        self.epoch = epoch
        self._fetching: dict[tuple[Stream, int], asyncio.Task[Sequence[Record] | None]] = {}
        self._at_once = Gate(LOOKUPS_AT_ONCE)
        self._breaker = Breaker()

    async def fetch(self, stream: Stream, after: int, count: int) -> Sequence[Record]:
        """The stream's records from seq `after` + 1 on, up to a gap, at most about `count`.

        A look-up that is under way serves all who miss some of the same. Raises StoreAway.
        """
        covers = [of for of in self._fetching if of[0] == stream and of[1] <= after]
        key = max(covers, default=(stream, after))
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_up(stream, after, count))
            self._fetching[key] = task
            task.add_done_callback(lambda _: self._fetching.pop(key, None))
        found = await asyncio.shield(task)
        if found is None:
            raise StoreAway("the archive does not answer")
        return found[after - key[1] :]

    async def _look_up(self, stream: Stream, after: int, count: int) -> Sequence[Record] | None:
        """None if the archive does not answer."""
        async with self._at_once.turn():
            if not self._breaker.allow():
                return None
            try:
                events = await self.archive.events(stream, self.epoch, after, count)
            except StoreAway as error:
                self._breaker.failed()
                logger.info("what was missed cannot be read: %s", error)
                return None
            self._breaker.succeeded()
        return [Record(0, stream, seq, event) for seq, event in enumerate(events, start=after + 1)]

    def complaints(self) -> list[str]:
        """Return whether the archive is not asked at the moment."""
        if not self._breaker.refuses:
            return []
        return ["MongoDB does not answer: clients that were away for long get a SNAPSHOT"]
