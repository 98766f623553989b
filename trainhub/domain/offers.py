"""Upgrades: which vacant berth goes to whom, and the life of an offer.

A vacancy arises from a no-show, an alighting, a cancellation, and from each upgrade itself.
Candidates are the RAC passengers aboard by their number, then those on WL; nobody is served before
a better number who fits the same berth, and who is passed over has a reason that is kept.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.berths import BerthType
from trainhub.domain.codec import read_date
from trainhub.domain.errors import BadMessage, Conflict, OfferClosed, UnknownOffer
from trainhub.domain.marks import person_event, vacated
from trainhub.domain.model import (
    BerthKey,
    BookingStatus,
    OfferState,
    PersonKey,
    PersonState,
    Policy,
    RunKey,
    berth_key,
)
from trainhub.domain.run_state import Offer, Passenger, RunState, Vacancy

Events = list[e.Event]

# Which berth a passenger likes better, all else being equal.
_LIKED = {
    BerthType.LOWER: 0,
    BerthType.SIDE_LOWER: 1,
    BerthType.MIDDLE: 2,
    BerthType.UPPER: 3,
    BerthType.SIDE_UPPER: 4,
    BerthType.SEAT: 5,
}
CHOSEN, HAS_OFFER = "chosen", "has an open offer"
# Devices of an offer that are counted: each is an event, and a client may go on for ever.
MOST_DEVICES = 16
_OFFER_ID = re.compile(r"([0-9A-Z]{1,10})\.([0-9]{4}-[0-9]{2}-[0-9]{2})\.[0-9]{1,15}")


def offer_id(run: RunKey, seq: int) -> str:
    """An offer's id names its run and the event that made it: "12345.2026-11-23.17"."""
    return f"{run.replace('/', '.')}.{seq}"


def run_of_offer(text: str) -> tuple[str, str]:
    """The train number and start date that an offer's id names. Raises UnknownOffer."""
    found = _OFFER_ID.fullmatch(text)
    try:
        if found is not None:
            return found[1], read_date(found[2], "date").isoformat()
    except BadMessage:
        pass  # a day that is in no calendar
    raise UnknownOffer("there is no offer of that id")


# --- answering ----------------------------------------------------------------------------------


def accept(state: RunState, command: c.AcceptOffer, now: datetime) -> Events:
    offer = _answerable(state, command.offer_id, now)
    if state.chart.policy is Policy.APPROVAL:
        raise Conflict("on this run a TTE approves upgrades: APPROVE_OFFER")
    return _confirm_offer(state, offer, now)


def approve(state: RunState, command: c.ApproveOffer, now: datetime) -> Events:
    offer = _answerable(state, command.offer_id, now)
    if state.chart.policy is not Policy.APPROVAL:
        raise Conflict("on this run the offer is accepted: ACCEPT_OFFER")
    return _confirm_offer(state, offer, now)


def deny(state: RunState, command: c.DenyOffer, now: datetime) -> Events:
    return [_close(_answerable(state, command.offer_id, now), OfferState.DENIED, now)]


def withdraw(state: RunState, command: c.WithdrawOffer, now: datetime) -> Events:
    return [_close(_answerable(state, command.offer_id, now), OfferState.WITHDRAWN, now)]


def expire(state: RunState, command: c.ExpireOffers, now: datetime) -> Events:
    return [
        _close(offer, OfferState.EXPIRED, now)
        for offer in state.open_by_berth.values()
        if offer.made.expires_at <= now
    ]


def acknowledge(state: RunState, command: c.AcknowledgeOffer, now: datetime) -> Events:
    """Count a device that the offer has arrived on, also if that was too late for an answer."""
    offer = state.offer(command.offer_id)
    if state.chart.policy is not Policy.OFFER or offer.devices >= MOST_DEVICES:
        return []
    return [
        e.UpgradeDelivered(
            at=now,
            offer_id=offer.id,
            pnr=offer.made.pnr,
            index=offer.made.index,
            devices=offer.devices + 1,
        )
    ]


def _answerable(state: RunState, found: str, now: datetime) -> Offer:
    """The offer, if it can still be answered; else OfferClosed with its outcome."""
    offer = state.offer(found)
    outcome = offer.state
    if outcome is OfferState.OPEN and offer.made.expires_at <= now:
        outcome = OfferState.EXPIRED
    if outcome is not OfferState.OPEN:
        raise OfferClosed(f"the offer is closed: {outcome}", outcome=outcome)
    return offer


def _close(offer: Offer, outcome: OfferState, now: datetime) -> e.UpgradeClosed:
    made = offer.made
    return e.UpgradeClosed(
        at=now,
        offer_id=offer.id,
        user=made.user,
        pnr=made.pnr,
        index=made.index,
        outcome=outcome,
    )


# --- what follows from other events -------------------------------------------------------------


def to_check(state: RunState, event: e.Event) -> Iterator[BerthKey]:
    """The berths on offer whose offer may not stand any more after an event."""
    if isinstance(event, e.StationArrival | e.JourneyCompleted | e.TrainCancelled):
        yield from state.open_by_berth
    elif isinstance(event, e.NoShowUndone):
        yield from filter(None, (state.passengers[event.person].berth_key,))


def outdated(state: RunState, keys: Iterable[BerthKey], now: datetime) -> Events:
    """Withdraws those offers of the berths `keys` whose vacancy or journey has ended."""
    offers = (state.open_by_berth[key] for key in keys if key in state.open_by_berth)
    return [
        _close(offer, OfferState.WITHDRAWN, now) for offer in offers if not _stands(state, offer)
    ]


def _stands(state: RunState, offer: Offer) -> bool:
    passenger = state.passengers[offer.person]
    return (
        state.running
        and passenger.state is PersonState.ABOARD
        and state.alights(passenger) > state.current
        and _room(state, passenger, offer.key) is None
    )


def to_match(state: RunState, event: e.Event) -> Iterator[BerthKey]:
    """The berths that may find somebody after an event."""
    if isinstance(event, e.BerthVacated):
        yield berth_key(event.coach, event.berth)
    elif isinstance(event, e.BoardingChanged):
        yield from filter(None, (state.passengers[event.person].berth_key,))
    elif isinstance(event, e.StationArrival):
        # What fell free ahead of the train begins, and what others held on the way ends.
        yield from state.freed
    elif isinstance(event, e.PassengerBoarded | e.UpgradeClosed):
        passenger = state.passengers[event.person]
        if passenger.status is not BookingStatus.CNF:
            yield from _of_class(state, passenger.booking.class_)


def _of_class(state: RunState, class_: str) -> Iterator[BerthKey]:
    """The berths of a class that fell free somewhere."""
    for key, starts in state.freed.items():
        if next(iter(starts.values())).class_ == class_:
            yield key


def match(state: RunState, keys: dict[BerthKey, None], now: datetime) -> Events:
    """The next allotments among the vacancies that `keys` names; none if nobody fits any.

    Keys that are done with are taken out of `keys`. Upgrades that take effect at once come one at
    a time, as each changes who shares with whom; offers come together.
    """
    by_class: dict[str, list[_Open]] = {}
    for key in list(keys):
        vacancy = None if key in state.open_by_berth else state.vacancy(key)
        if vacancy is None:
            del keys[key]
        else:
            by_class.setdefault(vacancy.class_, []).append(_open(state, vacancy))
    events: Events = []
    asked: set[PersonKey] = set()
    for class_, vacant in by_class.items():
        waiting = candidates(state, class_)
        for place, passenger in enumerate(waiting):
            if not vacant:
                break
            if _unable(state, passenger) is not None:
                continue
            fitting = [each for each in vacant if _fits(state, passenger, each)]
            if not fitting:
                continue
            best = min(fitting, key=lambda each: _rank(state, passenger, each))
            vacant.remove(best)
            del keys[best.vacancy.key]
            reason = _reason(state, passenger, best.vacancy, waiting[:place], asked)
            if state.chart.policy is Policy.AUTO:
                return _confirm(state, passenger, best.vacancy, None, reason, now)
            seq = state.seq + len(events) + 1
            events += _offer(state, passenger, best.vacancy, reason, seq, now)
            asked.add(passenger.person)
        for each in vacant:
            del keys[each.vacancy.key]
    return events


class _Open(NamedTuple):
    """A vacancy, the segment it is free up to, and who alone has half of it until then."""

    vacancy: Vacancy
    until: int
    holder: PersonKey | None


def _open(state: RunState, vacancy: Vacancy) -> _Open:
    last = len(state.stops) - 1
    held = state.occupancy.at(vacancy.key, state.current)
    holder = held[0] if held else None
    until = state.occupancy.free_until(vacancy.key, state.current, last, but=holder)
    return _Open(vacancy, until, holder)


def _fits(state: RunState, passenger: Passenger, vacant: _Open) -> bool:
    """`_misfit` in a hurry: each candidate is held against each vacancy."""
    return (
        vacant.until >= state.alights(passenger)
        and vacant.holder in (None, passenger.person)
        and passenger.person not in vacant.vacancy.passed
    )


def candidates(state: RunState, class_: str) -> list[Passenger]:
    """Those who wait for a berth of a class, aboard or not, in their turn."""
    return [state.passengers[person] for person in state.waiting.get(class_, ())]


def _unable(state: RunState, passenger: Passenger) -> str | None:
    """Why a passenger can take no berth at all just now, or None."""
    if passenger.state is not PersonState.ABOARD:
        return f"is {passenger.state}, not aboard"
    if passenger.person in state.open_by_person:
        return HAS_OFFER
    if state.alights(passenger) <= state.current:
        return f"the journey ends at {passenger.booking.to}"
    least = state.chart.min_upgrade_km
    if _km(state, passenger) < least:
        return f"the journey is under {least} km"
    return None


def _misfit(state: RunState, passenger: Passenger, vacancy: Vacancy) -> str | None:
    """Why a vacancy does not suit a passenger, or None."""
    if passenger.person in vacancy.passed:
        return "had an offer of this berth before"
    return _room(state, passenger, vacancy.key)


def _room(state: RunState, passenger: Passenger, key: BerthKey) -> str | None:
    """Where the way is not free to the passenger's destination, or None.

    A side lower whose only holder is the passenger is free for them.
    """
    end = state.alights(passenger)
    free = state.occupancy.free_until(key, state.current, end, but=passenger.person)
    if free < end:
        return f"the berth is taken from {state.stops[free].station.code}"
    return None


def _km(state: RunState, passenger: Passenger) -> int:
    start = state.stops[state.boards(passenger)].station
    end = state.stops[state.alights(passenger)].station
    return end.distance_km - start.distance_km


def _rank(state: RunState, passenger: Passenger, vacant: _Open) -> tuple[int, int, str, int]:
    """The berth free for the shortest time beyond the destination, then the one liked best."""
    vacancy = vacant.vacancy
    liked = _LIKED[state.occupancy.types[vacancy.key]]
    return vacant.until - state.alights(passenger), liked, vacancy.coach, vacancy.berth


def _offer(
    state: RunState,
    passenger: Passenger,
    vacancy: Vacancy,
    reason: tuple[e.Considered, ...],
    seq: int,
    now: datetime,
) -> Events:
    """Hold the berth by the event numbered `seq`; under policy OFFER the passenger is asked."""
    booking = passenger.booking
    pending = e.UpgradePending(
        at=now,
        offer_id=offer_id(state.run, seq),
        user=booking.irctc_id,
        pnr=booking.pnr,
        index=booking.index,
        name=booking.name,
        status=passenger.status,
        number=booking.number,
        coach=vacancy.coach,
        berth=vacancy.berth,
        berth_type=state.occupancy.types[vacancy.key],
        old_coach=passenger.coach,
        old_berth=passenger.berth,
        from_=state.here.station.code,
        to=booking.to,
        cause=vacancy.cause,
        expires_at=now + timedelta(seconds=state.chart.offer_seconds),
        reason=reason,
    )
    if state.chart.policy is Policy.APPROVAL:
        return [pending]
    return [
        pending,
        e.UpgradeOffer(
            at=now,
            offer_id=pending.offer_id,
            user=pending.user,
            pnr=pending.pnr,
            index=pending.index,
            coach=pending.coach,
            berth=pending.berth,
            berth_type=pending.berth_type,
            to=pending.to,
            expires_at=pending.expires_at,
        ),
    ]


def _reason(
    state: RunState,
    chosen: Passenger,
    vacancy: Vacancy,
    better: list[Passenger],
    asked: set[PersonKey],
) -> tuple[e.Considered, ...]:
    """Those who came before, each with why not, and the chosen one.

    `asked` are those who are offered another berth at this very moment.
    """

    def considered(passenger: Passenger, outcome: str) -> e.Considered:
        booking = passenger.booking
        return e.Considered(
            pnr=booking.pnr,
            index=booking.index,
            status=passenger.status,
            number=booking.number,
            outcome=outcome,
        )

    def why(passenger: Passenger) -> str:
        if passenger.person in asked:
            return HAS_OFFER
        return _unable(state, passenger) or _misfit(state, passenger, vacancy) or ""

    passed = (considered(each, why(each)) for each in better)
    return (*passed, considered(chosen, CHOSEN))


def _confirm_offer(state: RunState, offer: Offer, now: datetime) -> Events:
    passenger = state.passengers[offer.person]
    return _confirm(state, passenger, offer.vacancy, offer.id, offer.made.reason, now)


def _confirm(
    state: RunState,
    passenger: Passenger,
    vacancy: Vacancy,
    offer: str | None,
    reason: tuple[e.Considered, ...],
    now: datetime,
) -> Events:
    """The passenger moves; the half berth left behind is free, and who shared it is told."""
    events: Events = [
        person_event(
            e.UpgradeConfirmed,
            now,
            passenger,
            offer_id=offer,
            status=passenger.status,
            number=passenger.booking.number,
            coach=vacancy.coach,
            berth=vacancy.berth,
            from_=state.here.station.code,
            old_coach=passenger.coach,
            old_berth=passenger.berth,
            cause=vacancy.cause,
            reason=reason,
        )
    ]
    old = passenger.berth_key
    if old is None or old == vacancy.key or passenger.coach is None or passenger.berth is None:
        return events
    events += vacated(state, passenger, state.current, e.Cause.UPGRADED, now)
    for person, hold in state.occupancy.holders(old).items():
        if person != passenger.person and hold.mask & state.remaining(passenger):
            booking = state.passengers[person].booking
            events.append(
                e.CoPassengerChanged(
                    at=now,
                    user=booking.irctc_id,
                    pnr=booking.pnr,
                    index=booking.index,
                    coach=passenger.coach,
                    berth=passenger.berth,
                )
            )
    return events
