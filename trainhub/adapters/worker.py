"""One thread that carries out blocking calls, in order, for an event loop.

An executor would pass each result through a second future and one more turn of the loop. Each
durable command would pay for that.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A thread that makes calls. `run` queues a call; `stop` ends the thread after all calls."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Queue a call, and return a future of its result or of the exception that it raises."""
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
            with suppress(RuntimeError):  # the loop is closed, so no caller waits any more
                loop.call_soon_threadsafe(_settle, done, result, error)
            # The wait for the next call may be long, and these objects may be large.
            del each, call, done, result, error


_Call = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


def _settle(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.done():
        return  # the caller was cancelled
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
