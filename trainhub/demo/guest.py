"""The demo's guests: in each train a passenger on RAC whose offers wait for a person at the page.

A guest travels in a coach of its own, with latecomers. The demo marks one latecomer after another
as a no-show, so that the guest gets one offer after another until a person accepts one.
"""

from datetime import date
from typing import Any

from trainhub.demo.timetable import ticket_ids
from trainhub.domain.model import Booking, BookingStatus, PersonState
from trainhub.domain.run_state import Offer, Passenger
from trainhub.domain.train import TrainState

# The guests' coach. No other passenger of the demo travels in its class.
COACH = {"code": "M1", "class": "3E", "berths": 16}
GUEST_BERTH = 7
LATECOMERS = (1, 2, 3, 4, 5, 6, 9, 10, 11, 12)
# Real seconds from the start of the demo to the first offer: time to open the page.
FIRST_OFFER_SECONDS = 15.0
# Real seconds that an offer waits, at most.
OPEN_SECONDS = 300.0
# Real seconds between two looks whether the guest has an offer.
PAUSE_SECONDS = 15.0
# The first ticket of the guests. The tickets of a full train end before it.
_SERIAL = 950


def add_guest(chart: dict[str, Any], speed: float) -> None:
    """Add the guest and the latecomers, who travel from end to end, to a chart of the demo.

    `speed` is that of the demo's clock. An offer of the run waits for OPEN_SECONDS.
    """
    start = date.fromisoformat(chart["startDate"])
    tickets = ticket_ids(chart["trainNo"], start, _SERIAL)
    ends = {"from": chart["stations"][0]["code"], "to": chart["stations"][-1]["code"]}

    def booking(name: str, berth: int, status: BookingStatus) -> dict[str, Any]:
        pnr, user = next(tickets)
        place = {"class": COACH["class"], "coach": COACH["code"], "berth": berth}
        person = {"index": 1, "name": name, "age": 35, "gender": "F"}
        number = 1 if status is BookingStatus.RAC else None
        return {"pnr": pnr, "irctcId": user, "status": status, "number": number} | (
            person | ends | place
        )

    chart["passengers"].append(booking("Guest of the Demo", GUEST_BERTH, BookingStatus.RAC))
    for number, berth in enumerate(LATECOMERS, 1):
        chart["passengers"].append(booking(f"Latecomer {number}", berth, BookingStatus.CNF))
    chart["coaches"].append(COACH)
    chart["offerSeconds"] = max(1, min(86_400, round(OPEN_SECONDS * speed)))


def is_guest(booking: Booking) -> bool:
    return booking.coach == COACH["code"] and booking.berth == GUEST_BERTH


def is_latecomer(passenger: Passenger) -> bool:
    booking = passenger.booking
    return booking.coach == COACH["code"] and booking.berth in LATECOMERS


def is_for_guest(offer: Offer) -> bool:
    """Return whether an offer waits for a person, so that the demo does not answer it."""
    return offer.made.coach == COACH["code"]


def guest_of(state: TrainState) -> Passenger | None:
    """Return the guest of a run. None means that an older demo registered the run."""
    return next((each for each in state.passengers.values() if is_guest(each.booking)), None)


def next_late(state: TrainState) -> Passenger | None:
    """Return a latecomer of a run who is not marked yet."""
    for passenger in state.passengers.values():
        if is_latecomer(passenger) and passenger.state is PersonState.DUE:
            return passenger
    return None


def next_latecomer(state: TrainState) -> Passenger | None:
    """Return the passenger whose no-show makes the guest's next offer, if that is possible now."""
    guest = guest_of(state)
    if guest is None or not state.running or guest.state is not PersonState.ABOARD:
        return None
    if guest.status is not BookingStatus.RAC or guest.person in state.open_by_person:
        return None
    return next_late(state)
