"""A client of the hub's live protocol, for asyncio: it needs `websockets` and nothing of the hub.

    async with connect("ws://127.0.0.1:8888/ws", token=fetch_token) as client:
        train = client.subscribe("12345")
        await train.command("MARK_BOARDED", pnr="4512345601", index=1)
        async for event in train:
            print(event["type"], event["data"])

However often the socket breaks, each event of a train comes once and in order, and each command
happens once: what was asked is kept, in a `storage` also over a restart of the program, and asked
again under its idempotency key. `docs/clients.md` says more.
"""

import asyncio
import contextlib
import inspect
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from random import uniform
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, WebSocketException

Message = dict[str, Any]
# A token, or what fetches a fresh one: at first, and whenever the hub refuses the last.
Token = str | Callable[[], str | Awaitable[str]]
Told = Callable[[Message], None]

# The hub keeps a key's answer for 24 hours; what is older could happen twice.
KEPT_SECONDS = 23.5 * 3600
MOST_BYTES = 64 * 1024 - 100  # of one message, less its id
MOST_HEARD_BYTES = 64 * 1024 * 1024  # the snapshot of the largest train is some 8 MB
# Messages of one train that wait for whoever iterates; what comes then is asked again later.
MOST_UNREAD = 1000
MOST_WAITING = 1000
BACKOFF_SECONDS = 1.0, 30.0
# A connection that lived so long was a good one: the backoff begins anew.
STEADY_SECONDS = 10.0
# A hub that is silent for so long, when it was asked, is gone.
ANSWER_SECONDS = 15.0
CLOSE_SECONDS = 1.0
TOKEN_REFUSED = 4403
# At DEBUG it would log each frame, tokens and names with them.
wire = logging.getLogger("trainhub.client.wire")
wire.setLevel(logging.WARNING)
# The hub would take these later: they are asked again, and nobody is told.
LATER = {"UNAVAILABLE", "RATE_LIMITED"}


class HubError(Exception):
    """What the hub refused, by the protocol's `code`, `message` and `details`.

    The client's own codes are LAPSED (not answered in time: whether the command happened is not
    known), QUEUE_FULL and CLOSED.
    """

    def __init__(self, code: str, message: str, details: Message | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details or {}


class Subscription:
    """One train that is followed. To iterate gives its events, and a SNAPSHOT where one came."""

    def __init__(
        self,
        client: "Client",
        train_no: str,
        start_date: str | None,
        since: Message | None,
        on_event: Told | None,
        on_snapshot: Told | None,
        on_figures: Told | None,
    ) -> None:
        self.train_no = train_no
        self.start_date = start_date
        # The last event that was taken in, for a later `subscribe` to the same run.
        self.since = since
        # The newest BOARDING_UPDATE.
        self.figures: Message | None = None
        self._client = client
        self._on_event, self._on_snapshot, self._on_figures = on_event, on_snapshot, on_figures
        self._unread: deque[Message | HubError] = deque()
        self._news = asyncio.Event()
        self._joined = False
        self._behind = False
        self._ended = False

    async def command(self, type_: str, /, **fields: Any) -> Any:
        """A command on this very run: also when it is asked again after midnight."""
        run = {"trainNo": self.train_no}
        if self.start_date is not None:
            run["startDate"] = self.start_date
        return await self._client.command(type_, **{**run, **fields})

    def unsubscribe(self) -> None:
        """Hear no more of it; an iteration ends when it has given what came before."""
        self._client.unsubscribe(self)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Raises HubError if the hub refuses the subscription or the token."""
        while True:
            while self._unread:
                item = self._unread.popleft()
                if isinstance(item, HubError):
                    raise item
                yield item
            if self._ended:
                return
            if self._behind:
                self._behind = False
                self._joined = False  # what comes before the hub's answer comes again after it
                self._client._catch_up(self)
            self._news.clear()
            await self._news.wait()

    # --- for the client ---------------------------------------------------------------------

    def _join(self, answer: Message) -> None:
        # From here on it is that run, also when the train's next one is in service.
        self.train_no, self.start_date = answer["trainNo"], answer["startDate"]
        self.since = self.since or {"epoch": answer["epoch"], "seq": 0}
        self._joined = True

    def _is_of(self, message: Message) -> bool:
        run = message.get("trainNo"), message.get("startDate")
        return self._joined and run == (self.train_no, self.start_date)

    def _take(self, message: Message) -> bool:
        """Whether it was news."""
        seq = message.get("seq")
        if seq is None:
            self.figures = message
            _tell(self._on_figures, message)
            return True
        assert self.since is not None
        snapshot = message["type"] == "SNAPSHOT"
        if self._behind or (not snapshot and seq <= self.since["seq"]):
            return False
        told = self._on_snapshot if snapshot else self._on_event
        if told is None and not self._has_room():
            return False
        self.since = {"epoch": message.get("epoch", self.since["epoch"]), "seq": seq}
        if told is not None:
            _tell(told, message)
        elif self._on_event is None:
            self._give(message)
        return True

    def _has_room(self) -> bool:
        if self._on_event is not None:
            return True  # nobody iterates
        # Whoever iterates is too slow: what does not fit is asked for when there is room again.
        self._behind = len(self._unread) >= MOST_UNREAD
        return not self._behind

    def _give(self, item: Message | HubError) -> None:
        self._unread.append(item)
        self._news.set()

    def _end(self, error: HubError | None = None) -> None:
        self._joined, self._ended = False, True
        if error is not None:
            self._unread.append(error)
        self._news.set()


@dataclass(eq=False)
class Waiting:
    """A command that is not answered yet; `answer` can be awaited, by as many as like to."""

    message: Message
    user: str | None
    asked_at: float
    until: float
    answer: asyncio.Future[Any] = field(repr=False)
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


class Client:
    """`connect` makes one. `state` is connecting, live, waiting, refused or closed."""

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        storage: MutableMapping[str, str] | None = None,
        on_state: Callable[[str], None] | None = None,
        backoff: tuple[float, float] = BACKOFF_SECONDS,
    ) -> None:
        self.state = "connecting"
        self._url = url.replace("http", "ws", 1) if url.startswith("http") else url
        self._source = token
        self._token: str | None = None
        self._refused: str | None = None
        self._fresh = asyncio.Event()
        self._identifying: list[asyncio.Future[Message]] = []
        self._on_state = on_state
        self._backoff = backoff
        self._tries = 0
        self._not_before = 0.0
        self._socket: ClientConnection | None = None
        self._user: str | None = None
        self._ready = False
        self._ids = 0
        self._answers: dict[int, Callable[[Message], None]] = {}
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []
        self._queue = _Queue(storage)
        self._asked: Waiting | None = None  # one at a time, so that they stay in order
        self._later: set[asyncio.TimerHandle] = set()

    async def __aenter__(self) -> Self:
        self._queue.restore()
        self._task = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends it. Commands that wait fail; what a storage holds is asked by the next client."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._queue.close()
        for each in self._subscriptions:
            each._end()
        self._tell("closed")

    @property
    def waiting(self) -> list[Waiting]:
        """The commands that are not answered yet, in order, also those of an earlier program."""
        return list(self._queue.entries)

    async def identify(self, token: Token | None) -> Message:
        """Who to be from now on; waits for IDENTIFIED, and raises HubError if it is refused.

        Without a token one is nobody again. What is shown to whom differs, so each subscription
        gets a new SNAPSHOT.
        """
        before = self._source, self._token
        identified: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._identifying.append(identified)
        self._source, self._token, self._refused = token, None, None
        self._fresh.set()
        if self._ready:
            self._ready = False  # no command goes under a name that is about to change
            try:
                await self._find_token()
            except ConnectionError:
                self._identifying.remove(identified)
                self._source, self._token = before
                self._ready = True
                self._pump()
                raise

            def answered(answer: Message) -> None:
                if answer["type"] == "ERROR":  # it goes on as who it was
                    self._source, self._token = before
                    self._identifying.remove(identified)
                    identified.set_exception(_error_of(answer))
                    self._ready = True
                    self._pump()
                else:
                    self._enter(answer)

            who = {"type": "IDENTIFY", "token": self._token} if self._token else {"type": "LOGOUT"}
            self._ask(who, answered)
        return await identified

    def subscribe(
        self,
        train_no: str,
        start_date: str | None = None,
        *,
        since: Message | None = None,
        on_event: Told | None = None,
        on_snapshot: Told | None = None,
        on_figures: Told | None = None,
    ) -> Subscription:
        """A train's events, from now on and over every reconnect: by iteration, or by callbacks.

        With `on_snapshot` an iteration gives events only; with `on_event` there is none. `since`
        is another subscription's, to go on from there.
        """
        subscription = Subscription(
            self, train_no, start_date, since, on_event, on_snapshot, on_figures
        )
        self._subscriptions.append(subscription)
        self._catch_up(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        joined = subscription._joined
        subscription._end()
        if subscription not in self._subscriptions:
            return
        self._subscriptions.remove(subscription)
        run = {"trainNo": subscription.train_no, "startDate": subscription.start_date}
        if joined and not any(each._is_of(run) for each in self._subscriptions):
            self._send({"type": "UNSUBSCRIBE_TRAIN", **run})

    async def command(
        self, type_: str, /, *, key: str | None = None, within: float = KEPT_SECONDS, **fields: Any
    ) -> Any:
        """Ask a command, now or as soon as the hub can be reached; its result.

        Raises HubError, LAPSED if it is not answered `within` seconds. Whoever stops waiting does
        not take the command back.
        """
        message = {**fields, "type": type_, "key": key or secrets.token_hex(16)}
        if len(json.dumps(message, ensure_ascii=False).encode()) > MOST_BYTES:
            raise HubError("BAD_MESSAGE", "a message has at most 64 KB: take several")
        entry = self._queue.add(message, self._user, min(within, KEPT_SECONDS))
        self._pump()
        return await asyncio.shield(entry.answer)

    # --- the connection ---------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            self._tell("connecting")
            opened = 0.0
            try:
                if not await self._find_token():
                    await self._wait_for_a_token()
                    continue
                async with open_socket(
                    self._url,
                    compression=None,
                    max_size=MOST_HEARD_BYTES,
                    open_timeout=ANSWER_SECONDS,
                    ping_timeout=ANSWER_SECONDS,
                    close_timeout=CLOSE_SECONDS,
                    logger=wire,
                ) as self._socket:
                    opened = time.monotonic()
                    await self._listen(self._socket)
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code == TOKEN_REFUSED:
                    self._refused = self._token
            except _TokenRefused:
                self._refused = self._token
            except (OSError, WebSocketException, TimeoutError):
                pass  # it is tried again
            finally:
                self._detach()
            if opened and time.monotonic() - opened > STEADY_SECONDS:
                self._tries = 0
            await self._wait_to_try_again()

    async def _find_token(self) -> bool:
        """Whether there is one that was not refused, or none is wanted."""
        if self._source is None:
            return True
        if self._token is None or self._token == self._refused:
            if isinstance(self._source, str):
                self._token = self._source
            else:
                try:
                    found = self._source()
                    self._token = await found if inspect.isawaitable(found) else found
                except Exception as error:  # whatever the app's own function fails with
                    raise ConnectionError("there is no token") from error
        return self._token != self._refused

    async def _wait_for_a_token(self) -> None:
        refused = HubError("BAD_TOKEN", "the hub refuses this token: give a fresh one")
        for each in self._subscriptions:
            each._give(refused)
        for waiter in self._identifying:
            waiter.set_exception(refused)
        self._identifying.clear()
        self._fresh.clear()
        self._tell("refused")
        await self._fresh.wait()

    async def _wait_to_try_again(self) -> None:
        self._tell("waiting")
        first, most = self._backoff
        backoff = uniform(0, min(most, first * 2 ** min(self._tries, 30)))
        self._tries += 1
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()) + backoff)

    async def _listen(self, socket: ClientConnection) -> None:
        self._outgoing = asyncio.Queue()
        writer = asyncio.create_task(self._write(socket))
        try:
            if self._token is None:
                self._enter({})
            else:
                self._ask({"type": "IDENTIFY", "token": self._token}, self._identified)
            async for text in socket:
                self._hear(json.loads(text))
        finally:
            writer.cancel()

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # whoever reads hears of it too
            while True:
                await socket.send(json.dumps(await self._outgoing.get(), ensure_ascii=False))

    def _detach(self) -> None:
        self._socket, self._ready, self._asked = None, False, None
        self._answers.clear()
        for timer in self._later:
            timer.cancel()
        self._later.clear()
        for each in self._subscriptions:
            each._joined = False

    def _tell(self, state: str) -> None:
        self.state = state
        if self._on_state is not None:
            self._on_state(state)

    def _send(self, message: Message) -> None:
        if self._socket is not None:
            self._outgoing.put_nowait(message)

    def _ask(self, message: Message, answered: Callable[[Message], None]) -> None:
        self._ids += 1
        self._answers[self._ids] = answered
        self._send({**message, "id": self._ids})

    # --- what the hub says ------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        if "retryAfterMs" in message:
            self._not_before = time.monotonic() + message["retryAfterMs"] / 1000
        answered = self._answers.pop(message.get("id", 0), None)
        if answered is not None:
            answered(message)
        elif "trainNo" in message and "startDate" in message:
            self._pass(message)

    def _identified(self, answer: Message) -> None:
        if answer["type"] != "ERROR":
            self._enter(answer)
        elif answer["code"] == "BAD_TOKEN":
            raise _TokenRefused
        else:
            raise ConnectionError(answer["code"])

    def _enter(self, identified: Message) -> None:
        self._ready = True
        self._user = identified.get("user")
        self._queue.name_them(self._user)
        for waiter in self._identifying:
            waiter.set_result(identified)
        self._identifying.clear()
        for each in self._subscriptions:
            if not each._joined:
                self._rejoin(each)
        self._tell("live")
        self._pump()

    def _catch_up(self, subscription: Subscription) -> None:
        if self._ready:  # else it is done on the next connection
            self._rejoin(subscription)

    def _rejoin(self, subscription: Subscription) -> None:
        wanted = {
            "trainNo": subscription.train_no,
            "startDate": subscription.start_date,
            "since": subscription.since,
        }
        message = {name: value for name, value in wanted.items() if value is not None}

        def answered(answer: Message) -> None:
            if subscription not in self._subscriptions:
                if answer["type"] != "ERROR":
                    self._send({"type": "UNSUBSCRIBE_TRAIN", **_run_of(answer)})
            elif answer["type"] != "ERROR":
                subscription._join(answer)
            elif answer["code"] in LATER:
                self._after(answer, lambda: self._rejoin(subscription))
            else:
                self._subscriptions.remove(subscription)
                subscription._end(_error_of(answer))

        self._ask({"type": "SUBSCRIBE_TRAIN", **message}, answered)

    def _pass(self, message: Message) -> None:
        news = [each._take(message) for each in self._subscriptions if each._is_of(message)]
        if message["type"] == "UPGRADE_OFFER" and any(news):
            self._send({"type": "ACK", **_run_of(message), "seq": message["seq"]})

    # --- commands ---------------------------------------------------------------------------

    def _pump(self) -> None:
        if not self._ready or self._asked is not None:
            return
        entry = self._asked = self._queue.next(self._user)
        if entry is None:
            return

        def answered(answer: Message) -> None:
            if answer["type"] == "ERROR" and answer["code"] in LATER:
                self._after(answer, go_on)
                return
            if answer["type"] == "ERROR":
                self._queue.fail(entry, _error_of(answer))
            else:
                self._queue.succeed(entry, answer["result"])
            go_on()

        def go_on() -> None:
            self._asked = None
            self._pump()

        self._ask(entry.message, answered)

    def _after(self, answer: Message, then: Callable[[], None]) -> None:
        """Ask again a while after the hub said that it would take it later."""
        seconds = answer.get("retryAfterMs", 0) / 1000 + self._backoff[0] * uniform(0.5, 1.5)

        def go() -> None:
            self._later.discard(timer)
            then()

        timer = asyncio.get_running_loop().call_later(seconds, go)
        self._later.add(timer)


def connect(
    url: str,
    *,
    token: Token | None = None,
    storage: MutableMapping[str, str] | None = None,
    on_state: Callable[[str], None] | None = None,
    backoff: tuple[float, float] = BACKOFF_SECONDS,
) -> Client:
    """A client for `async with`. It connects by itself, and stays until the end of the block.

    `storage` keeps the commands that wait: a mapping of texts on disk, such as `shelve.open(path)`;
    PNRs stand in it. `backoff` is the first and the most seconds to wait for the next try.
    """
    return Client(url, token=token, storage=storage, on_state=on_state, backoff=backoff)


class _TokenRefused(Exception):
    """The hub did not take the token on IDENTIFY."""


class _Queue:
    """The commands that wait for an answer, oldest first."""

    def __init__(self, storage: MutableMapping[str, str] | None) -> None:
        self.entries: list[Waiting] = []
        self._storage = storage
        self._last = 0.0

    def restore(self) -> None:
        """What an earlier program left."""
        found = [json.loads(text) for text in (self._storage or {}).values()]
        for each in sorted(found, key=lambda each: float(each["askedAt"])):
            self._last = max(self._last, each["askedAt"])
            self._put(each["message"], each["user"], each["askedAt"], each["until"])

    def add(self, message: Message, user: str | None, within: float) -> Waiting:
        if len(self.entries) >= MOST_WAITING:
            full = f"{MOST_WAITING} commands wait for the hub: wait until some are answered"
            raise HubError("QUEUE_FULL", full)
        self._last = max(time.time(), self._last + 1e-3)  # rises, so that it is their order too
        entry = self._put(message, user, self._last, self._last + within)
        self._keep(entry)
        return entry

    def next(self, user: str | None) -> Waiting | None:
        return next((each for each in self.entries if each.user == user), None)

    def name_them(self, user: str | None) -> None:
        """Commands from before it was known whose they are: now it is. Others' wait for them."""
        for entry in self.entries:
            if entry.user is None and user is not None:
                entry.user = user
                self._keep(entry)

    def succeed(self, entry: Waiting, result: Any) -> None:
        if self._drop(entry) and not entry.answer.done():
            entry.answer.set_result(result)

    def fail(self, entry: Waiting, error: HubError) -> None:
        if self._drop(entry) and not entry.answer.done():
            entry.answer.set_exception(error)

    def close(self) -> None:
        for entry in self.entries:
            if entry.timer is not None:
                entry.timer.cancel()
            if not entry.answer.done():
                entry.answer.set_exception(HubError("CLOSED", "this client was closed"))
        self.entries.clear()

    def _put(self, message: Message, user: str | None, asked_at: float, until: float) -> Waiting:
        loop = asyncio.get_running_loop()
        entry = Waiting(message, user, asked_at, until, loop.create_future())
        # One of an earlier program has nobody who waits for it.
        entry.answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        lapsed = "the hub was not reached in time: whether this command happened is not known"
        entry.timer = loop.call_later(
            until - time.time(), self.fail, entry, HubError("LAPSED", lapsed)
        )
        self.entries.append(entry)
        return entry

    def _drop(self, entry: Waiting) -> bool:
        if entry not in self.entries:
            return False
        self.entries.remove(entry)
        if entry.timer is not None:
            entry.timer.cancel()
        if self._storage is not None:
            self._storage.pop(entry.message["key"], None)
            self._sync()
        return True

    def _keep(self, entry: Waiting) -> None:
        if self._storage is None:
            return
        kept = {
            "message": entry.message,
            "user": entry.user,
            "askedAt": entry.asked_at,
            "until": entry.until,
        }
        self._storage[entry.message["key"]] = json.dumps(kept)
        self._sync()

    def _sync(self) -> None:
        sync = getattr(self._storage, "sync", None)  # a shelf has it, a dict has not
        if sync is not None:
            sync()


def _run_of(message: Message) -> Message:
    return {"trainNo": message["trainNo"], "startDate": message["startDate"]}


def _error_of(answer: Message) -> HubError:
    return HubError(answer["code"], answer["message"], answer.get("details"))


def _tell(told: Told | None, message: Message) -> None:
    """A handler's own error is reported, and takes nothing with it."""
    try:
        if told is not None:
            told(message)
    except Exception as error:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a handler of trainhub.client failed", "exception": error}
        )
