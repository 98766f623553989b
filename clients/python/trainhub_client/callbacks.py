"""The error that the client raises, and the calls of the app's handlers."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
# A token, or a function that fetches one: at the start, and when the hub refuses the last token.
Token = str | Callable[[], str | Awaitable[str | None] | None]
# A handler: a function, or an async function. The next message comes when it has finished.
Told = Callable[[Message], Any]
ToldError = Callable[["HubError"], Any]


class HubError(Exception):
    """An error of the protocol, with its `code`, `message` and `details`.

    `final` is False if the client tries again by itself. docs/reference/errors.md lists the codes,
    also the client's own. One of those is LAPSED: the hub did not answer in time, so the command
    may or may not have happened.
    """

    def __init__(
        self, code: str, message: str, details: Message | None = None, *, final: bool = True
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}
        self.final = final


def error_of(answer: Message) -> HubError:
    """Return the error of an ERROR message."""
    return HubError(answer["code"], answer["message"], answer.get("details"))


def call(told: Callable[..., Any] | None, *values: Any) -> Awaitable[Any] | None:
    """Call a handler, and return its awaitable if it is async.

    An error of the handler is reported, and the client goes on. That includes CancelledError, which
    a handler raises if it reads the result of a cancelled future.
    """
    try:
        result = told(*values) if told is not None else None
    except (Exception, asyncio.CancelledError) as error:
        _report(error)
        return None
    return result if inspect.isawaitable(result) else None


_started: set[asyncio.Future[Any]] = set()


def start(waits: Awaitable[Any] | None, then: Callable[[], None] = lambda: None) -> None:
    """Run what `call` returned in a task, then call `then`. The task's error is reported."""
    if waits is None:
        return

    def done(future: asyncio.Future[Any]) -> None:
        _started.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            _report(error)
        then()

    future = asyncio.ensure_future(waits)
    _started.add(future)  # asyncio itself keeps no reference
    future.add_done_callback(done)


def _report(error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a handler of trainhub_client failed", "exception": error}
    )
