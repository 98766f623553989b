"""A follower of the log: a reader with the consumer behind it, and what drives and ends both."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trainhub.core.lateness import Lateness
from trainhub.core.log import Reader


@dataclass(frozen=True)
class Follower:
    """One entry of the list that timers, monitor, trimming and shutdown go through.

    `shown` is its name in reports. `begin` lets the consumer work off what it has, and waits for
    nothing. The timer of the name `timer` calls it every `period` seconds. `finish` works off what
    it can when the hub stops; `close` comes after that. `complaints` returns what the consumer
    itself has to say.
    """

    reader: Reader
    shown: str
    timer: str
    period: float
    begin: Callable[[], None]
    finish: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    complaints: Callable[[], list[str]]
    late: Lateness

    @property
    def name(self) -> str:
        return self.reader.name

    async def turn(self) -> None:
        """Take the records that wait in the journal, and begin to work them off."""
        await self.reader.catch_up()
        self.begin()
