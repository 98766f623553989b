"""The rules of one person's journey: O and NT, the undo, cancelling, another boarding station.

Each public function with a command decides it: it returns the events, or raises a HubError.
A second identical mark has no events.
"""

from datetime import datetime, timedelta

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.events import Events
from trainhub.domain.model import BookingStatus, PersonState, RunStatus
from trainhub.domain.run_state import Passenger, RunState

# How long a no-show can be undone.
UNDO_WINDOW = timedelta(minutes=30)
# How many stations the boarding station can move forward.
BOARDING_STATIONS_ON = 3


def board(state: RunState, command: c.MarkBoarded, now: datetime) -> Events:
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.ABOARD:
        return []
    _check_markable(state, passenger)
    events: Events = []
    if passenger.state is PersonState.NT:
        events += _undo(state, passenger, now)
    return [*events, person_event(e.PassengerBoarded, now, passenger)]


def no_show(state: RunState, command: c.MarkNoShow, now: datetime) -> Events:
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.NT:
        return []
    _check_markable(state, passenger)
    if passenger.state is PersonState.ABOARD:
        raise Conflict("the passenger is aboard, and so cannot be NT", state=passenger.state)
    start = max(state.boards(passenger), state.current)
    return [
        person_event(e.NoShow, now, passenger),
        *vacated(state, passenger, start, e.Cause.NO_SHOW, now),
    ]


def undo_no_show(state: RunState, command: c.UndoNoShow, now: datetime) -> Events:
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.DUE:
        return []
    if passenger.state is not PersonState.NT:
        raise Conflict(f"the passenger is {passenger.state}, not NT", state=passenger.state)
    _check_markable(state, passenger)
    return _undo(state, passenger, now)


def _undo(state: RunState, passenger: Passenger, now: datetime) -> Events:
    assert passenger.marked_nt_at is not None
    if now - passenger.marked_nt_at > UNDO_WINDOW:
        minutes = UNDO_WINDOW // timedelta(minutes=1)
        raise Conflict(f"a no-show can be undone for {minutes} minutes only, which are over")
    key = passenger.berth_key
    if key is not None and not state.occupancy.has_room(
        key, state.remaining(passenger), half=passenger.status is BookingStatus.RAC
    ):
        raise Conflict(f"berth {key} was given to another passenger", berth=key)
    return [person_event(e.NoShowUndone, now, passenger)]


def cancel(state: RunState, command: c.CancelJourney, now: datetime) -> Events:
    """Cancel the journey of a passenger who has not boarded. The berth is free from here on."""
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.CANCELLED:
        return []
    _check_due(state, passenger)
    start = max(state.boards(passenger), state.current)
    return [
        person_event(e.PassengerCancelled, now, passenger),
        *vacated(state, passenger, start, e.Cause.CANCELLED, now),
    ]


def change_boarding(state: RunState, command: c.ChangeBoarding, now: datetime) -> Events:
    """Move the boarding station once, by up to three stations, to one before the destination."""
    passenger = state.passenger(command.pnr, command.index)
    stop = state.station(command.station_code)
    _check_due(state, passenger)
    if passenger.from_ == stop.station.code:
        return []
    if passenger.boarding_changed:
        raise Conflict("the boarding station was changed already: it can be changed once")
    before, end = state.boards(passenger), state.alights(passenger)
    choice = [
        each.station.code
        for each in state.stops[before + 1 : min(before + BOARDING_STATIONS_ON + 1, end)]
        if not each.skipped
        and (each.index > state.current or (each.index == state.current and not state.departed))
    ]
    if stop.station.code not in choice:
        raise Conflict(
            f"the passenger can board at {', '.join(choice) or 'no later station'}",
            stations=choice,
        )
    return [
        person_event(
            e.BoardingChanged, now, passenger, from_=command.station_code, old_from=passenger.from_
        )
    ]


# --- helpers of the rules -----------------------------------------------------------------------


def check_running(state: RunState) -> None:
    """Raise Conflict unless the run is under way."""
    if not state.running:
        raise Conflict(f"{state.run} is {state.status}, not RUNNING", status=state.status)


def check_live(state: RunState) -> None:
    """Raise Conflict if the run has ended."""
    if state.status not in (RunStatus.SCHEDULED, RunStatus.RUNNING):
        raise Conflict(f"{state.run} is {state.status}", status=state.status)


def _check_markable(state: RunState, passenger: Passenger) -> None:
    """Raise Conflict unless the passenger can be marked: from boarding to the destination."""
    check_running(state)
    if passenger.state in (PersonState.ALIGHTED, PersonState.CANCELLED):
        raise Conflict(f"the passenger is {passenger.state}", state=passenger.state)
    if state.boards(passenger) > state.current:
        raise Conflict(
            f"the passenger boards at {passenger.from_}, a later station",
            boardsAt=passenger.from_,
        )
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")


def _check_due(state: RunState, passenger: Passenger) -> None:
    """Raise Conflict unless the passenger is DUE and the train is before the destination."""
    check_live(state)
    if passenger.state is not PersonState.DUE:
        raise Conflict(f"the passenger is {passenger.state}, not DUE", state=passenger.state)
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")


def vacated(
    state: RunState, passenger: Passenger, start: int, cause: e.Cause, now: datetime
) -> Events:
    """Return the vacancy of the berth that a person leaves at station `start`, if there is one.

    A person who leaves early frees the berth up to the destination, and a person who alights frees
    it up to the next holder.
    """
    key = passenger.berth_key
    if key is None or passenger.coach is None or passenger.berth is None:
        return []
    end = state.alights(passenger)
    if end <= start:
        end = len(state.stops) - 1
        others = state.occupancy.at(key, start)
        if others and not state.occupancy.half_free(key, start):
            return []
        if not others:
            end = state.occupancy.free_until(key, start, end)
    return [
        e.BerthVacated(
            at=now,
            coach=passenger.coach,
            berth=passenger.berth,
            class_=passenger.booking.class_,
            from_=state.stops[start].station.code,
            to=state.stops[end].station.code,
            cause=cause,
        )
    ]


def person_event(
    kind: type[e.PersonEvent], now: datetime, passenger: Passenger, **more: object
) -> e.PersonEvent:
    """Make an event about a person; `more` are the fields that only this kind has."""
    booking = passenger.booking
    fields = {
        "user": booking.irctc_id,
        "pnr": booking.pnr,
        "index": booking.index,
        "name": booking.name,
        "coach": passenger.coach,
        "berth": passenger.berth,
        "from_": passenger.from_,
        "to": booking.to,
    }
    return kind(at=now, **{**fields, **more})  # type: ignore[arg-type]
