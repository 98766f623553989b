"""Look-ups in the archive for events that are no longer in memory."""

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

# Look-ups at once. MongoDB has other work too.
LOOKUPS_AT_ONCE = 8


class EventArchive(Protocol):
    """The store of all events. An event arrives there some time after its commit."""

    async def events(
        self, stream: Stream, epoch: str, after: int, most: int
    ) -> Sequence[DomainEvent]:
        """Return at most `most` events of the stream from seq `after` + 1 on, without a gap.

        Raises StoreAway.
        """


class Lookups:
    """The look-ups of one log. Callers share them. None starts while the archive is away."""

    def __init__(self, archive: EventArchive, epoch: str) -> None:
        self.archive = archive
        self.epoch = epoch
        self._fetching: dict[tuple[Stream, int], asyncio.Task[Sequence[Record] | None]] = {}
        self._at_once = Gate(LOOKUPS_AT_ONCE)
        self._breaker = Breaker()

    async def fetch(self, stream: Stream, after: int, count: int) -> Sequence[Record]:
        """Return the stream's records from seq `after` + 1 on, up to a gap, at most about `count`.

        A running look-up that covers `after` serves this call too. Raises StoreAway.
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
        """Ask the archive. None means that it does not answer."""
        async with self._at_once.turn():
            if not self._breaker.allow():
                return None
            try:
                events = await self.archive.events(stream, self.epoch, after, count)
            except StoreAway as error:
                self._breaker.failed()
                logger.info("cannot read old events from the archive: %s", error)
                return None
            self._breaker.succeeded()
        return [Record(0, stream, seq, event) for seq, event in enumerate(events, start=after + 1)]

    def complaints(self) -> list[str]:
        """Return a sentence if the archive does not answer."""
        if not self._breaker.refuses:
            return []
        return ["MongoDB does not answer: clients that were away for long get a SNAPSHOT"]
