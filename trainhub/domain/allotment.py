"""The rules of berths by a person's decision: blocked, allotted, exchanged and unbooked ones.

Each public function with a command decides it: it returns the events, or raises a HubError.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.berths import berth_keys, ends, is_upgrade, numbers
from trainhub.domain.events import Events
from trainhub.domain.marks import check_live, person_event, station_ref, vacated
from trainhub.domain.model import BerthKey, BookingStatus, PersonKey, PersonState, berth_key
from trainhub.domain.offers import candidates, left_behind, taken_from, unable
from trainhub.domain.reasons import PASSED, Queue
from trainhub.domain.run_state import Passenger, RunState


def block(state: RunState, command: c.BlockBerth, now: datetime) -> Events:
    """Block berths from here on. Their passengers, booked now or later, lose them."""
    check_live(state)
    berths = [
        number
        for number in _berths(state, command.coach, command.berth)
        if state.occupancy.blocked(berth_key(command.coach, number), state.current)
        is not command.reason
    ]
    if not berths:
        return []
    return [
        e.BerthsBlocked(
            at=now,
            station=station_ref(state.here),
            coach=command.coach,
            berths=tuple(berths),
            reason=command.reason,
        ),
        *(
            person_event(e.BerthLost, now, each, blocked=command.reason)
            for each in _holders(state, command.coach, berths)
        ),
    ]


def unblock(state: RunState, command: c.UnblockBerth, now: datetime) -> Events:
    """Make blocked berths free from here on. They are vacancies then."""
    check_live(state)
    blocked = [
        number
        for number in _berths(state, command.coach, command.berth)
        if state.occupancy.blocked(berth_key(command.coach, number), state.current) is not None
    ]
    if not blocked:
        return []
    coach = command.coach
    return [
        e.BerthsUnblocked(
            at=now, station=station_ref(state.here), coach=coach, berths=tuple(blocked)
        ),
        *(
            _vacant(state, coach, number, state.terminus.index, e.Cause.UNBLOCKED, now)
            for number in blocked
        ),
    ]


def unbooked(state: RunState, now: datetime) -> Events:
    """Return the vacancies on the coming leg that no event has made, of classes that people need.

    A berth that was not booked up to here may still be sold, until the train has left the station.
    """
    here, last, cause = state.current, state.terminus.index, e.Cause.UNBOOKED
    return [
        _vacant(state, coach.code, number, state.occupancy.free_until(key, here, last), cause, now)
        for coach in state.chart.coaches
        if state.waiting.get(coach.class_)
        for number, key in zip(numbers(coach), berth_keys(coach), strict=True)
        if state.is_vacant(key, here)
        and not state.occupancy.at(key, here)
        and state.vacancy(key) is None
    ]


def _vacant(
    state: RunState, coach: str, number: int, end: int, cause: e.Cause, now: datetime
) -> e.BerthVacated:
    """Return the event that a berth is free from here up to station `end`."""
    return e.BerthVacated(
        at=now,
        coach=coach,
        berth=number,
        class_=state.occupancy.classes[berth_key(coach, number)],
        from_=state.here.code,
        to=state.stops[end].code,
        cause=cause,
    )


def allot(state: RunState, command: c.AllotBerth, now: datetime) -> Events:
    """Give a berth that is vacant for the rest of a passenger's journey, whatever the turn."""
    passenger = _traveller(state, command.pnr, command.index)
    (number,) = _berths(state, command.coach, command.berth)
    key = berth_key(command.coach, number)
    if passenger.status is BookingStatus.CNF and passenger.berth_key == key:
        return []
    _check_berth(state, passenger, key, half=False)
    moved = _allotted(
        state,
        passenger,
        command.coach,
        number,
        now,
        status=BookingStatus.CNF,
        allotted_for=command.reason,
        note=command.note,
        upgraded_from=None if passenger.status is BookingStatus.CNF else passenger.place_in_turn,
        **_passed_over(state, passenger, key),
    )
    start = state.starts(passenger)
    if passenger.berth_key == key:
        return [moved]  # the half berth that the passenger had
    return [moved, *left_behind(state, passenger, start, e.Cause.ALLOTTED, now)]


def swap(state: RunState, command: c.SwapBerths, now: datetime) -> Events:
    """Exchange the berths of two passengers, each for the rest of the own journey."""
    first = _traveller(state, command.pnr, command.index)
    second = _traveller(state, command.other_pnr, command.other_index)
    if first.berth_key is None or second.berth_key is None:
        raise Conflict("one of the two does not have a berth: use ALLOT_BERTH")
    if first.status is not second.status:
        raise Conflict(
            f"one is {first.status} and the other {second.status}: exchange berths of the same kind"
        )
    if first.berth_key == second.berth_key:
        return []
    half, both = first.status is BookingStatus.RAC, (first.person, second.person)
    pairs = ((first, second), (second, first))
    for mover, holder in pairs:
        assert holder.berth_key is not None
        _check_berth(state, mover, holder.berth_key, half=half, but=both)
    events: Events = []
    for mover, holder in pairs:
        assert holder.coach is not None
        assert holder.berth is not None
        more = {"status": mover.status, "note": command.note}
        events.append(_allotted(state, mover, holder.coach, holder.berth, now, **more))
    for mover, holder in pairs:
        start, end = state.starts(holder), state.starts(mover)
        if end > start and not half:  # half a berth is for its other holder only
            events += vacated(state, holder, start, e.Cause.ALLOTTED, now, end=end)
    return events


# --- helpers of the rules -----------------------------------------------------------------------


def _traveller(state: RunState, pnr: str, index: int) -> Passenger:
    """Return a person who is due or aboard. Raises Conflict if the person cannot get a berth."""
    check_live(state)
    passenger = state.passenger(pnr, index)
    if passenger.state not in (PersonState.DUE, PersonState.ABOARD):
        raise Conflict(
            f"the passenger is {passenger.state}, not DUE or ABOARD", state=passenger.state
        )
    if state.alights(passenger) <= state.current:
        raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")
    if passenger.status is BookingStatus.NOSB:
        raise Conflict("a child without a berth (NOSB) needs a ticket for one: use AMEND_CHART")
    if passenger.person in state.open_by_person:
        raise Conflict("the passenger has an open offer: withdraw it first")
    return passenger


def _check_berth(
    state: RunState,
    passenger: Passenger,
    key: BerthKey,
    *,
    half: bool,
    but: tuple[PersonKey, ...] = (),
) -> None:
    """Raise Conflict unless a berth can be a passenger's for the rest of the journey."""
    booked, given = passenger.booking.class_, state.occupancy.classes[key]
    if booked != given and not is_upgrade(booked, given):
        raise Conflict(f"berth {key} is of class {given}, and the ticket is of class {booked}")
    if key in state.open_by_berth:
        raise Conflict(f"berth {key} is on offer: withdraw the offer first", berth=key)
    mask, but = state.remaining(passenger), (passenger.person, *but)
    if state.occupancy.has_room(key, mask, half=half, but=but):
        return
    blocked = state.occupancy.blocked(key, state.current)
    if blocked is not None:
        raise Conflict(f"berth {key} is blocked ({blocked}): use UNBLOCK_BERTH first", berth=key)
    holders = [
        _holder(state, person, hold.mask)
        for person, hold in state.occupancy.holders(key).items()
        if person not in but and hold.mask & mask
    ]
    raise Conflict(
        f"berth {key} is held from {holders[0]['from']} to {holders[0]['to']}: details.holders "
        "says by which passengers",
        berth=key,
        holders=holders,
    )


def _holder(state: RunState, person: PersonKey, mask: int) -> dict[str, str | int]:
    booking = state.passengers[person].booking
    start, end = ends(mask)
    return {
        "pnr": booking.pnr,
        "index": booking.index,
        "name": booking.name,
        "from": state.stops[start].code,
        "to": state.stops[end].code,
    }


def _allotted(
    state: RunState, passenger: Passenger, coach: str, berth: int, now: datetime, **more: object
) -> e.PersonEvent:
    """Return the event that a passenger has another berth; `more` are its other fields."""
    return person_event(
        e.BerthAllotted,
        now,
        passenger,
        coach=coach,
        berth=berth,
        from_=state.stops[state.starts(passenger)].code,
        old_coach=passenger.coach,
        old_berth=passenger.berth,
        **more,
    )


def _passed_over(state: RunState, passenger: Passenger, key: BerthKey) -> dict[str, Any]:
    """Return those who wait for a berth of the class before a passenger, and why not they."""
    queue = Queue()
    for each in candidates(state, state.occupancy.classes[key]):
        if each is passenger:
            break
        queue.add(each.booking, unable(state, each) or taken_from(state, each, key) or PASSED)
    reason, others = queue.reason(passenger.booking, lambda _: PASSED)
    return {"reason": reason, "passed_over": others}


def _berths(state: RunState, coach: str, berth: int | None) -> list[int]:
    """Return the berth of that number, or all of the coach. Raises BadMessage."""
    known = [number for part in state.coach(coach) for number in numbers(part)]
    if berth is None:
        return known
    if berth not in known:
        raise BadMessage(f"coach {coach} does not have the berth: use one of its plan")
    return [berth]


def _holders(state: RunState, coach: str, berths: Iterable[int]) -> list[Passenger]:
    """Return the people who hold one of the berths now or later: first those who have it whole."""
    people = {
        person: state.passengers[person]
        for number in berths
        for person, hold in state.occupancy.holders(berth_key(coach, number)).items()
        if hold.mask >> state.current
    }
    return sorted(people.values(), key=lambda each: each.status is BookingStatus.RAC)
