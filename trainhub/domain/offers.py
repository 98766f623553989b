"""Upgrades: which passenger gets a vacant berth, and the life of an offer.

A vacancy follows from a no-show, an alighting, a cancellation or an upgrade. Candidates are the
passengers on RAC who are aboard, by their number, then those on WL. Before them, a lower berth is
offered to confirmed passengers who need one, the movers. A berth goes to the first
candidate that it suits. The event has the reason for each candidate who was passed over.
"""

import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from trainhub.core.codec import read_date
from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.errors import OfferClosed, UnknownOffer
from trainhub.domain.events import Events
from trainhub.domain.fields import TRAIN_NO
from trainhub.domain.marks import person_event, vacated
from trainhub.domain.model import (
    BerthKey,
    BerthType,
    Booking,
    BookingStatus,
    OfferState,
    PersonKey,
    PersonState,
    Policy,
    RunKey,
    WaitingList,
    berth_key,
)
from trainhub.domain.openings import Opening, Vacancy, drop
from trainhub.domain.reasons import Queue, Reason
from trainhub.domain.run_state import SENIOR, Offer, Passenger, RunState, Stop, is_woman

HAS_OFFER = "has an open offer"
# Members of enums that `match` compares for each passenger: a global name is found faster.
_ABOARD = PersonState.ABOARD
_DUE = PersonState.DUE
_CNF = BookingStatus.CNF
_WL = BookingStatus.WL
# Why a passenger in one of these states cannot get a berth.
_NOT_ABOARD = {each: f"is {each}, not aboard" for each in PersonState if each is not _ABOARD}
# Devices that are counted for an offer. Each is an event, and a client could send ACK without end.
MOST_DEVICES = 16
# Confirmed passengers who are asked for one lower berth, at most: it is not kept empty for long.
MOST_MOVERS = 3
# Berths that those who prefer a lower one exchange for it.
_HIGH = (BerthType.MIDDLE, BerthType.UPPER, BerthType.SIDE_MIDDLE, BerthType.SIDE_UPPER)
_OFFER_ID = re.compile(rf"({TRAIN_NO})\.([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})\.[0-9]{{1,15}}")


def offer_id(run: RunKey, seq: int) -> str:
    """Return an offer's id: its run and the event that made it, as in "12345.2026-11-23.17"."""
    return f"{run.replace('/', '.')}.{seq}"


def offer_seq(text: str) -> int:
    """Return the number of the event that made an offer. Later offers of a run have larger ones.

    Raises UnknownOffer if the text is not an offer's id.
    """
    run_of_offer(text)
    return int(text.rpartition(".")[2])


def run_of_offer(text: str) -> tuple[str, str]:
    """Return the train number and start date in an offer's id.

    Raises UnknownOffer if the text is not an offer's id.
    """
    found = _OFFER_ID.fullmatch(text)
    try:
        if found is not None:
            return found[1], read_date(found[2], "date").isoformat()
    except BadMessage:
        pass  # the date does not exist
    raise UnknownOffer("there is no offer of that id")


# --- answering ----------------------------------------------------------------------------------


def accept(state: RunState, command: c.AcceptOffer, now: datetime) -> Events:
    offer = _answerable(state, command.offer_id, now)
    if state.chart.policy is Policy.APPROVAL:
        raise Conflict("the staff approve upgrades on this run: use APPROVE_OFFER")
    return _confirm_offer(state, offer, now)


def approve(state: RunState, command: c.ApproveOffer, now: datetime) -> Events:
    offer = _answerable(state, command.offer_id, now)
    if state.chart.policy is not Policy.APPROVAL:
        raise Conflict("passengers accept offers on this run: use ACCEPT_OFFER")
    return _confirm_offer(state, offer, now)


def deny(state: RunState, command: c.DenyOffer, now: datetime) -> Events:
    return [_close(_answerable(state, command.offer_id, now), OfferState.DENIED, now)]


def withdraw(state: RunState, command: c.WithdrawOffer, now: datetime) -> Events:
    return [_close(_answerable(state, command.offer_id, now), OfferState.WITHDRAWN, now)]


def withdrawn(offers: Iterable[Offer], now: datetime) -> Events:
    """Return the end of offers whose cause was a mistake."""
    return [_close(offer, OfferState.WITHDRAWN, now) for offer in offers]


def expire(state: RunState, command: c.ExpireOffers, now: datetime) -> Events:
    return [
        _close(offer, OfferState.EXPIRED, now)
        for offer in state.open_by_berth.values()
        if offer.made.expires_at <= now
    ]


def acknowledge(state: RunState, command: c.AcknowledgeOffer, now: datetime) -> Events:
    """Count a device on which the offer has arrived, even if too late for an answer."""
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
    """Return the offer. Raises OfferClosed with its outcome if it can no longer be answered."""
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
    """Yield the berths whose offers may have become outdated by an event."""
    if isinstance(event, _CHECK_ALL):
        yield from state.open_by_berth
    elif isinstance(event, e.BerthsBlocked):
        yield from (berth_key(event.coach, number) for number in event.berths)
    elif isinstance(event, e.NoShowUndone | e.PassengerBoarded):
        yield from filter(None, (state.passengers[event.person].berth_key,))
    elif isinstance(event, _CHECK_PERSON):
        held = state.open_by_person.get(event.person)
        if held is not None:
            yield held.key


_CHECK_ALL = (
    e.StationArrival
    | e.StationSkipped
    | e.ShortTerminated
    | e.JourneyCompleted
    | e.TrainCancelled
    | e.ReportUndone
    | e.RunClosed
)
_CHECK_PERSON = (
    e.BoardedUndone | e.PassengerAlighted | e.NoShow | e.PassengerCancelled | e.BoardingChanged
)


def outdated(state: RunState, keys: Iterable[BerthKey], now: datetime) -> Events:
    """Withdraw the offers of the berths `keys` whose vacancy or journey has ended."""
    offers = (state.open_by_berth[key] for key in keys if key in state.open_by_berth)
    return [
        _close(offer, OfferState.WITHDRAWN, now) for offer in offers if not _stands(state, offer)
    ]


def _stands(state: RunState, offer: Offer) -> bool:
    passenger = state.passengers[offer.person]
    return (
        state.running
        and (passenger.state is _ABOARD or _may_come(state, passenger))
        and state.alights(passenger) > state.current
        and taken_from(state, passenger, offer.key) is None
    )


def _may_come(state: RunState, passenger: Passenger) -> bool:
    """Return whether a passenger who was asked before boarding may still board."""
    boards = state.boards(passenger)
    on_wl = passenger.status is _WL and passenger.state is _DUE
    served = not state.stops[boards].skipped and state.after(boards) is not None
    return on_wl and boards >= state.current and served


_CHANGES_ALL = e.StationArrival | e.ChartAmended | e.ReportUndone | e.TrainReinstated


class Due:
    """The changes by a command that may bring a passenger a berth, as input of `match`.

    Before a command, no candidate fits any vacancy. After it, `match` tries only the new vacancies
    with all candidates, and the new candidates with all vacancies.
    """

    def __init__(self) -> None:
        self.clear()

    def __bool__(self) -> bool:
        return bool(self.everywhere or self.berths or self.persons or self.classes)

    def clear(self) -> None:
        self.berths: dict[BerthKey, None] = {}
        self.persons: dict[PersonKey, None] = {}
        self.classes: dict[str, None] = {}
        self.everywhere = False

    def add(self, state: RunState, event: e.Event) -> None:
        """Take note of what an event has changed."""
        if isinstance(event, e.BerthVacated):
            self.berths[berth_key(event.coach, event.berth)] = None
        elif isinstance(event, e.UpgradeConfirmed):
            # A passenger who boards at the next station leaves the berth vacant up to there.
            self.berths[berth_key(event.coach, event.berth)] = None
            self._add_mover(state, event.person)
        elif isinstance(event, _CHANGES_ALL):
            # Vacancies from this station on begin here, and holds of other passengers end here.
            self.everywhere = True
        elif isinstance(event, e.CoachChecked):
            self.classes |= dict.fromkeys(state.held)
        elif isinstance(event, e.BerthAllotted):
            self.classes |= dict.fromkeys(state.held)
            self._add_mover(state, event.person)
        elif isinstance(event, e.StationDeparture):
            if turn_goes_on(state, event.at):  # it was reported late, or there is no waiting
                self.classes |= dict.fromkeys(state.held)
            self._approach(state)
        elif isinstance(event, e.StationSkipped | e.SkipUndone):
            self._approach(state)
        elif isinstance(event, e.NoShow | e.PassengerCancelled | e.BoardingChanged):
            self._release(state, event.person)
            self._approach(state, event.person)
            key = state.passengers[event.person].berth_key
            if key is not None:  # who shares it may have it whole on the way to the new station
                self.berths[key] = None
        elif isinstance(event, e.PassengerBoarded | e.UpgradeClosed | e.BerthLost):
            self._release(state, event.person)
            if event.person in state.waiting.get(state.passengers[event.person].booking.class_, ()):
                self.persons[event.person] = None
            self._add_mover(state, event.person)
            if isinstance(event, e.UpgradeClosed):
                self.berths[state.offers[event.offer_id].key] = None

    def _add_mover(self, state: RunState, person: PersonKey) -> None:
        """Take note of a person who may exchange a berth for a lower one."""
        if person in state.prefer_lower and _moves(state, state.passengers[person]):
            self.persons[person] = None

    def _approach(self, state: RunState, only: PersonKey | None = None) -> None:
        """Take note of the waitlisted who board at the next station, or of one of them."""
        coming = _approached(state)
        for person in () if coming is None else state.boarding_at.get(coming.index, ()):
            if only in (None, person) and state.passengers[person].status is _WL:
                self.persons[person] = None

    def _release(self, state: RunState, person: PersonKey) -> None:
        """Take note that a person may not hold up the turn in a class any more."""
        class_ = state.passengers[person].booking.class_
        if class_ in state.held and person in state.waiting.get(class_, ()):
            self.classes[class_] = None


def turn_goes_on(state: RunState, now: datetime) -> bool:
    """Return whether the time to check passengers who hold up the turn is over somewhere."""
    minutes = state.chart.check_minutes
    if minutes is None:
        return False
    left = (state.stops[at].departed for stops in state.held.values() for at in stops)
    return any(each is not None and each + timedelta(minutes=minutes) <= now for each in left)


def match(state: RunState, due: Due, now: datetime) -> Events:
    """Return the next offers or upgrade; an empty list if no candidate fits.

    Upgrades that take effect at once come one by one, because each changes who shares a berth.
    Offers come all together.
    """
    fresh: dict[str, list[Opening]] = {}
    for opening in filter(None, map(state.opening, due.berths)):
        insort(fresh.setdefault(opening.vacancy.class_, []), opening)
    for class_ in (*(_class(state, state.passengers[each]) for each in due.persons), *due.classes):
        fresh.setdefault(class_, [])
    events: Events = []
    for class_ in _classes(state) if due.everywhere else fresh:
        everywhere = due.everywhere or class_ in due.classes
        if everywhere:
            state.held.pop(class_, None)
        new = fresh.get(class_, [])
        whole = list(state.openings(class_)) if everywhere or due.persons else []
        waiting = candidates(state, class_) if new or whole else []
        changed = everywhere or not due.persons.keys().isdisjoint(state.prefer_lower)
        pool = whole if changed else new
        moving = movers(state, class_, (each.vacancy for each in pool))
        asked: set[PersonKey] = set()
        for order, some_new, some in _rounds(state, waiting, moving, new, whole):
            events += _serve(state, due, everywhere, order, some_new, some, asked, events, now)
            if events and state.chart.policy is Policy.AUTO:
                return events
    due.clear()
    return events


def _rounds(
    state: RunState,
    waiting: list[Passenger],
    moving: list[Passenger],
    new: list[Opening],
    whole: list[Opening],
) -> Iterator[tuple[list[Passenger], list[Opening], list[Opening]]]:
    """Yield who is served in turn, with the new openings and all openings that are for them.

    Those who lost a berth come first, and then the movers. For the berths of the ladies' quota,
    women and then seniors come next, and others last.
    """
    claimants = [each for each in waiting if each.claim is not None]
    if moving:
        yield claimants, new, whole
        yield [*claimants, *moving], new, whole
    if not state.has_ladies_vacancy:
        yield waiting, new, whole
        return
    yield claimants, new, whole
    ladies, others = (
        [[each for each in pool if each.vacancy.ladies is wanted] for pool in (new, whole)]
        for wanted in (True, False)
    )
    order = sorted(waiting, key=_ladies_turn)
    yield [each for each in order if _ladies_turn(each) < _OTHERS], ladies[0], ladies[1]
    yield waiting, others[0], others[1]
    yield order, ladies[0], ladies[1]


_OTHERS = 2


def _ladies_turn(passenger: Passenger) -> int:
    """Return the place in the turn for a berth of the ladies' quota: women, seniors, others.

    Those who lost a berth come first in any turn, and stay before the women.
    """
    if passenger.claim is not None or is_woman(passenger.booking):
        return 0
    return 1 if (passenger.booking.age or 0) >= SENIOR else _OTHERS


def movers(state: RunState, class_: str, vacancies: Iterable[Vacancy]) -> list[Passenger]:
    """Return the confirmed passengers who may exchange their berth for a vacancy, in their turn.

    They are aboard in a middle or upper berth of the class, and need a lower berth. A confirmed
    passenger has to agree, so policy AUTO has no movers.
    """
    if state.chart.policy is Policy.AUTO or not state.prefer_lower:
        return []
    if not any(_is_for_movers(state, vacancy) for vacancy in vacancies):
        return []
    found = map(state.passengers.__getitem__, state.prefer_lower)
    return [
        each
        for each in found
        if each.state is _ABOARD and _moves(state, each) and _class(state, each) == class_
    ]


def _moves(state: RunState, passenger: Passenger) -> bool:
    """Return whether a passenger is confirmed in a middle or upper berth."""
    key = passenger.berth_key
    return passenger.status is _CNF and key is not None and state.occupancy.types.get(key) in _HIGH


def _is_for_movers(state: RunState, vacancy: Vacancy) -> bool:
    """Return whether confirmed passengers are asked for a vacancy before those who wait."""
    if vacancy.ladies or state.occupancy.types[vacancy.key] is not BerthType.LOWER:
        return False
    had = vacancy.passed | {person for person, _ in vacancy.lapsed}
    return len(state.prefer_lower.keys() & had) < MOST_MOVERS


def _classes(state: RunState) -> Iterable[str]:
    """Return the classes in which people wait, and those of the train."""
    return dict.fromkeys([*state.waiting, *(each.class_ for each in state.chart.coaches)])


def _class(state: RunState, passenger: Passenger) -> str:
    """Return the class of a passenger's own berth, or the class for which the passenger waits."""
    key = passenger.berth_key
    if passenger.status is _CNF and key is not None:
        return state.occupancy.classes[key]
    return passenger.booking.class_


def in_turn(state: RunState, vacancy: Vacancy) -> list[Passenger]:
    """Return the passengers who may get a vacancy, in the turn for it."""
    waiting = candidates(state, vacancy.class_)
    if vacancy.ladies:
        return sorted(waiting, key=_ladies_turn)
    claims = sum(each.claim is not None for each in waiting)
    moving = movers(state, vacancy.class_, [vacancy])
    return [*waiting[:claims], *moving, *waiting[claims:]]


def _serve(
    state: RunState,
    due: Due,
    everywhere: bool,
    waiting: list[Passenger],
    new: list[Opening],
    whole: list[Opening],
    asked: set[PersonKey],
    before: Events,
    now: datetime,
) -> Events:
    """Return the offers of one class to those who wait, or the first upgrade.

    `new` are the new openings and `whole` all of them. `asked` have an offer already, by an event
    of `before`.
    """
    events: Events = []
    queue, left = Queue(), len(due.persons)
    passed: list[tuple[Booking, str | None]] = []  # those passed over since the last offer
    shortest = len(state.stops)
    for passenger in waiting:
        # Candidates that are not new can only fit a new vacancy.
        if not new and not (whole and (everywhere or left)):
            break
        pool = new
        if everywhere or (left and passenger.person in due.persons):
            pool, left = whole, left - 1
        why = HAS_OFFER if passenger.person in asked else unable(state, passenger)
        best = _best(state, passenger, pool) if why is None and pool else None
        if best is None:
            passed.append((passenger.booking, why))
            if why is not None and _holds_up(state, passenger, now):
                end = state.alights(passenger)
                if end < shortest:
                    held, kept = _hold_back(state, passenger.person, end, new, whole)
                    if held:
                        class_ = passenger.booking.class_
                        state.held.setdefault(class_, set()).add(state.boards(passenger))
                    if not kept:
                        shortest = end  # no opening that fits a longer journey is left
            continue
        for each in passed:
            queue.add(*each)
        passed, vacancy = [(passenger.booking, HAS_OFFER)], best.vacancy
        reason = queue.reason(passenger.booking, partial(_misfit, state, vacancy))
        if state.chart.policy is Policy.AUTO:
            return _confirm(state, passenger, vacancy, None, reason, now)
        seq = state.seq + len(before) + len(events) + 1
        events += _offer(state, passenger, vacancy, reason, seq, now)
        asked.add(passenger.person)
        drop(new, best)
        drop(whole, best)
    return events


def awaited(
    state: RunState, passenger: Passenger, vacancy: Vacancy, now: datetime
) -> Passenger | None:
    """Return the better candidate who may still turn out to be aboard and get a vacancy."""
    for better in in_turn(state, vacancy):
        if better is passenger:
            return None
        if _holds_up(state, better, now) and not _misfit(state, vacancy, better.booking):
            return better
    return None


def _holds_up(state: RunState, passenger: Passenger, now: datetime) -> bool:
    """Return whether the turn waits for a passenger, who would be a candidate if aboard."""
    return passenger.state is _DUE and (
        _is_awaited(state, passenger, now) and _no_right(state, passenger) is None
    )


def _is_awaited(state: RunState, passenger: Passenger, now: datetime) -> bool:
    """Return whether a DUE passenger may turn out to be aboard, as the TTEs check the train."""
    minutes, boards = state.chart.check_minutes, state.boards(passenger)
    if minutes is None or boards > state.current:
        return False
    coaches = (
        [each.code for each in state.chart.coaches if each.class_ == passenger.booking.class_]
        if passenger.coach is None
        else [passenger.coach]
    )
    if all(state.checked.get(code, -1) >= boards for code in coaches):
        return False
    departed = state.stops[boards].departed
    if departed is None:
        return boards == state.current
    return now < departed + timedelta(minutes=minutes)


def _hold_back(
    state: RunState, person: PersonKey, end: int, *pools: list[Opening]
) -> tuple[bool, bool]:
    """Remove the openings that fit a journey to `end` from the pools.

    Return whether any were removed, and whether any stay because the person was asked for them.
    """
    held = kept = False
    for pool in pools:
        first = bisect_left(pool, (end,))
        rest = [
            each
            for each in pool[first:]
            if each.holder
            or person in each.vacancy.passed
            or (each.vacancy.lapsed and each.vacancy.barred(person, state.current))
        ]
        held = held or len(rest) < len(pool) - first
        kept = kept or any(each.holder is None for each in rest)
        pool[first:] = rest
    return held, kept


def _suits(state: RunState, opening: Opening, person: PersonKey) -> bool:
    ours = opening.holder in (None, person)
    return ours and not opening.vacancy.barred(person, state.current)


def _best(state: RunState, passenger: Passenger, openings: list[Opening]) -> Opening | None:
    """Return the best opening that fits: free to the destination, and not offered before."""
    person = passenger.person
    ahead = islice(openings, bisect_left(openings, (state.alights(passenger),)), None)
    fits = (opening for opening in ahead if _suits(state, opening, person))
    if passenger.status is _CNF and passenger.claim is None:
        return next((opening for opening in fits if _is_for_movers(state, opening.vacancy)), None)
    if person in state.prefer_lower:
        return min(fits, key=_lower_first, default=None)
    if passenger.claim is not None:
        return min(fits, key=_side_last, default=None)
    return next(fits, None)


def _lower_first(opening: Opening) -> tuple[int, int, int]:
    """Sort lower berths first, then side lowers."""
    low = {BerthType.LOWER: 0, BerthType.SIDE_LOWER: 1}
    return low.get(opening.type, 2), opening.until, opening.liked


def _side_last(opening: Opening) -> tuple[bool, int, int]:
    """Sort side berths last: they are for RAC, and the passenger had paid for a whole berth."""
    is_side = opening.type in (BerthType.SIDE_LOWER, BerthType.SIDE_UPPER)
    return is_side, opening.until, opening.liked


def candidates(state: RunState, class_: str) -> list[Passenger]:
    """Return the passengers who wait for a berth of a class, aboard or not, in their turn."""
    return list(map(state.passengers.__getitem__, state.waiting.get(class_, ())))


def unable(state: RunState, passenger: Passenger) -> str | None:
    """Return why a passenger cannot get any berth now. None means that the passenger can."""
    if passenger.state is not _ABOARD and not comes_next(state, passenger):
        return _NOT_ABOARD[passenger.state]
    if passenger.person in state.open_by_person:
        return HAS_OFFER
    return _no_right(state, passenger)


def comes_next(state: RunState, passenger: Passenger) -> bool:
    """Return whether a passenger on WL boards at the station that the train approaches."""
    if passenger.status is not _WL or passenger.state is not _DUE:
        return False
    coming = _approached(state)
    return coming is not None and state.boards(passenger) == coming.index


def _approached(state: RunState) -> Stop | None:
    """Return the station to which the train is on the way, if the train leaves it again."""
    coming = state.next_stop if state.departed else None
    return None if coming is None or state.after(coming.index) is None else coming


def _no_right(state: RunState, passenger: Passenger) -> str | None:
    """Return why a passenger's journey gets no berth, aboard or not."""
    if state.alights(passenger) <= state.current:
        return f"the journey ends at {passenger.booking.to}"
    if passenger.claim is not None:
        return None
    least = state.chart.min_upgrade_km
    if _km(state, passenger) < least:
        return f"the journey is under {least} km"
    if passenger.status is _WL and state.chart.waiting_list is not WaitingList.ALL:
        if state.chart.waiting_list is WaitingList.NONE:
            return "the waiting list gets no berth on this run"
        if passenger.booking.pnr not in state.partly_confirmed:
            return "the PNR is wholly on the waiting list"
    return None


def obstacle(state: RunState, passenger: Passenger, vacancy: Vacancy) -> str | None:
    """Return why a passenger cannot get a vacancy now. None means that the passenger can."""
    return unable(state, passenger) or _misfit(state, vacancy, passenger.booking) or None


def _misfit(state: RunState, vacancy: Vacancy, booking: Booking) -> str:
    """Return why a vacancy does not suit a passenger."""
    if vacancy.barred(booking.person, state.current):
        return "had an offer of this berth before"
    return taken_from(state, state.passengers[booking.person], vacancy.key) or ""


def taken_from(state: RunState, passenger: Passenger, key: BerthKey) -> str | None:
    """Return where a berth is not the passenger's any more. None: free to the destination."""
    end = state.alights(passenger)
    free = state.occupancy.free_until(key, state.current, end, but=passenger.person)
    if free < end:
        return f"the berth is taken from {state.stops[free].code}"
    return None


def _from(state: RunState, passenger: Passenger) -> str:
    """Return the station from which a passenger gets a berth."""
    return state.stops[state.starts(passenger)].code


def _km(state: RunState, passenger: Passenger) -> int:
    """Return the length of the ticket's journey, from where it is valid."""
    start = state.stops[state.by_station[passenger.booking.from_]].station
    end = state.stops[state.alights(passenger)].station
    return end.distance_km - start.distance_km


def _offer(
    state: RunState,
    passenger: Passenger,
    vacancy: Vacancy,
    reason: Reason,
    seq: int,
    now: datetime,
) -> Events:
    """Hold the berth by the event numbered `seq`. Under policy OFFER, ask the passenger too."""
    booking = passenger.booking
    pending = e.UpgradePending(
        at=now,
        offer_id=offer_id(state.run, seq),
        user=booking.irctc_id,
        pnr=booking.pnr,
        index=booking.index,
        name=booking.name,
        status=booking.status,
        number=booking.number,
        coach=vacancy.coach,
        berth=vacancy.berth,
        berth_type=state.occupancy.types[vacancy.key],
        old_coach=passenger.coach,
        old_berth=passenger.berth,
        from_=_from(state, passenger),
        to=booking.to,
        cause=vacancy.cause,
        expires_at=now + timedelta(seconds=state.chart.offer_seconds),
        reason=reason[0],
        passed_over=reason[1],
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
            from_=pending.from_,
            to=pending.to,
            expires_at=pending.expires_at,
        ),
    ]


def _confirm_offer(state: RunState, offer: Offer, now: datetime) -> Events:
    passenger = state.passengers[offer.person]
    reason = offer.made.reason, offer.made.passed_over
    return _confirm(state, passenger, offer.vacancy, offer.id, reason, now)


def _confirm(
    state: RunState,
    passenger: Passenger,
    vacancy: Vacancy,
    offer: str | None,
    reason: Reason,
    now: datetime,
) -> Events:
    """Move the passenger, free the half berth left behind, and tell the passenger who shared it."""
    events: Events = [
        person_event(
            e.UpgradeConfirmed,
            now,
            passenger,
            offer_id=offer,
            status=passenger.booking.status,
            number=passenger.booking.number,
            coach=vacancy.coach,
            berth=vacancy.berth,
            from_=_from(state, passenger),
            old_coach=passenger.coach,
            old_berth=passenger.berth,
            cause=vacancy.cause,
            reason=reason[0],
            passed_over=reason[1],
        )
    ]
    if passenger.berth_key != vacancy.key:
        events += left_behind(state, passenger, state.current, e.Cause.UPGRADED, now)
    return events


def left_behind(
    state: RunState, passenger: Passenger, start: int, cause: e.Cause, now: datetime
) -> Events:
    """Return the vacancy of the berth that a person exchanges for another, and who is told."""
    old = passenger.berth_key
    if old is None or passenger.coach is None or passenger.berth is None:
        return []
    events = vacated(state, passenger, start, cause, now)
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
