"""One train that is followed: what of it has come, and how far the app is with it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

from trainhub_client.callbacks import HubError, Message, Told, ToldError, call, start

# Messages of one train that wait for the app; what comes then is asked for again later.
MOST_UNREAD = 1000


class Follower(Protocol):
    """The client, as a subscription sees it."""

    async def command(self, type_: str, /, **fields: Any) -> Any: ...

    def unsubscribe(self, subscription: "Subscription") -> None: ...

    def catch_up(self, subscription: "Subscription") -> None:
        """Ask for what came after the subscription's place."""


class Subscription:
    """One train that is followed. To iterate gives its events, and a SNAPSHOT where one came.

    `since` is the place of the last message that the app was given: by iteration, or by a handler
    that has accepted it. It is for a later `subscribe` to the same run.
    """

    def __init__(
        self,
        client: Follower,
        train_no: str,
        start_date: str | None,
        since: Message | None,
        on_event: Told | None,
        on_snapshot: Told | None,
        on_figures: Told | None,
        on_error: ToldError | None,
    ) -> None:
        self.train_no = train_no
        self.start_date = start_date
        self.since = since
        # The newest BOARDING_UPDATE.
        self.figures: Message | None = None
        self._client = client
        self._on_event, self._on_snapshot, self._on_figures = on_event, on_snapshot, on_figures
        self.on_error = on_error
        # The place of the newest message in the client's hands: a reconnect goes on from there.
        # A SNAPSHOT that was cut on its way has no place.
        self.last = since
        self._unread: deque[tuple[Message, Message] | HubError] = deque()  # for an iteration
        self._inbox: deque[tuple[Told | None, Message, Message | None]] = deque()  # for handlers
        self._held: list[Message] = []  # came before the SNAPSHOT that is on its way
        self._busy = False  # an async handler is at work
        self._news = asyncio.Event()
        self.expects = False  # an answer to SUBSCRIBE_TRAIN, or its SNAPSHOT
        self.tries = 0
        self.refusal: str | None = None  # the code that the app was told
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
        """Raises HubError if the hub refuses the subscription for good, or the token."""
        while True:
            while self._unread:
                item = self._unread.popleft()
                if isinstance(item, HubError):
                    raise item
                message, self.since = item
                yield message
            if self._ended:
                return
            self._catch_up()
            self._news.clear()
            await self._news.wait()

    # --- for the client ---------------------------------------------------------------------

    def join(self, answer: Message) -> None:
        # From here on it is that run, also when the train's next one is in service.
        self.train_no, self.start_date = answer["trainNo"], answer["startDate"]
        self.expects = answer.get("recovered") is False
        if not self.expects:
            self.last = self.last or {"epoch": answer["epoch"], "seq": 0}
        self._joined, self._behind, self._held = True, False, []
        self.tries, self.refusal = 0, None

    def leave(self) -> None:
        self._joined = self.expects = False

    def end(self, error: HubError | None = None) -> None:
        self.leave()
        self._ended = True
        if error is not None:
            self.give_error(error)
        self._news.set()

    @property
    def is_iterated(self) -> bool:
        """Whether its events go to an iteration, and not to a handler."""
        return self._on_event is None

    def give_error(self, error: HubError) -> None:
        """Let an iteration raise it."""
        if self.is_iterated:
            self._unread.append(error)
            self._news.set()

    def restart(self) -> None:
        """Forget the place: the next user is shown something else."""
        self._unread.clear()
        self._inbox.clear()
        self._held = []
        self.since = self.last = None

    def is_of(self, message: Message) -> bool:
        run = message.get("trainNo"), message.get("startDate")
        return self._joined and run == (self.train_no, self.start_date)

    def is_older(self, message: Message) -> bool:
        """Whether it is a SNAPSHOT from before what the app has."""
        last = self.last
        return (
            message["type"] == "SNAPSHOT"
            and last is not None
            and message["epoch"] == last["epoch"]
            and message["seq"] < last["seq"]
        )

    def take(self, message: Message) -> bool:
        """Take a message in; returns whether it is new."""
        seq = message.get("seq")
        if seq is None:  # a figure: only the newest counts
            self.figures = message
            others = (each for each in self._inbox if each[1]["type"] != message["type"])
            self._inbox = deque(others)
            self._put(self._on_figures, message, None)
            return True
        snapshot = message["type"] == "SNAPSHOT"
        if snapshot:
            self.expects = False
        elif self.expects:
            if len(self._held) >= MOST_UNREAD:
                raise ValueError("events come, and not the SNAPSHOT before them")
            self._held.append(message)
            return False
        elif self.last is None or seq <= self.last["seq"]:
            return False
        # What does not fit is asked for when there is room again.
        self._behind = self._behind or max(len(self._unread), len(self._inbox)) >= MOST_UNREAD
        if self._behind:
            return False
        epoch = message["epoch"] if snapshot or self.last is None else self.last["epoch"]
        self.last = {"epoch": epoch, "seq": seq}
        told = self._on_snapshot if snapshot else self._on_event
        if told is None and self._on_event is None:
            self._unread.append((message, self.last))
            self._news.set()
        else:
            self._put(told, message, self.last)
        held, self._held = self._held, []
        for each in held:
            self.take(each)
        return True

    def _put(self, told: Told | None, message: Message, place: Message | None) -> None:
        self._inbox.append((told, message, place))
        self._drain()

    def _drain(self) -> None:
        """Give each message to its handler, the next one when that has finished."""
        while self._inbox and not self._busy and not self._ended:
            told, message, place = self._inbox.popleft()
            waits = call(told, message)
            if waits is None:
                self._accept(place)
            else:
                self._busy = True
                start(waits, partial(self._finish, place))
        if not self._inbox and not self._busy and self._on_event is not None:
            self._catch_up()

    def _finish(self, place: Message | None) -> None:
        self._busy = False
        self._accept(place)
        self._drain()

    def _accept(self, place: Message | None) -> None:
        if place is not None and self.last is not None:
            self.since = place

    def _catch_up(self) -> None:
        """Ask for what did not fit, now that there is room."""
        if self._behind and self._joined:
            self._behind = False
            self.leave()  # what comes before the hub's answer comes again after it
            self._client.catch_up(self)
