"""Every decision about one person, with its reason: what the events of the run say of it.

The events are applied again, one by one. Before each berth that is given, the rules of offers.py
say why it was or was not for this person. Of events without those before them, only what they say
themselves is known.
"""

from datetime import datetime

from trainhub.core.codec import dump
from trainhub.domain import events as e
from trainhub.domain.errors import UnknownPassenger
from trainhub.domain.model import BookingStatus, PersonKey, RunKey, berth_key, person_key
from trainhub.domain.offers import awaited, candidates, comes_next, in_turn, obstacle, unable
from trainhub.domain.openings import Vacancy
from trainhub.domain.reasons import OTHER, PASSED
from trainhub.domain.run_state import Passenger
from trainhub.domain.shapes import Decision
from trainhub.domain.train import TrainState

NO_BERTH = "no berth of the class is free"
NO_ROOM = "no free berth of the class suits: each is taken before the destination, or was offered"
WAITS = "the turn waits for"
LADIES_FIRST = "the berth is of the ladies' quota, for which women and seniors come first"
LOWER_FIRST = "a lower berth is offered first to passengers in middle and upper berths who need one"
LOWER_TURN = "a lower berth is offered first to passengers with a need, and then to the oldest"
CHOSEN = "the berth is for this passenger"
BY_DECISION = "a TTE has given the berth to another passenger, out of turn"

_WHAT: dict[type[e.Event], str] = {
    e.PassengerBoarded: "is aboard",
    e.BoardedUndone: "was marked as aboard by mistake, and is due again",
    e.PassengerAlighted: "has left the train",
    e.PassengerUnchecked: "the journey is over without a mark",
    e.PassengerRestored: "travels on, because the end of the journey was a mistake",
    e.PassengerCancelled: "has cancelled the journey",
    e.BoardingChanged: "boards at another station",
    e.NoShow: "has not turned up",
    e.NoShowUndone: "is due again",
    e.BerthLost: "has lost the berth, and is first in turn for the next",
    e.BerthAllotted: "has the berth by a TTE's decision",
    e.UpgradeOffer: "is asked",
    e.UpgradeDelivered: "the offer has arrived on a device",
    e.BookingChanged: "is new on the chart, or has another journey or berth there",
    e.BookingCorrected: "has another name or contact on the chart",
    e.CoPassengerChanged: "has the side lower alone",
}


class Decisions:
    """The decisions about a person, made of the run's events, which `add` takes in order.

    `found` are the decisions. `complete` is False if the run's first events are missing.
    """

    def __init__(self, run: RunKey, pnr: str, index: int) -> None:
        self.found: list[Decision] = []
        self.complete = False
        self._person: PersonKey = person_key(pnr, index)
        self._state = TrainState(run)
        # Vacancy → why it was not for the person when it was last looked at.
        self._noted: dict[int, str] = {}

    def add(self, seq: int, event: e.Event) -> None:
        """Apply the run's next event."""
        self.complete = self.complete or seq == 1
        if isinstance(event, e.UpgradePending) or _is_upgrade_at_once(event):
            self._given(seq, event)
        elif getattr(event, "person", None) == self._person or self._is_delivered(event):
            self._note(seq, event, _words(event), *_berth(event))
        elif isinstance(event, e.BerthAllotted) and _recorded(event, self._person) == PASSED:
            self._note(seq, event, BY_DECISION, event.coach, event.berth)
        if not self.complete:
            return
        self._state.evolve(event)
        if self._waits() is None:
            return
        if isinstance(event, e.BerthVacated):
            opening = self._state.opening(berth_key(event.coach, event.berth))
            self._look_at(seq, event, [] if opening is None else [opening.vacancy])
        elif self._looks_again(event):
            openings = self._state.openings(self._passenger.booking.class_)
            self._look_at(seq, event, [each.vacancy for each in openings])

    def standing(self, now: datetime) -> str:
        """Return why the person has no offer after the last event, or which berth they have."""
        passenger = self._passenger
        if self._waits() is None:
            berth = passenger.berth_key
            return f"is {passenger.status}" + ("" if berth is None else f" with berth {berth}")
        if not self._state.running:
            return f"the run is {self._state.status}"
        why = unable(self._state, passenger)
        if why is not None:
            return why
        openings = self._state.openings(passenger.booking.class_)
        reasons = (self._obstacle(passenger, each.vacancy, now) for each in openings)
        waits = (each for each in reasons if each is not None and each.startswith(WAITS))
        return next(waits, NO_ROOM if openings else NO_BERTH)

    # --- one event ----------------------------------------------------------------------------

    @property
    def _passenger(self) -> Passenger:
        found = self._state.passengers.get(self._person)
        if found is None:
            raise UnknownPassenger(f"{self._state.run} has no such person")
        return found

    def _waits(self) -> Passenger | None:
        """Return the person, if they wait for a berth; None also before a chart has them."""
        if self._person not in self._state.passengers:
            return None
        waiting = self._state.waiting.get(self._passenger.booking.class_, {})
        return self._passenger if self._person in waiting else None

    def _is_delivered(self, event: e.Event) -> bool:
        return isinstance(event, e.UpgradeDelivered) and self._person == person_key(
            event.pnr, event.index
        )

    def _looks_again(self, event: e.Event) -> bool:
        """Return whether berths that are free already may suit the person after an event."""
        if isinstance(event, e.StationDeparture | e.StationSkipped | e.SkipUndone):
            return comes_next(self._state, self._passenger)
        boarded = isinstance(event, e.PassengerBoarded) and event.person == self._person
        return boarded or isinstance(event, e.StationArrival)

    def _given(self, seq: int, event: e.Event) -> None:
        """Note which passenger gets a berth, and why not this one."""
        assert isinstance(event, e.UpgradePending | e.UpgradeConfirmed)
        if person_key(event.pnr, event.index) == self._person:
            self._note(seq, event, CHOSEN, event.coach, event.berth)
        elif not self.complete:
            why = _recorded(event, self._person)
            if why is not None:
                self._note(seq, event, self._elsewhere(event, why), event.coach, event.berth)
        elif (why := self._why_not(event)) is not None:
            self._note(seq, event, self._elsewhere(event, why), event.coach, event.berth)

    def _elsewhere(self, event: e.UpgradePending | e.UpgradeConfirmed, why: str) -> str:
        return f"the berth is for {self._chosen(event)}: {why}"

    def _chosen(self, event: e.UpgradePending | e.UpgradeConfirmed) -> str:
        """Return the place in the turn of the passenger who gets the berth."""
        found = self._state.passengers.get(person_key(event.pnr, event.index))
        return _numbered(event.status, event.number) if found is None else _place(found)

    def _why_not(self, event: e.UpgradePending | e.UpgradeConfirmed) -> str | None:
        """Return why the person does not get a berth. None if they are not in the turn for it."""
        vacancy = self._state.vacancy(berth_key(event.coach, event.berth))
        if vacancy is None:
            return None
        turn = in_turn(self._state, vacancy)
        plain = candidates(self._state, vacancy.class_)
        chosen = self._state.passengers[person_key(event.pnr, event.index)]
        passenger = self._state.passengers.get(self._person)
        if passenger is None or passenger not in turn:
            return None
        if turn.index(chosen) > turn.index(passenger):
            return self._obstacle(passenger, vacancy, event.at) or OTHER
        if chosen not in plain:
            return LOWER_FIRST if passenger in plain else LOWER_TURN
        if passenger in plain and plain.index(passenger) < plain.index(chosen):
            return LADIES_FIRST
        return f"{self._chosen(event)} is before {_place(passenger)}"

    def _obstacle(self, passenger: Passenger, vacancy: Vacancy, now: datetime) -> str | None:
        """Return why a vacancy is not for the person at a time. None means that it suits."""
        why = obstacle(self._state, passenger, vacancy)
        if why is None and (better := awaited(self._state, passenger, vacancy, now)) is not None:
            return f"{WAITS} {_place(better)}, who is due and not checked"
        return why

    def _look_at(self, seq: int, event: e.Event, vacancies: list[Vacancy]) -> None:
        """Note why free berths are not for the person. A berth that suits is given after this."""
        passenger = self._passenger
        for vacancy in vacancies:
            why = self._obstacle(passenger, vacancy, event.at)
            if why is not None and self._noted.get(vacancy.id) != why:
                self._noted[vacancy.id] = why
                self._note(seq, event, f"not asked: {why}", vacancy.coach, vacancy.berth)

    def _note(
        self, seq: int, event: e.Event, reason: str, coach: str | None, berth: int | None
    ) -> None:
        self.found.append(
            {
                "seq": seq,
                "at": dump(event.at),
                "event": e.TYPES[type(event)],
                "coach": coach,
                "berth": berth,
                "reason": reason,
            }
        )


def _is_upgrade_at_once(event: e.Event) -> bool:
    """Return whether a passenger gets a berth without an offer, as under policy AUTO."""
    return isinstance(event, e.UpgradeConfirmed) and event.offer_id is None


def _words(event: e.Event) -> str:
    """Return what an event about the person says."""
    if isinstance(event, e.UpgradeClosed):
        by = "" if event.answered_by is None else f" by {event.answered_by}"
        return f"the offer is {event.outcome}{by}"
    if isinstance(event, e.UpgradeConfirmed):
        by = "" if event.answered_by is None else f", accepted by {event.answered_by}"
        return f"has the berth{by}"
    words = _WHAT[type(event)]
    if isinstance(event, e.PassengerBoarded) and event.assumed:
        return f"{words}, which was assumed when the train left"
    if isinstance(event, e.PassengerAlighted) and event.left is not None:
        return f"{words} early: {event.left}"
    return words


def _berth(event: e.Event) -> tuple[str | None, int | None]:
    return getattr(event, "coach", None), getattr(event, "berth", None)


def _place(passenger: Passenger) -> str:
    """Return a passenger's place in the turn, as booked: "RAC 4", or "RLWL 2"."""
    booking = passenger.booking
    kind = (booking.waiting_kind or "") if booking.waits else ""
    lost = "" if passenger.claim is None else " (whose berth was given away)"
    return f"{kind}{_numbered(booking.status, booking.number)}{lost}"


def _numbered(status: BookingStatus, number: int | None) -> str:
    return str(status) if number is None else f"{status} {number}"


def _recorded(
    event: e.UpgradePending | e.UpgradeConfirmed | e.BerthAllotted, person: PersonKey
) -> str | None:
    """Return why a berth was not for a person, as far as the event names them."""
    named = (each for each in event.reason if person_key(each.pnr, each.index) == person)
    return next((each.outcome for each in named), None)
