"""What work costs, who pays for it, and how long work is cut into slices.

The hub has one event loop. A caller pays for the CPU time that the loop spends on its behalf, and
long work gives way to all other work after each slice.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

# Seconds that long work may hold the loop, and then leaves it to all other work. A light request
# takes about five turns of the loop: without the pause each of them would wait for a slice.
SLICE = 0.0005
PAUSE = 0.001


class Budget(Protocol):
    """A caller's budget."""

    def spend(self, seconds: float) -> None:
        """Take seconds of CPU time from the budget, which may go into debt."""

    def check(self) -> None:
        """Raise RateLimited if the budget is in debt."""


class Bill:
    """What pays for one request or one socket. None while its caller is not known, or free."""

    __slots__ = ("account",)

    def __init__(self) -> None:
        self.account: Budget | None = None

    def spend(self, seconds: float) -> None:
        if self.account is not None:
            self.account.spend(seconds)

    def check(self) -> None:
        if self.account is not None:
            self.account.check()


# Tasks inherit the bill of the task that starts them.
_bill: ContextVar[Bill | None] = ContextVar("bill", default=None)


def open_bill(bill: Bill) -> None:
    """Let this bill pay for what the current task starts from now on."""
    _bill.set(bill)


@coroutine
def paid(work: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
    """Run `work`; the bill of the current task pays for the CPU time of each of its steps."""
    bill = _bill.get()
    if bill is None:
        return (yield from work.__await__())
    failed: BaseException | None = None
    while True:
        start = time.thread_time()
        try:
            waits = work.send(None) if failed is None else work.throw(failed)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            bill.spend(time.thread_time() - start)
        try:
            yield waits
            failed = None
        except BaseException as error:
            failed = error


async def in_slices(items: Iterable[T], pause: float = PAUSE) -> AsyncIterator[T]:
    """Yield the items. After each slice of the consumer's work the loop is free for `pause`."""
    since = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - since > SLICE:
            await asyncio.sleep(pause)
            since = time.monotonic()


class Gate:
    """Lets `most` pieces of long work run at once; the callers that wait take turns.

    A caller with a hundred pieces of work delays another caller by one piece.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[Budget | None, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn. By then the caller may be in debt."""
        bill = _bill.get()
        await self._enter(None if bill is None else bill.account)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, caller: Budget | None) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the turn came, and is not used
            raise

    def _leave(self) -> None:
        while self._waiting:
            caller = next(iter(self._waiting))
            queue = self._waiting.pop(caller)
            turn = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # behind the other callers
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


# One piece of long work holds the loop for a slice in each of its turns.
LONG_WORK = Gate(1)

# For work in C that lets the loop's thread run meanwhile, as compression does.
_thread = ThreadPoolExecutor(1, "trainhub-aside")


async def aside(call: Callable[..., T], *arguments: Any) -> T:
    """Run a call in a thread of its own; the caller pays for the thread's CPU time."""

    def measured() -> tuple[T, float]:
        start = time.thread_time()
        return call(*arguments), time.thread_time() - start

    done: Awaitable[tuple[T, float]] = asyncio.get_running_loop().run_in_executor(_thread, measured)
    result, seconds = await done
    if (bill := _bill.get()) is not None:
        bill.spend(seconds)
    return result
