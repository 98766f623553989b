"""Which run is meant by a train's number without a date. One rule for sockets and HTTP alike.

What is known comes before any guess: the rooms a socket is in, then the runs its token names, then
the runs its user is booked on. Only then the run in service is taken, by status and by the clock.
"""

from collections.abc import Callable, Collection
from datetime import datetime

from trainhub.access.identity import ALL_TRAINS, Identity
from trainhub.core.audience import Standing
from trainhub.domain.bookings import travels
from trainhub.domain.errors import AmbiguousRun, UnknownTrain
from trainhub.domain.model import Role, RunKey
from trainhub.domain.service import ALIKE, service
from trainhub.domain.train import TrainState


def run_meant(
    train_no: str,
    runs: Collection[TrainState],
    identity: Identity,
    now: datetime,
    rooms: Collection[RunKey] = (),
) -> TrainState:
    """Return the run of a train that a caller means, out of `runs`, all that are here.

    `rooms` are the runs of the rooms that the caller speaks of, if a socket speaks of its own.
    Raises UnknownTrain if the token names only runs of that train that are not here. Raises
    AmbiguousRun, with the dates in `details`, if several are as likely.
    """
    found = [state for state in runs if state.run in rooms] or _allowed(train_no, runs, identity)
    for sign in _SIGNS:
        found = [state for state in found if sign(state, identity)] or found
    likeliest = min(service(state, now) for state in found)
    alike = (likeliest, ALIKE.get(likeliest))
    found = [state for state in found if service(state, now) in alike]
    if len(found) > 1:
        raise AmbiguousRun(
            f"{len(found)} runs of {train_no} may be meant: name one by its startDate",
            startDates=sorted(state.chart.start_date.isoformat() for state in found),
        )
    return found[0]


def _allowed(
    train_no: str, runs: Collection[TrainState], identity: Identity
) -> Collection[TrainState]:
    """Return the runs that a token may mean: if it names runs of the train by day, only those."""
    named = sorted(name for name in identity.trains if name.startswith(f"{train_no}/"))
    if not named or identity.trains & {ALL_TRAINS, train_no}:
        return runs
    found = [state for state in runs if state.run in named]
    if not found:
        raise UnknownTrain(
            f"the token names {named[0]}, which is not here: name another run by its startDate"
        )
    return found


def _is_named(state: TrainState, identity: Identity) -> bool:
    return state.run in identity.trains


def _is_travelled(state: TrainState, identity: Identity) -> bool:
    """Return whether the passenger has a journey on the run that is still to be made."""
    return _is_booked(state, identity) and travels(state, identity.user or "")


def _is_booked(state: TrainState, identity: Identity) -> bool:
    passenger = Standing(Role.PASSENGER, identity.user)
    return identity.standing(state.run) == passenger and identity.user in state.by_user


# What is known of a caller, the surest first. A sign that no run has narrows nothing.
_SIGNS: tuple[Callable[[TrainState, Identity], bool], ...] = (
    _is_named,
    _is_travelled,
    _is_booked,
)
