"""A followed train: the messages that have come, and how far the app has got with them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Protocol

from trainhub_client.callbacks import HubError, Message, Told, ToldError, call, start
from trainhub_client.train_state import Run, fold, with_figures

# Messages of one train that wait for the app. Later ones are dropped, and asked for again.
MOST_UNREAD = 1000


class Follower(Protocol):
    """The client, as a subscription sees it."""

    async def command(self, type_: str, /, **fields: Any) -> Any: ...

    def unsubscribe(self, subscription: "Subscription") -> None: ...

    def catch_up(self, subscription: "Subscription") -> None:
        """Ask for the messages after the subscription's place."""

    def renew(self, subscription: "Subscription") -> None:
        """Ask for a SNAPSHOT for the subscription's `state` alone."""

    def handed(self, message: Message) -> None:
        """Note that the app has a message."""


class Subscription:
    """A followed train. Iteration gives its events, and its SNAPSHOTs.

    `since` is the place of the last message that the iteration gave or that a handler finished. A
    later `subscribe` to the same run can continue from it.
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
        on_next_run: Told | None,
        on_error: ToldError | None,
        on_change: Callable[[Run], Any] | None = None,
    ) -> None:
        self.train_no = train_no
        self.start_date = start_date
        # The app named no date, so the hub tells when the next run takes over.
        self.undated = start_date is None
        self.since = since
        # The newest BOARDING_UPDATE.
        self.figures: Message | None = None
        self._state: Run | None = None  # never changed in place
        self._state_seq: int | None = None  # None: `state` needs a SNAPSHOT
        self._on_change = on_change
        # The app reads `state`, so it is worth a SNAPSHOT of its own.
        self._is_wanted = on_change is not None
        self._client = client
        self._on_event, self._on_snapshot, self._on_figures = on_event, on_snapshot, on_figures
        self._on_next_run = on_next_run
        self.on_error = on_error
        # The place of the newest message that has come: a reconnect continues from it.
        # An unfinished SNAPSHOT has no place.
        self.last = since
        self._unread: deque[tuple[Message, Message] | HubError] = deque()  # for an iteration
        self._inbox: deque[tuple[Told | None, Message, Message | None]] = deque()  # for handlers
        self._held: list[Message] = []  # events that came before the expected SNAPSHOT
        self._busy = False  # an async handler runs
        self._news = asyncio.Event()
        self.expects = False  # the answer to SUBSCRIBE_TRAIN or its SNAPSHOT is to come
        self.renews = False  # a SNAPSHOT for `state` alone is to come
        self.tries = 0
        self.refusal: str | None = None  # the code that the app was told
        self._joined = False
        self._behind = False
        self._ended = False

    @property
    def state(self) -> Run | None:
        """Return the run as a fresh SNAPSHOT would have it: the last one, and what came since.

        None before the first SNAPSHOT.
        """
        is_first, self._is_wanted = not self._is_wanted, True
        if is_first and self.is_stale:
            self._client.renew(self)
        return self._state

    async def command(self, type_: str, /, **fields: Any) -> Any:
        """Send a command on this run, also if it is sent again after midnight."""
        run = {"trainNo": self.train_no}
        if self.start_date is not None:
            run["startDate"] = self.start_date
        return await self._client.command(type_, **{**run, **fields})

    def unsubscribe(self) -> None:
        """Stop following. An iteration ends after the messages that have come already."""
        self._client.unsubscribe(self)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yield messages. Raises HubError if the hub refuses the subscription or the token."""
        while True:
            while self._unread:
                item = self._unread.popleft()
                if isinstance(item, HubError):
                    raise item
                message, self.since = item
                self._client.handed(message)
                yield message
            if self._ended:
                return
            self._catch_up()
            self._news.clear()
            await self._news.wait()

    # --- for the client ---------------------------------------------------------------------

    def join(self, answer: Message) -> None:
        # From here on this follows that run, also when the train's next run is in service.
        self.train_no, self.start_date = answer["trainNo"], answer["startDate"]
        self.expects = answer.get("recovered") is False
        if not self.expects:
            self.last = self.last or {"epoch": answer["epoch"], "seq": 0}
        self._joined, self._behind, self._held = True, False, []
        self.tries, self.refusal = 0, None
        if self.is_stale:
            self._client.renew(self)

    @property
    def is_stale(self) -> bool:
        """Return whether `state` needs a SNAPSHOT, and none is to come."""
        needs_one = self._is_wanted and self._state_seq is None
        return needs_one and self._joined and not self.expects

    def leave(self) -> None:
        self._joined = self.expects = self.renews = False

    def end(self, error: HubError | None = None) -> None:
        self.leave()
        self._ended = True
        if error is not None:
            self.give_error(error)
        self._news.set()

    @property
    def is_iterated(self) -> bool:
        """Return whether events go to an iteration, and not to a handler."""
        return self._on_event is None

    def give_error(self, error: HubError) -> None:
        """Let the iteration raise an error."""
        if self.is_iterated:
            self._unread.append(error)
            self._news.set()

    def restart(self) -> None:
        """Drop the messages and the place: another user sees other events."""
        self._unread.clear()
        self._inbox.clear()
        self._held = []
        self.since = self.last = None
        self._state = self._state_seq = None

    def is_of(self, message: Message) -> bool:
        run = message.get("trainNo"), message.get("startDate")
        return self._joined and run == (self.train_no, self.start_date)

    def is_older(self, message: Message) -> bool:
        """Return whether a message is a SNAPSHOT older than what the app has."""
        last = self.last
        return (
            message["type"] == "SNAPSHOT"
            and last is not None
            and message["epoch"] == last["epoch"]
            and message["seq"] < last["seq"]
        )

    def take(self, message: Message) -> None:
        """Receive a message, and drop it if it is not new."""
        seq = message.get("seq")
        if seq is None:  # figures and NEXT_RUN: only the newest count
            is_next = message["type"] == "NEXT_RUN"
            self.figures = self.figures if is_next else message
            if message["type"] == "BOARDING_UPDATE" and self._state is not None:
                self._show(with_figures(self._state, message["data"]))
            others = (each for each in self._inbox if each[1]["type"] != message["type"])
            self._inbox = deque(others)
            self._put(self._on_next_run if is_next else self._on_figures, message, None)
            return
        snapshot = message["type"] == "SNAPSHOT"
        if snapshot:
            for_state_alone = self.renews and not self.expects
            self.expects = self.renews = False
            self._state_seq = seq
            self._show(message["run"])
            if for_state_alone:
                return
        elif self.expects:
            if len(self._held) >= MOST_UNREAD:
                raise ValueError("events come, and not the SNAPSHOT before them")
            self._held.append(message)
            return
        elif self.last is None or seq <= self.last["seq"]:
            return
        self._fold(message)
        # Messages that do not fit are asked for again when there is room.
        self._behind = self._behind or max(len(self._unread), len(self._inbox)) >= MOST_UNREAD
        if self._behind:
            return
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

    def _fold(self, message: Message) -> None:
        """Bring `state` up to date, or ask for a SNAPSHOT if the event does not tell all."""
        if self._state is None or self._state_seq is None or message["seq"] <= self._state_seq:
            return
        run = fold(self._state, message)
        self._state_seq = None if run is None else message["seq"]
        if run is not None:
            self._show(run)
            if self._on_change is not None and self._on_event is None:
                self._client.handed(message)
        elif self.is_stale:
            self._client.renew(self)

    def _show(self, run: Run) -> None:
        self._state = run
        start(call(self._on_change, run))

    def _put(self, told: Told | None, message: Message, place: Message | None) -> None:
        self._inbox.append((told, message, place))
        self._drain()

    def _drain(self) -> None:
        """Give the messages to their handlers, one after the other."""
        while self._inbox and not self._busy and not self._ended:
            told, message, place = self._inbox.popleft()
            waits = call(told, message)
            if told is not None:
                self._client.handed(message)
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
        """Ask for the messages that did not fit, now that there is room."""
        if self._behind and self._joined:
            self._behind = False
            self.leave()  # messages before the hub's answer come again after it
            self._client.catch_up(self)
