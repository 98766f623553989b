"""What may be read of a run: a summary, the run as a role may see it, its figures and lists."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from trainhub.core.codec import dump
from trainhub.domain.berths import berth_keys, ends, numbers, stretches
from trainhub.domain.errors import UnknownPassenger
from trainhub.domain.events import Cause
from trainhub.domain.model import (
    STAFF,
    BerthKey,
    BookingStatus,
    Coach,
    PersonKey,
    PersonState,
    Policy,
    Role,
)
from trainhub.domain.offers import candidates
from trainhub.domain.run_state import Offer, Passenger, RunState, Stop
from trainhub.domain.schedule import local
from trainhub.domain.shapes import (
    BerthHolder,
    BerthPlace,
    BerthPlan,
    CoachCounts,
    CommonView,
    Counts,
    DutyLine,
    Figures,
    OfferView,
    Overdue,
    People,
    Progress,
    RunView,
    StationNamed,
    StopView,
    Summary,
    VacancyView,
)


def summary(state: RunState) -> Summary:
    """Return the run in a few fields, for everyone."""
    return {**_progress(state), "zone": state.chart.zone, "stations": len(state.stops)}


def _progress(state: RunState, delay: int | None = None) -> Progress:
    here, coming = state.stops[state.current], state.next_stop
    return {
        "trainNo": state.chart.train_no,
        "trainName": state.chart.train_name,
        "startDate": dump(state.chart.start_date),
        "status": dump(state.status),
        "seq": state.seq,
        "index": state.current,
        "departed": state.departed,
        "station": station_named(here),
        "next": None
        if coming is None
        else {
            **station_named(coming),
            "index": coming.index,
            "expected": dump(state.expected_arrival(coming, delay)),
        },
        "delayMinutes": state.delay_minutes,
    }


def station_named(stop: Stop) -> StationNamed:
    return {"code": stop.station.code, "name": stop.station.name}


def run_view(
    state: RunState, role: str | None, user: str | None, now: datetime | None = None
) -> RunView:
    """Return the run as a reader may see it: the staff see all people, passengers their own.

    With `now`, a missing report counts: the expected times move with the clock.
    """
    found = figures(state)
    shown = found if role in STAFF else public_figures(state, found)
    delay = None if now is None else state.delay_at(now)
    overdue: Overdue = {} if now is None else {"overdueMinutes": state.overdue_minutes(now)}
    own = private_view(state, role, user)
    return {**common_view(state, delay), "figures": shown, **own, **overdue}


def common_view(state: RunState, delay: int | None = None) -> CommonView:
    """Return the part of the run that is the same for all readers, with a delay or its own."""
    return {
        **_progress(state, delay),
        "timezone": state.chart.timezone,
        "policy": dump(state.chart.policy),
        "undoMinutes": state.chart.undo_minutes,
        "stations": [stop_view(state, stop, delay) for stop in state.stops],
    }


def private_view(state: RunState, role: str | None, user: str | None) -> People:
    """Return the people and open offers that a reader may see; empty if the reader may see none."""
    people = visible_people(state, role, user)
    if people is None:
        return {}
    offers = state.open_by_person
    own: Collection[PersonKey] = offers.keys()
    if role not in STAFF:
        # Under policy APPROVAL no passenger is asked, or told before the TTE has approved.
        asked = state.chart.policy is Policy.OFFER
        own = {each.person for each in people} if asked else ()
    view: People = {
        "passengers": [person_view(passenger) for passenger in people],
        "offers": [offer_view(each, role) for person, each in offers.items() if person in own],
    }
    if role in STAFF:
        here = (coach for coach, at in state.checked.items() if at == state.current)
        view["checked"] = sorted(here)
        view["duty"] = duty_view(state)
    return view


def duty_view(state: RunState) -> list[DutyLine]:
    """Return each coach with the TTE who is responsible for it."""
    lines: list[DutyLine] = []
    for code in dict.fromkeys(coach.code for coach in state.chart.coaches):
        duty, checked = state.duty.get(code), state.checked.get(code)
        lines.append(
            {
                "coach": code,
                "tte": None if duty is None else duty.tte,
                "since": None if duty is None else dump(local(duty.since, state.zone)),
                "checked": None if checked is None else state.stops[checked].code,
            }
        )
    return lines


def sees(owner: str | None, role: str | None, user: str | None) -> bool:
    """Return whether a reader may see a user's data: the staff may, and passengers their own."""
    return role in STAFF or (role == Role.PASSENGER and user is not None and user == owner)


def visible_people(
    state: RunState, role: str | None, user: str | None
) -> Iterable[Passenger] | None:
    """Return the people that a reader may see. None means that the reader may see no people."""
    if role in STAFF:
        return state.passengers.values()
    if role == Role.PASSENGER and user is not None:
        return state.of_user(user)
    return None


def visible_on_pnr(
    state: RunState, pnr: str, role: str | None, user: str | None
) -> list[Passenger]:
    """Return the people on a PNR that a reader may see.

    Raises UnknownPassenger if there is no person that the reader may see, so that a passenger
    cannot tell another user's PNR from an unknown one.
    """
    people = [each for each in state.on_pnr(pnr) if sees(each.booking.irctc_id, role, user)]
    if not people:
        raise UnknownPassenger(f"{state.run} has no passenger on that PNR")
    return people


def person_view(passenger: Passenger) -> dict[str, Any]:
    """Return a person: the chart's fields; status, state, coach, berth and from as they are now."""
    return {
        **dump(passenger.booking),
        "status": passenger.status.value,
        "state": passenger.state.value,
        "coach": passenger.coach,
        "berth": passenger.berth,
        "from": passenger.from_,
        "upgradedFrom": passenger.upgraded_from,
        "markedAt": dump(passenger.marked_at),
        "assumed": passenger.assumed,
        "left": dump(passenger.left),
    }


def offer_view(offer: Offer, role: str | None) -> OfferView:
    """Return an offer and its outcome.

    Only the staff get the reason, which names other passengers, and the number of devices.
    """
    made = offer.made
    view: OfferView = {
        "offerId": offer.id,
        "state": dump(offer.state),
        "pnr": made.pnr,
        "index": made.index,
        "coach": made.coach,
        "berth": made.berth,
        "berthType": made.berth_type,
        "oldCoach": made.old_coach,
        "oldBerth": made.old_berth,
        "from": made.from_,
        "to": made.to,
        "expiresAt": dump(made.expires_at),
        "closedAt": dump(offer.closed_at),
        "answeredBy": dump(offer.answered_by),
    }
    if role in STAFF:
        view |= {
            "name": made.name,
            "cause": dump(made.cause),
            "reason": dump(made.reason),
            "passedOver": dump(made.passed_over),
            "delivered": offer.devices,
            "deliveredAt": dump(offer.delivered_at),
        }
    return view


def visible_offers(state: RunState, role: str | None, user: str | None) -> Iterator[Offer]:
    """Yield the offers that a reader may see, the newest first."""
    return (each for each in reversed(state.offers.values()) if sees(each.made.user, role, user))


def rac_view(state: RunState) -> list[dict[str, Any]]:
    """Return the waiting passengers by class: those on RAC, then those on WL, in their turn."""
    return [
        {**person_view(passenger), "offerId": _open_offer(state, passenger)}
        for class_ in sorted(state.waiting)
        for passenger in candidates(state, class_)
        if passenger.state in _WAITING
    ]


def _open_offer(state: RunState, passenger: Passenger) -> str | None:
    offer = state.open_by_person.get(passenger.person)
    return None if offer is None else offer.id


def vacancies_view(state: RunState) -> list[VacancyView]:
    """Return each berth that is free on the coming leg: up to which station, why, and its offer.

    `cause` is UNBOOKED if no event made the berth vacant. `half` means half a side lower.
    """
    last = state.terminus.index
    if state.current >= last:
        return []
    return [
        _vacancy(state, key, state.current, last)
        for coach in state.chart.coaches
        for key in berth_keys(coach)
        if state.is_vacant(key, state.current)
    ]


def _vacancy(state: RunState, key: BerthKey, start: int, last: int) -> VacancyView:
    coach, _, berth = key.rpartition("-")
    half = state.occupancy.half_free(key, start)
    until = last if half else state.occupancy.free_until(key, start, last)
    vacancy, offer = state.vacancy(key), state.open_by_berth.get(key)
    return {
        "coach": coach,
        "berth": int(berth),
        "class": state.occupancy.classes[key],
        "berthType": dump(state.occupancy.types[key]),
        "half": half,
        "from": state.stops[start].code,
        "to": state.stops[until].code,
        "cause": dump(vacancy.cause if vacancy else Cause.UNBOOKED),
        "offerId": None if offer is None else offer.id,
    }


def berth_places(state: RunState, coach: Iterable[Coach]) -> list[BerthPlace]:
    """Return a coach's berths in the order of their numbers, without who has them."""
    return [place for place, _ in _places(state, coach)]


def berth_plan(state: RunState, coach: Iterable[Coach]) -> list[BerthPlan]:
    """Return a coach's berths, each with its holders and their stations."""
    return [
        {
            **place,
            "blocked": dump(state.occupancy.blocked(key, state.current)),
            "holders": [
                _holder(state, person, mask, half)
                for person, hold in state.occupancy.holders(key).items()
                for half, whole in ((False, hold.whole), (True, hold.half))
                for mask in stretches(whole)
            ],
        }
        for place, key in _places(state, coach)
    ]


def _places(state: RunState, coach: Iterable[Coach]) -> Iterator[tuple[BerthPlace, BerthKey]]:
    """Yield a coach's berths, each with its key."""
    for part in coach:
        for number, key in zip(numbers(part), berth_keys(part), strict=True):
            type_ = dump(state.occupancy.types[key])
            yield {"berth": number, "class": part.class_, "berthType": type_}, key


def _holder(state: RunState, person: PersonKey, mask: int, half: bool) -> BerthHolder:
    passenger = state.passengers[person]
    start, end = ends(mask)
    return {
        "pnr": passenger.booking.pnr,
        "index": passenger.booking.index,
        "name": passenger.booking.name,
        "state": dump(passenger.state),
        "half": half,
        "from": state.stops[start].code,
        "to": state.stops[end].code,
    }


def stop_view(state: RunState, stop: Stop, delay: int | None = None) -> StopView:
    """Return a stop of the run, with its scheduled, expected and actual times."""
    came = stop.index <= state.current and stop.arrived is not None
    gone = stop.departed is not None
    comes, goes = state.expected_arrival(stop, delay), state.expected_departure(stop, delay)
    return {
        "code": stop.station.code,
        "stop": stop.code,
        "name": stop.station.name,
        "index": stop.index,
        "distanceKm": stop.station.distance_km,
        "platform": stop.platform,
        "platformConfirmed": stop.platform_confirmed,
        "skipped": stop.skipped,
        "scheduledArrival": dump(stop.scheduled_arrival),
        "expectedArrival": dump(stop.arrived if came else comes),
        "actualArrival": dump(stop.arrived),
        "scheduledDeparture": dump(stop.scheduled_departure),
        "expectedDeparture": dump(stop.departed if gone else goes),
        "actualDeparture": dump(stop.departed),
    }


def figures(state: RunState) -> Figures:
    """Count passengers by state, and the berths vacant on this leg, by class and by coach.

    `rac` counts the passengers who still wait on RAC. No person is named. The staff read all rows.
    """
    classes: dict[str, Counts] = {}
    coaches: dict[str, Counts] = {}
    occupancy = state.occupancy
    held = Counter(
        (berth.rpartition("-")[0], occupancy.classes[berth])
        for berth in occupancy.taken_at(state.current)
    )
    for coach in filter(lambda coach: coach.berths, state.chart.coaches):
        vacant = coach.berths - held[coach.code, coach.class_]
        coaches.setdefault(coach.code, _row())["vacant"] += vacant
        classes.setdefault(coach.class_, _row())["vacant"] += vacant
    for passenger in state.passengers.values():
        rows = [classes.setdefault(passenger.booking.class_, _row())]
        if passenger.coach is not None:
            rows.append(coaches.setdefault(passenger.coach, _row()))
        for row in rows:
            row["booked"] += 1
            row["aboard"] += passenger.state is PersonState.ABOARD
            row["due"] += passenger.state is PersonState.DUE
            row["nt"] += passenger.state is PersonState.NT
            row["rac"] += passenger.status is BookingStatus.RAC and passenger.state in _WAITING
            row["upgraded"] += passenger.upgraded_from is not None
    return {
        "classes": [{"class": each, **row} for each, row in classes.items()],
        "coaches": [{"coach": code, **row} for code, row in coaches.items()],
    }


def public_figures(state: RunState, whole: Figures) -> Figures:
    """Return the figures that everyone reads: `whole` itself if no row has to be left out.

    Rows are left out so that none, and no difference of rows, is about one passenger.
    """
    classes = {row["class"]: row for row in whole["classes"]}
    coaches = {row["coach"]: row for row in whole["coaches"]}
    by_class: dict[str, dict[str, CoachCounts]] = {}
    for coach in state.chart.coaches:
        if coach.code in coaches:
            by_class.setdefault(coach.class_, {})[coach.code] = coaches[coach.code]
    hidden = {code for rows in by_class.values() for code in _hidden(rows)}
    small = _hidden(classes)
    if not (hidden or small):
        return whole
    return {
        "classes": [row for class_, row in classes.items() if class_ not in small],
        "coaches": [row for code, row in coaches.items() if code not in hidden],
    }


def _hidden(rows: Mapping[str, Counts]) -> list[str]:
    """Return the rows of one passenger, which the public does not read.

    The sum of all rows is public too. So a row that would be alone in being left out takes the
    smallest other row with it.
    """
    lone = [name for name, row in rows.items() if row["booked"] == 1]
    if len(lone) == 1:
        others = [name for name, row in rows.items() if row["booked"] > 1]
        lone += sorted(others, key=lambda name: rows[name]["booked"])[:1]
    return lone


_WAITING = (PersonState.DUE, PersonState.ABOARD)


def _row() -> Counts:
    return {
        "booked": 0, "aboard": 0, "due": 0, "nt": 0, "rac": 0, "upgraded": 0, "vacant": 0,
    }  # fmt: skip
