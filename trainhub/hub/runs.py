"""The runs of one hub, and the look-up of the run that a caller means."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import date, datetime

from trainhub.access.identity import Identity
from trainhub.core.errors import HubError
from trainhub.domain.errors import UnknownTrain
from trainhub.domain.model import RunKey, RunStatus, number_of, run_key
from trainhub.domain.service import Service, service
from trainhub.domain.train import TrainState
from trainhub.hub.protocol import run_fields
from trainhub.hub.which_run import run_meant


class Runs:
    """The present runs by key and by train number, and the keys of retired runs."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, TrainState] = {}
        self._by_train: dict[str, dict[RunKey, TrainState]] = {}
        # Retired run → when it was retired, in seconds since 1970.
        self.retired: dict[RunKey, float] = {}
        # Number → its runs, and where each is in time, at the last call of `moved`.
        self._services: dict[str, list[tuple[RunKey, Service]]] = {}

    def all(self) -> Iterable[TrainState]:
        """Return the present runs."""
        return self._runs.values()

    def __contains__(self, run: object) -> bool:
        return run in self._runs

    def __len__(self) -> int:
        return len(self._runs)

    def present(self, run: RunKey) -> TrainState | None:
        """Return the run of that key. None if the hub does not have it."""
        return self._runs.get(run)

    def state(self, run: RunKey) -> TrainState:
        """Return the run of that key. Raises UnknownTrain if the hub does not have it."""
        found = self._runs.get(run)
        if found is None:
            raise UnknownTrain(f"there is no run {run} here: check its number and startDate")
        return found

    def find(
        self,
        train_no: str,
        start_date: date | None,
        identity: Identity,
        now: datetime,
        rooms: Collection[RunKey] = (),
        *,
        stopped: bool = False,
    ) -> TrainState:
        """Return the run of that number and date. Without a date, which_run.py tells the run.

        A number without a part then means all its runs, and with a part only those of the part.

        `rooms` are the runs of the rooms that the asking socket is in.
        With `stopped`, runs that were cancelled or closed come before all others.
        Raises UnknownTrain, or AmbiguousRun with the dates in `details`.
        """
        if start_date is not None:
            return self.state(run_key(train_no, start_date))
        runs = list(self._by_train.get(number_of(train_no), {}).values())
        if train_no != number_of(train_no):
            runs = [state for state in runs if state.chart.train_no == train_no]
        if not runs:
            raise UnknownTrain(f"there is no train {train_no[:20]} here: check its number")
        if stopped:
            ended = (RunStatus.CANCELLED, RunStatus.CLOSED)
            runs = [state for state in runs if state.status in ended] or runs
        return run_meant(train_no, runs, identity, now, rooms)

    def named(
        self, train_no: str, start_date: date | None, identity: Identity, now: datetime
    ) -> RunKey | None:
        """Return the key of the run that `find` returns. None if it raises."""
        with suppress(HubError):
            return self.find(train_no, start_date, identity, now).run
        return None

    def moved(self, now: datetime) -> set[str]:
        """Return the numbers by which another run may be meant than at the last call."""
        before, self._services = self._services, {}
        for number, runs in self._by_train.items():
            self._services[number] = [(state.run, service(state, now)) for state in runs.values()]
        return {each for each, found in self._services.items() if found != before.get(each)}

    def adopt(self, state: TrainState) -> None:
        """Add a run, if it is not present already."""
        if state.run not in self._runs:
            self._runs[state.run] = state
            number = number_of(run_fields(state.run)["trainNo"])
            self._by_train.setdefault(number, {})[state.run] = state

    def retire(self, run: RunKey, at: float) -> None:
        """Remove a run, and remember its key with the time."""
        self.retired[run] = at
        del self._runs[run]
        number = number_of(run_fields(run)["trainNo"])
        del self._by_train[number][run]
        if not self._by_train[number]:
            del self._by_train[number]
