"""The run that a train number without a date means. One rule for sockets and HTTP.

Facts about the caller come first: the socket's rooms, then the runs that the token names, then the
runs that the user is booked on. Last comes the run in service, by status and by the clock.
"""

from collections.abc import Callable, Collection
from datetime import datetime

from trainhub.access.identity import ALL_TRAINS, Identity
from trainhub.core.audience import Standing
from trainhub.domain.bookings import travels
from trainhub.domain.errors import AmbiguousRun, UnknownTrain
from trainhub.domain.model import Role, RunKey, number_of
from trainhub.domain.service import ALIKE, service
from trainhub.domain.train import TrainState


def run_meant(
    train_no: str,
    runs: Collection[TrainState],
    identity: Identity,
    now: datetime,
    rooms: Collection[RunKey] = (),
) -> TrainState:
    """Return the run of a train that a caller means. `runs` are all runs of the train in the hub.

    `rooms` are the runs of the rooms that the asking socket is in.
    Raises UnknownTrain if the token names runs of the train, and the hub has none of them.
    Raises AmbiguousRun, with the dates in `details`, if several are equally likely.
    """
    found = [state for state in runs if state.run in rooms] or _allowed(train_no, runs, identity)
    for sign in _SIGNS:
        found = [state for state in found if sign(state, identity)] or found
    likeliest = min(service(state, now) for state in found)
    alike = (likeliest, ALIKE.get(likeliest))
    found = [state for state in found if service(state, now) in alike]
    if len(found) > 1:
        raise _ambiguous(train_no, found)
    return found[0]


def _ambiguous(train_no: str, found: Collection[TrainState]) -> AmbiguousRun:
    """Return the error that several runs may be meant: by their dates, and by parts if it must."""
    runs = sorted((str(state.chart.start_date), state.chart.train_no) for state in found)
    details: dict[str, object] = {"startDates": sorted({day for day, _ in runs})}
    name = "startDate"
    if any(number != train_no for _, number in runs):
        details["runs"] = [{"trainNo": number, "startDate": day} for day, number in runs]
        name = "trainNo and startDate"
    return AmbiguousRun(
        f"{len(found)} runs of {train_no} may be meant: name one by its {name}", **details
    )


def _allowed(
    train_no: str, runs: Collection[TrainState], identity: Identity
) -> Collection[TrainState]:
    """Return the runs that the caller may mean: if the token names runs by date, only these."""
    named = sorted(name for name in identity.trains if _is_run_of(name, train_no))
    if not named or identity.trains & {ALL_TRAINS, train_no, number_of(train_no)}:
        return runs
    found = [state for state in runs if state.run in named]
    if not found:
        raise UnknownTrain(
            f"the token names {named[0]}, which is not here: name another run by its startDate"
        )
    return found


def _is_run_of(name: str, train_no: str) -> bool:
    """Return whether a token's name is a run of the train, by its date."""
    number, dated, _ = name.partition("/")
    return bool(dated) and train_no in (number, number_of(number))


def _is_named(state: TrainState, identity: Identity) -> bool:
    part = state.chart.train_no
    return state.run in identity.trains or ("-" in part and part in identity.trains)


def _is_travelled(state: TrainState, identity: Identity) -> bool:
    """Return whether the passenger has a journey on the run that is still to be made."""
    return _is_booked(state, identity) and travels(state, identity.user or "")


def _is_booked(state: TrainState, identity: Identity) -> bool:
    passenger = Standing(Role.PASSENGER, identity.user)
    return identity.standing(state.run) == passenger and identity.user in state.by_user


# Signs of the run that a caller means, the surest first. A sign without any run is skipped.
_SIGNS: tuple[Callable[[TrainState, Identity], bool], ...] = (
    _is_named,
    _is_travelled,
    _is_booked,
)
