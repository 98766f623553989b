"""The rules of one person's journey: O and NT, the undo, cancelling, another boarding station.

Each function is one command's: given the state and the time, it returns the events or raises.
A second identical mark returns none.
"""

from datetime import datetime, timedelta

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.events import Events
from trainhub.domain.model import BookingStatus, PersonState, RunStatus
from trainhub.domain.run_state import Passenger, RunState

# A no-show may be undone for this long.
UNDO_WINDOW = timedelta(minutes=30)
# How many stations on a boarding station may be moved.
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
        raise Conflict("the passenger is aboard, so is no no-show", state=passenger.state)
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
        raise Conflict(f"a no-show can be undone for {minutes} minutes, and those are over")
    key = passenger.berth_key
    if key is not None and not state.occupancy.has_room(
        key, state.remaining(passenger), half=passenger.status is BookingStatus.RAC
    ):
        raise Conflict(f"berth {key} was given to another passenger", berth=key)
    return [person_event(e.NoShowUndone, now, passenger)]


def cancel(state: RunState, command: c.CancelJourney, now: datetime) -> Events:
    """A passenger who has not boarded gives up the journey; the berth is free from here on."""
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
    """Once, forward, to one of the next three stations, before the destination."""
    passenger = state.passenger(command.pnr, command.index)
    stop = state.station(command.station_code)
    _check_due(state, passenger)
    if passenger.from_ == stop.station.code:
        return []
    if passenger.boarding_changed:
        raise Conflict("the boarding station was changed already: that is possible once")
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


# --- what the rules ask -------------------------------------------------------------------------


def check_running(state: RunState) -> None:
    if not state.running:
        raise Conflict(f"{state.run} is {state.status}, not RUNNING", status=state.status)


def check_live(state: RunState) -> None:
    if state.status not in (RunStatus.SCHEDULED, RunStatus.RUNNING):
        raise Conflict(f"{state.run} is {state.status}", status=state.status)


def _check_markable(state: RunState, passenger: Passenger) -> None:
    """O and NT are for those due to have boarded, on a run that is under way."""
    check_running(state)
    if passenger.state in (PersonState.ALIGHTED, PersonState.CANCELLED):
        raise Conflict(f"the passenger is {passenger.state}", state=passenger.state)
    if state.boards(passenger) > state.current:
        raise Conflict(
            f"the passenger boards at {passenger.from_}, further on", boardsAt=passenger.from_
        )
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")


def _check_due(state: RunState, passenger: Passenger) -> None:
    """A person who has not boarded yet, on a run that has not ended, with a way still to go."""
    check_live(state)
    if passenger.state is not PersonState.DUE:
        raise Conflict(f"the passenger is {passenger.state}, not DUE", state=passenger.state)
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")


def vacated(
    state: RunState, passenger: Passenger, start: int, cause: e.Cause, now: datetime
) -> Events:
    """The berth that a person leaves from station `start` on, if it is free there then.

    Leaving early frees it up to the destination of the ticket, alighting up to the next holder.
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
