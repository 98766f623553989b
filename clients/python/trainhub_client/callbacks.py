"""How the client tells the app: the error it raises, and calls of the app's handlers."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
# A token, or what fetches a fresh one: at first, and whenever the hub refuses the last.
Token = str | Callable[[], str | Awaitable[str | None] | None]
# A handler: a function, or an async function. The next message comes when it has finished.
Told = Callable[[Message], Any]
ToldError = Callable[["HubError"], Any]


class HubError(Exception):
    """What the hub refused, by the protocol's `code`, `message` and `details`.

    `final` is false if the client asks again by itself. docs/reference/errors.md lists the
    client's own codes, such as LAPSED: not answered in time, so whether the command happened is
    not known.
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
    """Return the error that an ERROR message says."""
    return HubError(answer["code"], answer["message"], answer.get("details"))


def call(told: Callable[..., Any] | None, *values: Any) -> Awaitable[Any] | None:
    """Call a handler, and return what there is to await if it is async.

    The handler's own error is reported, and the client goes on. A handler may raise CancelledError,
    as the result of a cancelled future does: that does not cancel the client.
    """
    try:
        result = told(*values) if told is not None else None
    except (Exception, asyncio.CancelledError) as error:
        _report(error)
        return None
    return result if inspect.isawaitable(result) else None


_started: set[asyncio.Future[Any]] = set()


def start(waits: Awaitable[Any] | None, then: Callable[[], None] = lambda: None) -> None:
    """Run what `call` returned in a task of its own; its error is reported. Then call `then`."""
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
