"""A follower of the log: a reader with the consumer behind it, and what drives and ends both."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trainhub.core.journal import ReaderPlace
from trainhub.core.lateness import Lateness
from trainhub.core.log import Reader


def _go_on(place: ReaderPlace) -> None:
    """Take up nothing but the place."""


def _nothing() -> None:
    """Begin nothing: the consumer is done when it has taken a record."""


async def _at_once() -> None:
    """Finish or close a consumer that holds nothing."""


@dataclass(frozen=True, kw_only=True)
class Follower:
    """One entry of the list that timers, monitor, trimming and shutdown go through.

    `shown` is its name in reports. `begin` lets the consumer work off what it has, and waits for
    nothing. The timer of the name `timer` calls it every `period` seconds. `resume` tells the
    consumer the place of an earlier process. `finish` works off what it can when the hub stops;
    `close` comes after that. `complaints` returns what the consumer itself has to say.
    """

    reader: Reader
    shown: str
    timer: str
    period: float
    late: Lateness
    begin: Callable[[], None] = _nothing
    resume: Callable[[ReaderPlace], None] = _go_on
    finish: Callable[[], Awaitable[None]] = _at_once
    close: Callable[[], Awaitable[None]] = _at_once
    complaints: Callable[[], list[str]] = list

    @property
    def name(self) -> str:
        return self.reader.name

    async def open(self) -> None:
        """Go on from the place that the journal has."""
        self.resume(await self.reader.open())

    async def turn(self) -> None:
        """Take the records that wait in the journal, and begin to work them off."""
        await self.reader.catch_up()
        self.begin()
