"""One client's conversation, without a socket: a message in, its answer out.

Every message except ACK gets its answer, or ERROR. A message with an error changes nothing, and the
conversation goes on.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, cast

from trainhub.access.identity import ANONYMOUS, Identity, Tokens
from trainhub.core.answers import check_key
from trainhub.core.errors import (
    BadMessage,
    HubError,
    NotIdentified,
    RateLimited,
    TooManyRooms,
    Unavailable,
)
from trainhub.core.rooms import Listener
from trainhub.core.wire import error_fields, parse, read_id
from trainhub.domain.commands import Command
from trainhub.domain.errors import UnknownTrain
from trainhub.domain.model import RunKey, number_of
from trainhub.domain.train import TrainState
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import (
    Ack,
    Identify,
    Logout,
    Ping,
    SubscribeFleet,
    SubscribeTrain,
    UnsubscribeFleet,
    UnsubscribeTrain,
    identified,
    moment_text,
    next_run,
    read_message,
    run_fields,
)
from trainhub.hub.subscriptions import most_rooms

logger = logging.getLogger("trainhub.session")

SendAnswer = Callable[[Mapping[str, Any]], None]


class Session:
    """One client's identity and rooms. `listener` is its socket; `send` sends it an answer."""

    __slots__ = (
        "_address",
        "_anonymous",
        "_closed",
        "_hub",
        "_listener",
        "_send",
        "_tokens",
        "_undated",
        "bad",
        "identity",
        "is_busy",
    )

    def __init__(
        self,
        hub: Hub,
        tokens: Tokens,
        listener: Listener,
        send: SendAnswer,
        *,
        anonymous: bool = True,
        address: str | None = None,
    ) -> None:
        self._hub = hub
        self._tokens = tokens
        self._listener = listener
        self._send = send
        self._anonymous = anonymous
        self._address = address
        self.identity: Identity = ANONYMOUS
        self.bad = 0  # how many messages were not well formed
        self.is_busy = False  # True while a message is being answered
        self._closed = False
        # The runs that the client subscribed to without a date → the run that it was told last.
        self._undated: dict[RunKey, RunKey] = {}

    @property
    def is_idle(self) -> bool:
        """Whether the client has no token, is in no room, and does not follow the fleet."""
        hub, listener = self._hub, self._listener
        follows = hub.rooms.rooms_of(listener) or listener in hub.fleet
        return self.identity.role is None and not follows

    async def receive(self, text: str | bytes) -> None:
        """Carry out one message and answer it. Never raises."""
        number: str | int | None = None

        def answer(message: Mapping[str, Any]) -> None:
            self._send(message if number is None else {**message, "id": number})

        self.is_busy = True
        try:
            if isinstance(text, bytes):
                raise BadMessage("messages are text frames, not binary ones")
            data = parse(text)
            number = read_id(data)
            message = read_message(data)
            if isinstance(message, Command):
                key = check_key(data["key"]) if "key" in data else None
                await self._command(message, key, answer)
            else:
                await _ANSWERS[type(message)](self, message, answer)
            self._hub.on_taken(data, message)
        except HubError as error:
            self.bad += isinstance(error, BadMessage)
            self._hub.activity.refused(error.code, "socket", self.identity.role)
            answer({"type": "ERROR", **error_fields(error)})
        except Exception:
            logger.exception("a message could not be answered")
            failed = Unavailable(
                "the hub failed at this message: ask its operator, who finds the reason in the log"
            )
            answer({"type": "ERROR", **error_fields(failed)})
        finally:
            self.is_busy = False
            if self._closed:  # the client went while it was joining a room
                self.close()

    def rate_limited(self, text: str | bytes, seconds: float) -> None:
        """Reject a message above the client's rate, under the message's `id` if it has one."""
        error = RateLimited("too many messages: wait before the next one")
        number = None
        with suppress(BadMessage):
            number = read_id(parse(text))
        wait = math.ceil(seconds * 1000)
        fields = {"type": "ERROR", **error_fields(error), "retryAfterMs": wait}
        self._send(fields if number is None else {**fields, "id": number})

    def identify(self, token: str) -> None:
        """Become the token's user, before the first message. Raises BadToken."""
        self.identity = self._tokens.identify(token)
        self._send(identified(self.identity))

    def objection(self) -> str | None:
        """Return why the client's token is not valid any more. None if it is."""
        return self._tokens.objection(self.identity)

    def close(self) -> None:
        """Leave every room: the client has gone."""
        self._closed = True
        self._hub.rooms.leave_all(self._listener, lost=True)
        self._hub.fleet.leave(self._listener)
        if not self.is_busy:
            # Without this cycle the socket is freed now, and not by a long garbage collection.
            self._listener = self._send = cast(Any, None)

    def tell_next_runs(self, numbers: Collection[str]) -> None:
        """Tell a client that subscribed without a date which run of a number took over."""
        for run in [run for run in self._undated if _number(run) in numbers]:
            self._tell_next_run(run)

    def _expect_next_run(self, run: RunKey) -> None:
        self._undated[run] = run
        if len(self._undated) > most_rooms(self.identity):  # a room may have closed meanwhile
            del self._undated[next(iter(self._undated))]
        self._tell_next_run(run)

    def _tell_next_run(self, run: RunKey) -> None:
        with suppress(HubError):  # no run is meant, or one of several
            found = self._hub.find(_number(run), None, self.identity).run
            if _order(found) > _order(self._undated[run]):
                self._undated[run] = found
                told = next_run(run, found)
                self._hub.log.append(then=lambda: self._send(told))  # what it says is durable then

    async def _command(self, command: Command, key: str | None, answer: SendAnswer) -> None:
        result = await self._hub.execute(command, self.identity, key, self._address)
        answer({"type": "DONE", "result": result})

    async def _identify(self, message: Identify, answer: SendAnswer) -> None:
        identity = self._tokens.identify(message.token)
        await self._become(identity, identified(identity), answer)

    async def _logout(self, message: Logout, answer: SendAnswer) -> None:
        await self._become(ANONYMOUS, {"type": "LOGGED_OUT"}, answer)

    async def _become(
        self, identity: Identity, told: Mapping[str, Any], answer: SendAnswer
    ) -> None:
        """Become another user. Raises TooManyRooms before anything has changed."""
        runs = self._hub.rooms.rooms_of(self._listener)
        most = most_rooms(identity)
        if len(runs) > most:
            raise TooManyRooms(f"as that user you may be in {most} rooms: leave some first")
        self.identity = identity
        # The client leaves its rooms, so that it gets nothing more as the previous user, and
        # then joins them again.
        self._hub.rooms.leave_all(self._listener)
        answer(told)
        for run in runs if self._may_subscribe else ():
            # The answer stands even if a join fails: a run may leave the hub meanwhile.
            with suppress(UnknownTrain, Unavailable):
                state = self._hub.state(run)
                await self._hub.subscriptions.join(
                    self._listener, self.identity, state, None, lambda _: None
                )
        if not self._may_subscribe:
            self._undated.clear()
        for run in list(self._undated):
            self._tell_next_run(run)

    @property
    def _may_subscribe(self) -> bool:
        return self._anonymous or self.identity.role is not None

    async def _subscribe(self, message: SubscribeTrain, answer: SendAnswer) -> None:
        if not self._may_subscribe:
            raise NotIdentified("this hub needs a token before you subscribe: IDENTIFY first")
        state = self._hub.find(message.train_no, message.start_date, self.identity)
        await self._hub.subscriptions.join(
            self._listener,
            self.identity,
            state,
            message.since,
            lambda fields: answer({"type": "SUBSCRIBED", **fields}),
        )
        if message.start_date is None or message.next_run:
            self._expect_next_run(state.run)

    async def _unsubscribe(self, message: UnsubscribeTrain, answer: SendAnswer) -> None:
        state = self._joined(message)
        self._hub.rooms.leave(state.run, self._listener)
        self._undated.pop(state.run, None)
        answer({"type": "UNSUBSCRIBED", **run_fields(state.run)})

    def _joined(self, message: UnsubscribeTrain | Ack) -> TrainState:
        """Return the run of a message. Without a date, a run whose room the client is in."""
        rooms = self._hub.rooms.rooms_of(self._listener)
        return self._hub.find(message.train_no, message.start_date, self.identity, rooms)

    async def _ack(self, message: Ack, answer: SendAnswer) -> None:
        if message.seq < 1:
            raise BadMessage("seq is below 1: give the seq of the event that has arrived")
        state = self._joined(message)
        await self._hub.acknowledge(
            state, message.seq, self.identity.standing(state.run), self._listener
        )

    async def _subscribe_fleet(self, message: SubscribeFleet, answer: SendAnswer) -> None:
        await self._hub.fleet.join(self._listener, lambda: answer({"type": "FLEET_SUBSCRIBED"}))

    async def _unsubscribe_fleet(self, message: UnsubscribeFleet, answer: SendAnswer) -> None:
        self._hub.fleet.leave(self._listener)
        answer({"type": "FLEET_UNSUBSCRIBED"})

    async def _ping(self, message: Ping, answer: SendAnswer) -> None:
        answer({"type": "PONG", "serverTime": moment_text(self._hub.now())})


def _number(run: RunKey) -> str:
    return number_of(run_fields(run)["trainNo"])


def _order(run: RunKey) -> list[str]:
    """Return a sort key: the date, then the part."""
    return run.split("/")[::-1]


_ANSWERS: dict[type[Any], Callable[[Session, Any, SendAnswer], Awaitable[None]]] = {
    Identify: Session._identify,
    Logout: Session._logout,
    SubscribeTrain: Session._subscribe,
    UnsubscribeTrain: Session._unsubscribe,
    SubscribeFleet: Session._subscribe_fleet,
    UnsubscribeFleet: Session._unsubscribe_fleet,
    Ping: Session._ping,
    Ack: Session._ack,
}
