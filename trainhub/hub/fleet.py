"""The figures of all runs, for clients that follow the fleet: first all of them, then what is new.

Each turn compares the figures with those of the turn before. A client gets the fields that changed
since the last turn that it got, so a client that reads slowly misses turns, but no change.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from trainhub.core.codec import dump
from trainhub.core.cost import in_slices
from trainhub.core.deflate import Part
from trainhub.core.log import Log
from trainhub.core.rooms import Crowd, Listener
from trainhub.core.wire import encode
from trainhub.domain.model import PersonState, RunKey
from trainhub.domain.train import TrainState
from trainhub.domain.views import summary
from trainhub.hub.figures import RunFigures
from trainhub.hub.runs import Runs
from trainhub.hub.train_rooms import TrainRooms, socket_counts

# Seconds for which the clients that join get the same figures.
FRESH_SECONDS = 0.9


class Row:
    """An object in JSON, and the turn in which each of its fields changed last."""

    __slots__ = ("_fields", "_turns", "encoded")

    def __init__(self) -> None:
        self._fields: Mapping[str, Any] = {}
        self._turns: dict[str, int] = {}
        self.encoded = b"{}"

    def show(self, fields: Mapping[str, Any], turn: int) -> None:
        """Set all fields, as they are in a turn."""
        for name, value in fields.items():
            if name not in self._fields or self._fields[name] != value:
                self._turns[name] = turn
        self._fields = fields
        self.encoded = encode(fields)

    def news(self, since: int) -> dict[str, Any]:
        """Return the fields that changed after a turn."""
        return {name: self._fields[name] for name, turn in self._turns.items() if turn > since}


class RunRow(Row):
    """A run's figures. They depend on the run's seq and on the sockets in its room."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[int, Counter[str | None]] | None = None

    def look(self, state: TrainState, roles: Counter[str | None], turn: int) -> None:
        """Show the run as it is in a turn."""
        if self._seen != (state.seq, roles):
            self._seen = (state.seq, roles)
            self.show(run_figures(state, roles), turn)


class Fleet:
    """The figures of all runs, and the clients that follow them."""

    def __init__(self, runs: Runs, rooms: TrainRooms, log: Log) -> None:
        self._runs = runs
        self._rooms = rooms
        self._log = log
        # Returns the hub's own figures. They are made outside, from all parts of the hub.
        self.hub_figures: Callable[[], Mapping[str, Any]] = dict
        self._hub = Row()
        self._rows: dict[RunKey, RunRow] = {}
        # Runs that left the hub, each with the turn in which it was missing first.
        self._gone: dict[RunKey, int] = {}
        self._turn = 0
        self._looked_at = -FRESH_SECONDS
        self._lock = asyncio.Lock()
        # Each client with the last turn that it got.
        self._followers: dict[Listener, int] = {}

    def __contains__(self, listener: Listener) -> bool:
        return listener in self._followers

    async def join(self, listener: Listener, answer: Callable[[], None]) -> None:
        """Send a client all figures, and from now on what is new. `answer` is called before."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= FRESH_SECONDS:
                await self._look()
            answer()
            listener.catch_up(self._frame(0, listener.window))
            self._followers[listener] = self._turn

    def leave(self, listener: Listener) -> None:
        self._followers.pop(listener, None)

    async def tell(self) -> None:
        """Send each client what is new to it. A client that is behind gets it in a later turn."""
        if not self._followers:
            return
        async with self._lock:
            await self._look()
            crowds: dict[tuple[int, int], Crowd[None]] = {}
            for each, turn in self._followers.items():
                if not each.is_behind:
                    crowds.setdefault((turn, each.window), Crowd())[each] = None
            for (turn, window), crowd in crowds.items():
                self._followers.update(dict.fromkeys(crowd, self._turn))
                self._rooms.deliver(crowd, self._frame(turn, window))

    async def encoded(self) -> list[bytes]:
        """Return the figures of each run as JSON, as they are now."""
        async with self._lock:
            await self._look()
            return [row.encoded for row in self._rows.values()]

    async def _look(self) -> None:
        """Begin a turn. Returns when all that its figures show is durable."""
        turn, began = self._turn + 1, time.monotonic()
        runs = list(self._runs.all())
        async for state in in_slices(runs):
            roles = Counter(standing.role for standing in self._rooms.standings(state.run))
            self._rows.setdefault(state.run, RunRow()).look(state, roles, turn)
        for run in self._rows.keys() - {state.run for state in runs}:
            del self._rows[run]
            self._gone[run] = turn
        least = min(self._followers.values(), default=turn)
        self._gone = {
            run: at for run, at in self._gone.items() if at > least and run not in self._rows
        }
        self._hub.show(self.hub_figures(), turn)
        await self._log.append()
        self._turn, self._looked_at = turn, began

    def _frame(self, since: int, window: int) -> bytes:
        """Return what is new since a turn; all if `since` is 0."""
        if since:
            found = ((run, row.news(since)) for run, row in self._rows.items())
            rows = [encode({"run": run, **news}) for run, news in found if news]
            gone = [run for run, turn in self._gone.items() if turn > since]
        else:
            rows, gone = [row.encoded for row in self._rows.values()], []
        head = {"type": "FLEET", "whole": not since, "hub": self._hub.news(since), "gone": gone}
        body = b'%b,"trains":[%b]}' % (encode(head)[:-1], b",".join(rows))
        return self._rooms.wrap([Part(body)], window)


def run_figures(state: TrainState, roles: Counter[str | None]) -> RunFigures:
    states = Counter(passenger.state for passenger in state.passengers.values())
    return {
        "run": state.run,
        **summary(state),
        "reportDue": dump(state.report_due),
        "booked": len(state.passengers),
        "aboard": states[PersonState.ABOARD],
        "noShow": states[PersonState.NT],
        "sockets": socket_counts(roles),
    }
