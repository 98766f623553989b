"""Who is online on a run, as a figure for its staff; somebody in a tunnel is no news.

Derived from the room's sockets. Those whose socket was lost are counted for a while longer, until
they come back: a train that goes through a tunnel takes all its sockets with it.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from trainhub.access.identity import Standing
from trainhub.domain.model import Role, RunKey

GRACE_SECONDS = 15.0
_NAMED = {"passengers": Role.PASSENGER, "ttes": Role.TTE, "admins": Role.ADMIN}


class Presence:
    """Sockets that were lost, by run and whose they were; and the runs with news of any kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost: dict[RunKey, dict[Standing, list[float]]] = {}
        self._news: set[RunKey] = set()
        self._told: dict[RunKey, dict[str, Any]] = {}

    def came(self, run: RunKey, standing: Standing) -> None:
        """A socket has come into a room; it may be one that was lost."""
        self._news.add(run)
        those = self._lost.get(run, {})
        if times := those.get(standing):
            times.pop(0)
            if not times:
                del those[standing]
                self._tidy(run)

    def went(self, run: RunKey, standing: Standing, *, lost: bool) -> None:
        """A socket has gone from a room: it left, or it was `lost`."""
        self._news.add(run)
        if lost:
            self._lost.setdefault(run, defaultdict(list))[standing].append(self._clock())

    def close(self, run: RunKey) -> None:
        """The run is over."""
        self._lost.pop(run, None)
        self._told.pop(run, None)
        self._news.discard(run)

    def figure(self, run: RunKey, standings: Iterable[Standing]) -> dict[str, Any]:
        """`ttes`: TTEs online, each counted once; `sockets`: by role. `standings`: the room's."""
        there = Counter(standings)
        for standing, times in self._lost.get(run, {}).items():
            there[standing] += len(times)
        roles: Counter[Role | None] = Counter()
        for standing, count in there.items():
            roles[standing.role] += count
        named = {name: roles[role] for name, role in _NAMED.items()}
        total = roles.total()
        return {
            "ttes": len({standing.user for standing in there if standing.role is Role.TTE}),
            "sockets": {"total": total, **named, "others": total - sum(named.values())},
        }

    def news(self, standings: Callable[[RunKey], Iterable[Standing]]) -> dict[RunKey, Any]:
        """The figures that have changed since the last call, by run."""
        self._give_up()
        runs, self._news = self._news, set()
        changed = {}
        for run in runs:
            figure = self.figure(run, standings(run))
            if figure != self._told.get(run):
                changed[run] = figure
            if figure["sockets"]["total"]:
                self._told[run] = figure
            else:
                self._told.pop(run, None)
        return changed

    def _give_up(self) -> None:
        """Those who were lost for too long are gone."""
        before = self._clock() - GRACE_SECONDS
        for run, those in list(self._lost.items()):
            for standing, times in list(those.items()):
                left = [at for at in times if at > before]
                if len(left) < len(times):
                    self._news.add(run)
                    those[standing] = left
                if not left:
                    del those[standing]
            self._tidy(run)

    def _tidy(self, run: RunKey) -> None:
        if not self._lost[run]:
            del self._lost[run]
