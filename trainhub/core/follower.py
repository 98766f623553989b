"""A follower of the log: a reader and its consumer, with the calls that drive and close them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trainhub.core.journal import ReaderPlace
from trainhub.core.lateness import Lateness
from trainhub.core.log import Reader


def _go_on(place: ReaderPlace) -> None:
    """Ignore the place: the consumer needs nothing else to resume."""


def _nothing() -> None:
    """Do nothing: the consumer is done with a record when it has accepted it."""


async def _at_once() -> None:
    """Finish or close a consumer that holds no work."""


@dataclass(frozen=True, kw_only=True)
class Follower:
    """One entry of the list that timers, monitor, trimming and shutdown iterate over.

    `shown` is its name in reports. `begin` makes the consumer process its records, and does not
    wait for that. The timer named `timer` calls `turn` every `period` seconds. `resume` gives the
    consumer the place of the previous process. When the hub stops, `finish` processes what it can,
    and then `close` is called. `complaints` returns the consumer's own complaints.
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
        """Resume at the place that the journal has stored."""
        self.resume(await self.reader.open())

    async def turn(self) -> None:
        """Pass on the records that wait in the journal, and begin to process them."""
        await self.reader.catch_up()
        self.begin()
