"""What may be read of a run: a line for a list, the run as a role may see it, its figures."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from trainhub.domain.codec import dump
from trainhub.domain.model import STAFF, PersonState, Role
from trainhub.domain.train import Passenger, Stop, TrainState


def summary(state: TrainState) -> dict[str, Any]:
    """The run in a few fields, for everyone."""
    here, coming = state.stops[state.current], state.next_stop
    return {
        "trainNo": state.chart.train_no,
        "trainName": state.chart.train_name,
        "startDate": state.chart.start_date.isoformat(),
        "status": state.status.value,
        "seq": state.seq,
        "stations": len(state.stops),
        "index": state.current,
        "departed": state.departed,
        "station": {"code": here.station.code, "name": here.station.name},
        "next": coming
        and {
            "code": coming.station.code,
            "name": coming.station.name,
            "expected": dump(state.expected(coming.scheduled_arrival)),
        },
        "delayMinutes": state.delay_minutes,
    }


def run_view(state: TrainState, role: Role | None, user: str | None) -> dict[str, Any]:
    """The run as it may be read: people only by the staff, and by passengers their own."""
    view = {
        **summary(state),
        "timezone": state.chart.timezone,
        "stations": [_stop(state, stop) for stop in state.stops],
        "figures": figures(state),
    }
    people = visible_people(state, role, user)
    if people is not None:
        view["passengers"] = [person_view(passenger) for passenger in people]
    return view


def visible_people(
    state: TrainState, role: Role | None, user: str | None
) -> Iterable[Passenger] | None:
    """The people somebody may read of, or None for those who may read of nobody."""
    if role in STAFF:
        return state.passengers.values()
    if role is Role.PASSENGER and user is not None:
        return state.of_user(user)
    return None


def person_view(passenger: Passenger) -> dict[str, Any]:
    """A person: the chart's fields, with status, state, coach and berth as they are now."""
    return {
        **dump(passenger.booking),
        "status": passenger.status.value,
        "state": passenger.state.value,
        "coach": passenger.coach,
        "berth": passenger.berth,
    }


def _stop(state: TrainState, stop: Stop) -> dict[str, Any]:
    came = stop.index <= state.current and stop.arrived is not None
    gone = stop.departed is not None
    return {
        "code": stop.station.code,
        "name": stop.station.name,
        "index": stop.index,
        "distanceKm": stop.station.distance_km,
        "platform": stop.platform,
        "scheduledArrival": dump(stop.scheduled_arrival),
        "expectedArrival": dump(stop.arrived if came else state.expected(stop.scheduled_arrival)),
        "actualArrival": dump(stop.arrived),
        "scheduledDeparture": dump(stop.scheduled_departure),
        "expectedDeparture": dump(
            stop.departed if gone else state.expected(stop.scheduled_departure)
        ),
        "actualDeparture": dump(stop.departed),
    }


def figures(state: TrainState) -> dict[str, Any]:
    """How many are booked, aboard and NT, and berths vacant on this leg, by class and coach.

    Derived from the state at each call; nobody is named.
    """
    classes: dict[str, dict[str, int]] = {}
    coaches: dict[str, dict[str, int]] = {}
    held = Counter(berth.rpartition("-")[0] for berth in state.occupancy.held_at(state.current))
    for coach in state.chart.coaches:
        vacant = coach.berths - held[coach.code]
        coaches[coach.code] = _row(vacant)
        classes.setdefault(coach.class_, _row())["vacant"] += vacant
    for passenger in state.passengers.values():
        rows = [classes.setdefault(passenger.booking.class_, _row())]
        if passenger.coach is not None:
            rows.append(coaches[passenger.coach])
        for row in rows:
            row["booked"] += 1
            row["aboard"] += passenger.state is PersonState.ABOARD
            row["nt"] += passenger.state is PersonState.NT
    return {
        "classes": [{"class": name, **row} for name, row in classes.items()],
        "coaches": [{"coach": code, **row} for code, row in coaches.items()],
    }


def _row(vacant: int = 0) -> dict[str, int]:
    return {"booked": 0, "aboard": 0, "nt": 0, "vacant": vacant}
