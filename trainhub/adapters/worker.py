"""One thread that carries out blocking calls, in order, for an event loop.

An executor does the same for many threads. It passes each result through a second future and one
more turn of the loop, and each durable command would pay for that.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A thread of its own. `run` hands it a call, `stop` ends it after the calls before."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Return the future result of a call, or of the exception that the call raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._calls.put((call, loop, done))
        return done

    def stop(self) -> None:
        """Wait until all calls are done, and end the thread."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (each := self._calls.get()) is not None:
            call, loop, done = each
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop has ended, and nothing waits any more
                loop.call_soon_threadsafe(_settle, done, result, error)
            # The next call may be long in coming, and these may be large.
            del each, call, done, result, error


_Call = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


def _settle(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.done():
        return  # the caller was cancelled
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
