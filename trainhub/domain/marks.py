"""The rules of one person's journey: O, NT, their undo, leaving early, another boarding station.

Each public function with a command decides it: it returns the events, or raises a HubError.
A second identical mark has no events.
"""

from datetime import datetime, timedelta

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.events import Events
from trainhub.domain.model import BookingStatus, PersonState, RunStatus
from trainhub.domain.run_state import LADIES, Passenger, RunState, Stop
from trainhub.domain.schedule import CLOCK_SKEW, local

# How many stations the boarding station can move forward.
BOARDING_STATIONS_ON = 3
# How long after O a passenger can be marked NT without UNDO_BOARDED: the TTE corrects a slip.
FRESH = timedelta(minutes=10)


def board(state: RunState, command: c.MarkBoarded, now: datetime) -> Events:
    """Take a passenger aboard, also after NT, after leaving early, and after the journey.

    A passenger whose berth was given away travels without one, and is first in turn for the next.
    """
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.ABOARD and not passenger.assumed:
        return []
    over = _check_markable(state, passenger, command, now)
    if passenger.state is PersonState.ALIGHTED and passenger.left is None:
        return []  # aboard to the destination
    events: Events = []
    coach, berth = passenger.coach, passenger.berth
    if passenger.state in (PersonState.NT, PersonState.ALIGHTED):
        if _berth_is_free(state, passenger):
            if passenger.state is PersonState.NT:
                events.append(person_event(e.NoShowUndone, now, passenger))
        else:
            events.append(person_event(e.BerthLost, now, passenger))
            coach = berth = None
    mark = _marked(state, command)
    events.append(
        person_event(e.PassengerBoarded, now, passenger, coach=coach, berth=berth, **mark)
    )
    if over:
        events.append(person_event(e.PassengerAlighted, now, passenger, coach=coach, berth=berth))
    return events


def undo_boarded(state: RunState, command: c.UndoBoarded, now: datetime) -> Events:
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.DUE:
        return []
    if passenger.state is not PersonState.ABOARD:
        raise Conflict(f"the passenger is {passenger.state}, not ABOARD", state=passenger.state)
    check_running(state)
    _check_undo(state, passenger, command, now)
    return [person_event(e.BoardedUndone, now, passenger)]


def no_show(state: RunState, command: c.MarkNoShow, now: datetime) -> Events:
    """Mark a passenger as not turned up, and free the berth from here on.

    O stands in the way, unless it was assumed at a departure or is a few minutes old.
    """
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.NT:
        return []
    over = _check_markable(state, passenger, command, now)
    events: Events = []
    correctable = passenger.assumed or _is_fresh(passenger, command.at or now)
    if passenger.state is PersonState.ABOARD:
        if not correctable:
            raise _marked_already(state, passenger, "UNDO_BOARDED comes first")
        events.append(person_event(e.BoardedUndone, now, passenger))
    elif passenger.state is PersonState.ALIGHTED and (
        not correctable or passenger.left is not None
    ):
        raise _marked_already(state, passenger, "the passenger travelled")
    events.append(person_event(e.NoShow, now, passenger, **_marked(state, command)))
    if not over:
        start = state.starts(passenger)
        events += vacated(state, passenger, start, e.Cause.NO_SHOW, now)
    return events


def undo_no_show(state: RunState, command: c.UndoNoShow, now: datetime) -> Events:
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.DUE:
        return []
    if passenger.state is not PersonState.NT:
        raise Conflict(f"the passenger is {passenger.state}, not NT", state=passenger.state)
    check_running(state)
    _check_under_way(
        state, passenger, "MARK_BOARDED with its time, at, says that the passenger travelled"
    )
    _check_undo(state, passenger, command, now)
    minutes = state.chart.undo_minutes
    assert passenger.marked_nt_at is not None
    since = (command.at or now) - passenger.marked_nt_at
    if minutes is not None and since > timedelta(minutes=minutes):
        raise Conflict(
            f"a no-show can be undone for {minutes} minutes only, which are over: MARK_BOARDED "
            "takes a passenger aboard who came later"
        )
    if not _berth_is_free(state, passenger):
        raise Conflict(
            f"berth {passenger.berth_key} was given to another passenger: MARK_BOARDED takes this "
            "one aboard without a berth",
            berth=passenger.berth_key,
        )
    return [person_event(e.NoShowUndone, now, passenger)]


def alight(state: RunState, command: c.Alight, now: datetime) -> Events:
    """Let a passenger leave the train before the destination. The berth is free from here on."""
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.ALIGHTED:
        return []
    if passenger.state is not PersonState.ABOARD:
        raise Conflict(f"the passenger is {passenger.state}, not ABOARD", state=passenger.state)
    check_running(state)
    _check_time(state, passenger, command.at, now)
    mark = _marked(state, command)
    alighted = person_event(e.PassengerAlighted, now, passenger, left=command.reason, **mark)
    return [alighted, *vacated(state, passenger, state.current, e.Cause.ALIGHTED, now)]


def check_coach(state: RunState, command: c.CheckCoach, now: datetime) -> Events:
    """End a coach's round at this station: the turn does not wait for those still due."""
    check_running(state)
    state.coach(command.coach)
    if state.checked.get(command.coach) == state.current:
        return []
    return [e.CoachChecked(at=now, station=station_ref(state.here), coach=command.coach)]


def cancel(state: RunState, command: c.CancelJourney, now: datetime) -> Events:
    """Cancel the journey of a passenger who has not boarded. The berth is free from here on."""
    passenger = state.passenger(command.pnr, command.index)
    if passenger.state is PersonState.CANCELLED:
        return []
    _check_due(state, passenger)
    start = state.starts(passenger)
    return [
        person_event(e.PassengerCancelled, now, passenger),
        *vacated(state, passenger, start, e.Cause.CANCELLED, now),
    ]


def change_boarding(state: RunState, command: c.ChangeBoarding, now: datetime) -> Events:
    """Move the boarding station once, by up to three stations, to one before the destination.

    The berth of a confirmed passenger is vacant up to there.
    """
    passenger = state.passenger(command.pnr, command.index)
    stop = state.station(command.station_code)
    _check_due(state, passenger)
    if passenger.from_ == stop.code:
        return []
    if passenger.boarding_changed:
        raise Conflict("the boarding station was changed already: it can be changed once")
    before, end = state.boards(passenger), state.alights(passenger)
    gone = before < state.current or (before == state.current and state.departed)
    if gone and not state.stops[before].skipped:
        raise Conflict(f"the train has left {passenger.from_}: the boarding station stays")
    choice = [
        each.code
        for each in state.stops[before + 1 : min(before + BOARDING_STATIONS_ON + 1, end)]
        if not each.skipped
        and (each.index > state.current or (each.index == state.current and not state.departed))
    ]
    if stop.code not in choice:
        raise Conflict(
            f"the passenger can board at {', '.join(choice) or 'no later station'}",
            stations=choice,
        )
    changed = person_event(
        e.BoardingChanged, now, passenger, from_=stop.code, old_from=passenger.from_
    )
    if passenger.status is BookingStatus.RAC:
        return [changed]  # half a berth is for its other holder only
    left = vacated(state, passenger, before, e.Cause.BOARDING_CHANGED, now, end=stop.index)
    return [changed, *left]


# --- helpers of the rules -----------------------------------------------------------------------


def check_running(state: RunState) -> None:
    """Raise Conflict unless the run is under way."""
    if not state.running:
        raise Conflict(
            f"{state.run} is {state.status}, not RUNNING{way_back(state)}", status=state.status
        )


def check_live(state: RunState) -> None:
    """Raise Conflict if the run has ended."""
    if state.status not in (RunStatus.SCHEDULED, RunStatus.RUNNING):
        raise Conflict(f"{state.run} is {state.status}{way_back(state)}", status=state.status)


def way_back(state: RunState) -> str:
    """Return how a run that is not RUNNING goes on, as the end of an error message."""
    undoes = {
        RunStatus.SCHEDULED: ": START_JOURNEY comes first",
        RunStatus.CANCELLED: ": REINSTATE_TRAIN takes that back",
        RunStatus.CLOSED: ": REINSTATE_TRAIN opens it again",
        RunStatus.COMPLETED: ": UNDO_REPORT takes the last arrival back",
    }
    return undoes.get(state.status, "")


def _check_markable(
    state: RunState, passenger: Passenger, command: c.MarkCommand, now: datetime
) -> bool:
    """Return whether the passenger's journey is over already, which a mark with a time may be.

    Raises Conflict if the passenger cannot be marked, or if a newer mark says otherwise, and
    BadMessage if the mark's time is in the future.
    """
    if passenger.state is PersonState.CANCELLED:
        raise Conflict("the passenger is CANCELLED", state=passenger.state)
    if state.status not in (RunStatus.COMPLETED, RunStatus.CLOSED) or command.at is None:
        check_running(state)
    if state.boards(passenger) > state.current:
        raise Conflict(
            f"the passenger boards at {passenger.from_}, a later station",
            boardsAt=passenger.from_,
        )
    if command.at is None:
        _check_under_way(state, passenger)
    _check_time(state, passenger, command.at, now)
    return state.alights(passenger) <= state.current or not state.running


def _check_undo(
    state: RunState, passenger: Passenger, command: c.MarkCommand, now: datetime
) -> None:
    """Raise Conflict if the mark is newer than its undo, or BadMessage if the undo lies ahead."""
    _check_not_ahead(command.at, now)
    at, marked = command.at, passenger.marked_at
    if at is not None and marked is not None and at < marked:
        raise _marked_already(state, passenger, "this undo is older")


def _check_not_ahead(at: datetime | None, now: datetime) -> None:
    """Raise BadMessage if a device says that a mark was made in the future."""
    if at is not None and at > now + CLOCK_SKEW:
        raise BadMessage("at lies in the future: give the time when the mark was made")


def _check_time(state: RunState, passenger: Passenger, at: datetime | None, now: datetime) -> None:
    """Raise BadMessage or Conflict if a mark cannot have been made at that time."""
    _check_not_ahead(at, now)
    if at is None:
        return
    came = state.stops[state.boards(passenger)].arrived
    if came is not None and at < came - CLOCK_SKEW:
        raise Conflict(
            f"at is before the train came to {passenger.from_}: give {came.isoformat()} or later"
        )
    end = state.alights(passenger)
    if not state.running:
        end = min(end, state.current)  # the run ended before the destination
    ended = state.stops[end].arrived if end <= state.current else None
    if ended is not None and at > ended + CLOCK_SKEW:
        raise Conflict(
            f"at is after the journey ended at {state.stops[end].code}: give "
            f"{ended.isoformat()} or earlier"
        )
    if passenger.marked_at is not None and not passenger.assumed and at < passenger.marked_at:
        raise _marked_already(state, passenger, "this mark is older")


def _marked_already(state: RunState, passenger: Passenger, rest: str) -> Conflict:
    """Return the error that another mark stands in the way: who made it, and when."""
    by = "the hub" if passenger.marked_by is None else passenger.marked_by
    at = None if passenger.marked_at is None else local(passenger.marked_at, state.zone)
    when = "" if at is None else f" at {at:%H:%M}"
    return Conflict(
        f"{by} marked the passenger {passenger.state}{when}: {rest}",
        state=passenger.state,
        markedBy=passenger.marked_by,
        markedAt=None if at is None else at.isoformat(),
    )


def _marked(state: RunState, command: c.MarkCommand) -> dict[str, datetime | None]:
    """Return the field of a mark's event that has the time of the device."""
    return {"marked_at": command.at and local(command.at, state.zone)}


def _is_fresh(passenger: Passenger, now: datetime) -> bool:
    """Return whether the last mark was a few minutes old at the time of the next one, `now`."""
    return passenger.marked_at is not None and now - passenger.marked_at <= FRESH


def _berth_is_free(state: RunState, passenger: Passenger) -> bool:
    """Return whether a passenger who left a berth can have it again, to the destination."""
    key = passenger.berth_key
    return key is None or state.occupancy.has_room(
        key, state.remaining(passenger), half=passenger.status is BookingStatus.RAC
    )


def _check_under_way(
    state: RunState,
    passenger: Passenger,
    way: str = "a mark that was made before needs its time, at",
) -> None:
    """Raise Conflict if the passenger's journey is over; `way` says what to do."""
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}: {way}")


def _check_due(state: RunState, passenger: Passenger) -> None:
    """Raise Conflict unless the passenger is DUE and the train is before the destination."""
    check_live(state)
    if passenger.state is not PersonState.DUE:
        raise Conflict(f"the passenger is {passenger.state}, not DUE", state=passenger.state)
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")


def vacated(
    state: RunState,
    passenger: Passenger,
    start: int,
    cause: e.Cause,
    now: datetime,
    end: int | None = None,
) -> Events:
    """Return the vacancy of the berth that a person leaves at station `start`, if there is one.

    A person who leaves early frees the berth up to `end`, by default the destination. A person who
    alights frees it up to the next holder.
    """
    key = passenger.berth_key
    if key is None or passenger.coach is None or passenger.berth is None:
        return []
    end = state.alights(passenger) if end is None else end
    if end <= start:
        end = state.terminus.index
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
            class_=state.occupancy.classes[key],
            from_=state.stops[start].code,
            to=state.stops[end].code,
            cause=cause,
            ladies=passenger.booking.quota == LADIES,
        )
    ]


def station_ref(stop: Stop) -> e.StationRef:
    return e.StationRef(code=stop.station.code, name=stop.station.name, index=stop.index)


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
