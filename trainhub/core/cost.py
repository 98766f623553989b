"""The cost of work, the caller that pays for it, and the slices of long work.

The hub has one event loop. A caller pays for the CPU time that the loop spends on its requests.
Long work pauses after each slice, so that all other work can run.
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

# Seconds that long work may block the loop.
SLICE = 0.0005
# Seconds between two slices. A light request takes about five turns of the loop: without the pause
# each turn would wait for a slice.
PAUSE = 0.001


class Budget(Protocol):
    """A caller's budget."""

    def spend(self, seconds: float) -> None:
        """Subtract seconds of CPU time from the budget, which may become negative."""

    def check(self) -> None:
        """Raise RateLimited if the budget is negative."""


class Bill:
    """The account that pays for one request or socket.

    `account` is None while the caller is unknown, and for callers that do not pay.
    """

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
    """Charge this bill for `paid` work of the current task, and of tasks that it starts."""
    _bill.set(bill)


@coroutine
def paid(work: Coroutine[Any, Any, T]) -> Generator[Any, None, T]:
    """Run `work`, and charge the current task's bill for the CPU time of each step."""
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
    """Let at most `most` pieces of long work run at once. The waiting callers take turns.

    A caller with a hundred pieces of work delays another caller by one piece.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[Budget | None, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn. The caller's budget may be negative by then."""
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
                self._leave()  # pass the unused turn on
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

# For C code that releases the GIL, for example compression.
_thread = ThreadPoolExecutor(1, "trainhub-aside")


async def aside(call: Callable[..., T], *arguments: Any) -> T:
    """Run a call in the worker thread. The caller pays for the CPU time."""

    def measured() -> tuple[T, float]:
        start = time.thread_time()
        return call(*arguments), time.thread_time() - start

    done: Awaitable[tuple[T, float]] = asyncio.get_running_loop().run_in_executor(_thread, measured)
    result, seconds = await done
    if (bill := _bill.get()) is not None:
        bill.spend(seconds)
    return result
