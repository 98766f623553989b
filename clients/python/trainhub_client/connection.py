"""The client: it stays connected, identifies, follows trains, and sends commands in order."""

import asyncio
import contextlib
import inspect
import logging
import math
import secrets
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from random import uniform
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from trainhub_client.callbacks import (
    HubError,
    Message,
    Token,
    Told,
    ToldError,
    call,
    error_of,
    start,
)
from trainhub_client.following import Subscription
from trainhub_client.hub_clock import HubClock
from trainhub_client.link import Link
from trainhub_client.link_life import SLOW_SECONDS
from trainhub_client.train_state import Run
from trainhub_client.waiting import KEPT_SECONDS, CommandQueue, Login, Waiting, subject_of

# Seconds before the next try to connect: the first upper bound, and the last.
BACKOFF_SECONDS = 1.0, 30.0
# Seconds: after a connection of this length the backoff starts again from its first step.
STEADY_SECONDS = 10.0
# Seconds, more or less, before `state` asks for a SNAPSHOT that a whole train may need.
RENEW_SECONDS = 0.5
# Seconds that the hub can make a client wait, at most.
LONGEST_RETRY_SECONDS = 3600.0
# Bytes of a message that may take long on a slow link.
LARGE_BYTES = 16 * 1024
# The hub's close code for a refused token.
TOKEN_REFUSED = 4403
# Error codes after which the client sends a command again.
LATER = {"UNAVAILABLE", "RATE_LIMITED"}
# Error codes after which it subscribes again: the train may be registered later.
NOT_YET = {*LATER, "UNKNOWN_TRAIN"}

logger = logging.getLogger("trainhub_client")


class Client:
    """A client of one hub, made by `connect`.

    `state` is connecting, live, waiting, refused or closed. `reason` says why it is waiting or
    refused.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        user: str | None = None,
        storage: MutableMapping[str, str] | None = None,
        on_state: Callable[[str], Any] | None = None,
        on_error: ToldError | None = None,
        backoff: tuple[float, float] = BACKOFF_SECONDS,
    ) -> None:
        self.state = "connecting"
        self.reason = ""
        self._url = url.replace("http", "ws", 1) if url.startswith("http") else url
        try:
            parse_uri(self._url)
        except InvalidURI as error:
            raise ValueError(f"{error}: give a ws://, wss://, http:// or https:// one") from error
        self._on_state = on_state
        self._on_error = on_error
        self._queue = CommandQueue(storage, self._complain)
        self._login = self._log_in(token, user)
        self._identifying: asyncio.Future[Message] | None = None
        self._fresh = asyncio.Event()
        self._backoff = backoff
        self._tries = 0
        self._not_before = -math.inf
        self._attempt: asyncio.Timeout | None = None
        self._link: Link | None = None
        self._opened: float | None = None
        self._clock = HubClock()
        self._user: str | None = None
        self._identity: Message | None = None
        self._who: tuple[Any, ...] | None = None  # user, role and trains of the last connection
        self._ready = False
        self._subscriptions: list[Subscription] = []
        self._asked: Waiting | None = None  # one command at a time, so that they stay in order
        self._later: set[asyncio.TimerHandle] = set()

    async def __aenter__(self) -> Self:
        self._queue.restore()
        self._task = asyncio.create_task(self._stay_connected())
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the client. Waiting commands fail; the next client sends those in a storage."""
        self._close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def waiting(self) -> list[Waiting]:
        """Return the unanswered commands in order, including those of an earlier program."""
        return list(self._queue.entries)

    @property
    def identity(self) -> Message | None:
        """Return the user, role, trains and expiresAt that the hub has accepted; None without."""
        return self._identity

    def now(self) -> datetime | None:
        """Return the hub's time, for countdowns: this machine's clock may be wrong.

        None means that there was no connection yet.
        """
        seconds = self._clock.at(self._now())
        return None if math.isnan(seconds) else datetime.fromtimestamp(seconds, UTC)

    async def identify(self, token: Token | None, *, user: str | None = None) -> Message:
        """Become another user, and return IDENTIFIED. Raises HubError if the hub refuses.

        `token` None means no user. Users see different things, so each subscription gets a new
        SNAPSHOT.
        """
        self._check_open()
        before, self._login = self._login, self._log_in(token, user)
        login = self._login
        again = HubError("SUPERSEDED", "identify was called again before the hub answered")
        self._settle(lambda waiter: waiter.set_exception(again))
        identified = self._identifying = asyncio.get_running_loop().create_future()
        identified.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._ready:
            self._ready = False  # no command is sent while the user changes
            link = self._link
            try:
                await self._find_token(login)
            except BaseException:
                if self._login is login:
                    self._settle(lambda waiter: waiter.cancel())
                    self._go_back(before, link)
                raise
            if self._login is login and link is not None and self._link is link:
                self._switch(login, before, link)
        else:
            self._fresh.set()
            self._start_again()
        message: Message = await identified
        return message

    def subscribe(
        self,
        train_no: str,
        start_date: str | None = None,
        *,
        since: Message | None = None,
        on_event: Told | None = None,
        on_snapshot: Told | None = None,
        on_figures: Told | None = None,
        on_next_run: Told | None = None,
        on_error: ToldError | None = None,
        on_change: Callable[[Run], Any] | None = None,
    ) -> Subscription:
        """Follow a train, also after reconnects. Its events come by iteration or to handlers.

        With `on_snapshot` an iteration gives events only; with `on_event` it gives nothing. `since`
        of an earlier subscription continues from there. If the hub does not know the train yet, the
        client subscribes again later. `on_error` gets that error and a final refusal. Without
        `start_date`, `on_next_run` gets NEXT_RUN when another run of the train takes over.
        `on_change` gets the subscription's `state` after each change.
        """
        subscription = Subscription(
            self,
            train_no,
            start_date,
            since,
            on_event,
            on_snapshot,
            on_figures,
            on_next_run,
            on_error,
            on_change,
        )
        self._subscriptions.append(subscription)
        self.catch_up(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        joined = subscription._joined
        subscription.end()
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            if joined:
                self._leave(subscription)

    async def command(
        self, type_: str, /, *, key: str | None = None, within: float = KEPT_SECONDS, **fields: Any
    ) -> Any:
        """Send a command as soon as the hub can be reached, and return its result.

        Raises HubError; its code is LAPSED if no answer came `within` seconds. A caller that stops
        waiting does not cancel the command.
        """
        self._check_open()
        message = {**fields, "type": type_, "key": key or secrets.token_hex(16)}
        entry = self._queue.add(message, self._login, min(within, KEPT_SECONDS))
        self._pump()
        return await asyncio.shield(entry.answer)

    def claim(self, key: str) -> None:
        """Send a waiting command that has no user as the current user."""
        if not self._ready or self._user is None:
            identify_first = "a command is claimed as the current user: identify first"
            raise HubError("NOT_IDENTIFIED", identify_first)
        self._queue.claim(key, self._user)
        self._pump()

    def discard(self, key: str) -> None:
        """Drop a waiting command, which fails with DISCARDED. The hub may have carried it out."""
        self._queue.discard(key)

    def check(self) -> None:
        """Ping the hub now. If it does not answer, the socket is replaced."""
        if self._link is not None:
            self._link.check()

    def _check_open(self) -> None:
        if self.state == "closed":
            raise HubError("CLOSED", "this client was closed")

    # --- the connection ---------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            self._tell("connecting")
            login = self._login
            try:
                reason = await self._be_connected(login)
            except HubError as refused:
                if login is self._login:
                    await self._wait_for_a_token(refused)
            else:
                if login is self._login:
                    await self._wait_to_try_again(reason)

    async def _be_connected(self, login: Login) -> str:
        """Connect, stay connected, and return why the connection ended.

        Raises HubError if the client needs another token before it can try again.
        """
        self._opened, link = None, None
        try:
            async with asyncio.timeout(None) as self._attempt:
                await self._find_token(login)
                if login.token is not None and login.token == login.refused:
                    raise _token_refused()
                link = self._link = await Link.open(self._url, self._is_slow)
                await link.listen(self._hear)
            return "the hub closed the connection"
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code == TOKEN_REFUSED:
                self._refuse(login)
            return (link and link.why) or str(error)
        except (OSError, WebSocketException, TimeoutError) as error:
            return str(error) or type(error).__name__
        except HubError:
            raise
        except Exception as error:  # an unexpected error is reported, and the client goes on
            broken = f"the connection was given up: {type(error).__name__}: {error}"
            self._complain(HubError("BROKEN", broken, final=False))
            return broken
        finally:
            self._attempt = None
            self._detach()

    async def _find_token(self, login: Login) -> None:
        """Fetch a token for a login that has no token, or only a refused token.

        Raises ConnectionError if the app's function fails, and HubError if its result is no text.
        """
        if login.token is not None and login.token != login.refused:
            return
        found = await self._fetch(login.source) if callable(login.source) else login.source
        if found is not None and not isinstance(found, str):
            kind = type(found).__name__
            raise HubError("BAD_TOKEN", f"the token is of the type {kind}: give a text")
        login.token = found
        if found is not None:
            self._name(login, subject_of(found))

    async def _fetch(self, source: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                found = source()
                return await found if inspect.isawaitable(found) else found
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise ConnectionError("there is no token: the app's function was cancelled") from None
        except Exception as error:  # the app's own function may raise any error
            reason = f"there is no token: {type(error).__name__}: {error}"
            raise ConnectionError(reason) from error

    def _start_again(self) -> None:
        """End the open or opening connection, so that the next one uses the new login."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            if self._link is not None:
                self._link.abort("another login")
            attempt.reschedule(self._now())

    def _detach(self) -> None:
        self._link, self._ready, self._asked = None, False, None
        for timer in self._later:
            timer.cancel()
        self._later.clear()
        for each in self._subscriptions:
            each.leave()

    async def _wait_for_a_token(self, refused: HubError) -> None:
        for each in self._subscriptions:
            each.give_error(refused)
        self._settle(lambda waiter: waiter.set_exception(refused))
        self._fresh.clear()
        self._tell("refused", refused.message)
        await self._fresh.wait()

    async def _wait_to_try_again(self, reason: str) -> None:
        if self._opened is not None and self._now() - self._opened > STEADY_SECONDS:
            self._tries = 0
        logger.info("not connected: %s", reason)
        self._tell("waiting", reason)
        first, most = self._backoff
        backoff = uniform(0, min(most, first * 2 ** min(self._tries, 30)))
        self._tries += 1
        await asyncio.sleep(max(0.0, self._not_before - self._now()) + backoff)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Close a client whose task has ended, so that no caller waits for it."""
        if self.state != "closed":
            logger.error("the client's task has ended: %r", task)
            self._close(HubError("CLOSED", "this client's task was ended from outside"))

    def _close(self, error: HubError | None = None) -> None:
        if self.state == "closed":
            return
        self._detach()
        closed = error or HubError("CLOSED", "this client was closed")
        self._queue.close(closed)
        self._settle(lambda waiter: waiter.set_exception(closed))
        for each in self._subscriptions:
            each.end(error)
        self._tell("closed")

    def _is_slow(self) -> bool:
        """Return whether a large message is on its way to the hub.

        A large message from the hub needs no extra time: its bytes are signs of life.
        """
        return self._asked is not None and self._asked.size > LARGE_BYTES

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # --- telling the app, and the hub -------------------------------------------------------

    def _tell(self, state: str, reason: str = "") -> None:
        self.state, self.reason = state, reason
        start(call(self._on_state, state))

    def _complain(self, error: HubError) -> None:
        if self._on_error is None:
            logger.warning("%s", error)
        else:
            start(call(self._on_error, error))

    def _send(self, message: Message) -> None:
        if self._link is not None:
            self._link.send(message)

    def _ask(self, message: Message, answered: Callable[[Message], None]) -> None:
        if self._link is not None:
            self._link.ask(message, answered)

    # --- what the hub says ------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        """Handle a message that is no answer. An error that this raises replaces the socket."""
        self._wait_as_told(message)
        if message["type"] == "WELCOME":
            self._welcome(message)
        elif message["type"] == "PONG":
            self._clock.set(_seconds_of(message.get("serverTime")), self._now())
        elif "trainNo" in message and "startDate" in message:
            self._pass(message)

    def _wait_as_told(self, message: Message) -> None:
        """Obey the hub's `retryAfterMs`, if the message has one."""
        if "retryAfterMs" in message:
            self._not_before = self._now() + _retry_seconds(message)

    def _welcome(self, message: Message) -> None:
        assert self._link is not None
        self._opened = self._now()
        self._clock.set(_seconds_of(message.get("serverTime")), self._opened)
        self._link.welcomed(message["heartbeatSeconds"])
        login = self._login

        def identified(answer: Message) -> None:
            self._wait_as_told(answer)
            if answer["type"] != "ERROR":
                self._enter(answer)
                return
            if answer["code"] == "BAD_TOKEN":
                self._refuse(login)
            raise ConnectionError(f"the hub refuses IDENTIFY: {answer['code']}")

        if login.token is None:
            self._enter({})
        else:
            self._ask({"type": "IDENTIFY", "token": login.token}, identified)

    def _refuse(self, login: Login) -> None:
        """Note that the token was refused. Raises HubError if the app cannot fetch another."""
        login.refused = login.token
        if not callable(login.source):
            raise _token_refused()

    def _enter(self, identified: Message) -> None:
        user = identified.get("user")
        who = user, identified.get("role"), identified.get("trains")
        changed = self._who is not None and self._who != who
        self._ready, self._user, self._who = True, user, who
        fields = ("user", "role", "trains", "expiresAt")
        known = {name: identified[name] for name in fields if name in identified}
        self._identity = None if user is None else known
        self._name(self._login, user)
        self._settle(lambda waiter: waiter.set_result(identified))
        for each in self._subscriptions:
            if changed:
                each.restart()  # another user saw other events, so its place means nothing here
            self._rejoin(each)
        self._tell("live")
        self._pump()
        if others := self._queue.others(user, self._login):
            wait = "commands of another or an unknown user wait: claim or discard them"
            self._complain(HubError("OTHERS_WAIT", wait, {"keys": others}, final=False))

    # --- who it is --------------------------------------------------------------------------

    def _log_in(self, source: Token | None, user: str | None) -> Login:
        if source is not None and not callable(source) and not isinstance(source, str):
            raise TypeError("token is neither a text nor a function: give one of these")
        login = Login(source, user, fixed=user is not None)
        if isinstance(source, str):
            self._name(login, subject_of(source))
        return login

    def _name(self, login: Login, user: str | None) -> None:
        if user is not None and not login.fixed:
            login.user = user
            self._queue.name(login)

    def _settle(self, how: Callable[[asyncio.Future[Message]], object]) -> None:
        waiter, self._identifying = self._identifying, None
        if waiter is not None and not waiter.done():
            how(waiter)

    def _switch(self, login: Login, before: Login, link: Link) -> None:
        """Become another user on the open socket: leave the rooms, then identify again."""
        for each in self._subscriptions:
            if each._joined:
                self._leave(each)

        def answered(answer: Message) -> None:
            if answer["type"] != "ERROR":
                self._enter(answer)
                return
            self._settle(lambda waiter: waiter.set_exception(error_of(answer)))
            self._go_back(before, link)

        identify = {"type": "IDENTIFY", "token": login.token}
        self._ask(identify if login.token is not None else {"type": "LOGOUT"}, answered)

    def _go_back(self, before: Login, link: Link | None) -> None:
        """Continue as the user before."""
        self._login = before
        if self._link is None or self._link is not link:
            self._start_again()
            return
        self._ready = True
        for each in self._subscriptions:
            if not each._joined:
                self._rejoin(each)
        self._pump()

    # --- trains -----------------------------------------------------------------------------

    def catch_up(self, subscription: Subscription) -> None:
        """Ask for the messages after a subscription's place, if there is a connection."""
        if self._ready:  # else `_enter` asks on the next connection
            self._rejoin(subscription)

    def _rejoin(self, subscription: Subscription) -> None:
        subscription.expects = True
        wanted = {
            "trainNo": subscription.train_no,
            "startDate": subscription.start_date,
            "since": subscription.last,
            "nextRun": (subscription.undated and subscription.start_date is not None) or None,
        }
        message = {name: value for name, value in wanted.items() if value is not None}

        def answered(answer: Message) -> None:
            if subscription not in self._subscriptions:
                if answer["type"] != "ERROR":
                    self._send({"type": "UNSUBSCRIBE_TRAIN", **_run_of(answer)})
            elif answer["type"] != "ERROR":
                subscription.join(answer)
            else:
                self._refused(subscription, answer)

        self._ask({"type": "SUBSCRIBE_TRAIN", **message}, answered)

    def _refused(self, subscription: Subscription, answer: Message) -> None:
        error = error_of(answer)
        error.final = error.code not in NOT_YET
        subscription.leave()
        if error.final:
            self._subscriptions.remove(subscription)
            subscription.end(error)
        else:
            self._rejoin_later(subscription, answer)
        if error.code == subscription.refusal or error.code == "RATE_LIMITED":
            return  # the app was told already, or does not need to know
        subscription.refusal = error.code
        if subscription.on_error is not None:
            start(call(subscription.on_error, error))
        elif not error.final or not subscription.is_iterated:  # else the iteration raises it
            self._complain(error)

    def _rejoin_later(self, subscription: Subscription, answer: Message) -> None:
        first, most = self._backoff
        backoff = min(most, first * 2 ** min(subscription.tries, 30))
        subscription.tries += 1
        self._after(answer, backoff, lambda: self.catch_up(subscription))

    def renew(self, subscription: Subscription) -> None:
        """Ask for a SNAPSHOT for `state` alone. The app's events go on meanwhile."""
        self._renew_later(subscription, {}, RENEW_SECONDS)

    def _renew_later(self, subscription: Subscription, after: Message, backoff: float) -> None:
        def answered(answer: Message) -> None:
            if answer["type"] == "ERROR":
                subscription.renews = False
                if answer["code"] in NOT_YET:
                    self._renew_later(subscription, answer, self._backoff[1])

        def ask() -> None:
            if subscription.is_stale and not subscription.renews:
                subscription.renews = True
                run = {"trainNo": subscription.train_no, "startDate": subscription.start_date}
                self._ask({"type": "SUBSCRIBE_TRAIN", **run}, answered)

        self._after(after, backoff, ask)

    def _leave(self, subscription: Subscription) -> None:
        run = {"trainNo": subscription.train_no, "startDate": subscription.start_date}
        subscription.leave()
        if not any(each.is_of(run) for each in self._subscriptions):
            self._send({"type": "UNSUBSCRIBE_TRAIN", **run})

    def _pass(self, message: Message) -> None:
        for each in [each for each in self._subscriptions if each.is_of(message)]:
            if each.is_older(message):  # this hub is behind the app
                each.leave()
                self._rejoin_later(each, {})
            else:
                each.take(message)

    def handed(self, message: Message) -> None:
        """Acknowledge an event that the app has: its passenger needs no push and no e-mail then."""
        if message.get("ack") and self._who is not None and self._who[1] == "PASSENGER":
            self._send({"type": "ACK", **_run_of(message), "seq": message["seq"]})

    # --- commands ---------------------------------------------------------------------------

    def _pump(self) -> None:
        if not self._ready or self._asked is not None:
            return
        entry = self._asked = self._queue.next(self._user, self._login, self._clock.at(self._now()))
        if entry is None:
            return

        def answered(answer: Message) -> None:
            if answer["type"] == "ERROR" and answer["code"] in LATER:
                self._after(answer, self._backoff[0], go_on)
                return
            if answer["type"] == "ERROR":
                self._queue.fail(entry, error_of(answer))
            else:
                self._queue.succeed(entry, answer["result"])
            go_on()

        def go_on() -> None:
            self._asked = None
            self._pump()

        self._ask(entry.message, answered)

    def _after(self, answer: Message, backoff: float, then: Callable[[], None]) -> None:
        """Call `then` after the time in the hub's answer and a random backoff."""

        def go() -> None:
            self._later.discard(timer)
            then()

        seconds = _retry_seconds(answer) + backoff * uniform(0.5, 1.5)
        timer = asyncio.get_running_loop().call_later(seconds, go)
        self._later.add(timer)


def connect(
    url: str,
    *,
    token: Token | None = None,
    user: str | None = None,
    storage: MutableMapping[str, str] | None = None,
    on_state: Callable[[str], Any] | None = None,
    on_error: ToldError | None = None,
    backoff: tuple[float, float] = BACKOFF_SECONDS,
) -> Client:
    """Make a client for `async with`. It connects by itself until the end of the block.

    `user` names the token's user, for a start without a network to fetch the token. `storage` keeps
    the waiting commands, PNRs included: a mapping of texts on disk such as `shelve.open(path)`.
    `on_error` gets the errors that belong to no call; without it they are logged. `backoff` has the
    first and the last bound, in seconds, of the wait for the next try.
    """
    return Client(
        url,
        token=token,
        user=user,
        storage=storage,
        on_state=on_state,
        on_error=on_error,
        backoff=backoff,
    )


def _run_of(message: Message) -> Message:
    return {"trainNo": message["trainNo"], "startDate": message["startDate"]}


def _seconds_of(time: str | None) -> float:
    return math.nan if time is None else datetime.fromisoformat(time).timestamp()


def _retry_seconds(message: Message) -> float:
    return min(float(message.get("retryAfterMs", 0)) / 1000, LONGEST_RETRY_SECONDS)


def _token_refused() -> HubError:
    return HubError("BAD_TOKEN", "the hub refuses this token: give a fresh one")
