"""The list that a TTE hands over to the next one: what is still to be done, coach by coach."""

from collections import defaultdict

from trainhub.core.codec import dump
from trainhub.domain.model import PersonState, Role
from trainhub.domain.report import person_line, remark_lines
from trainhub.domain.run_state import Passenger, RunState
from trainhub.domain.shapes import CoachHandover, Handover, OfferView, PersonLine, VacancyView
from trainhub.domain.views import duty_view, offer_view, station_named, vacancies_view

_TRAVELLING = (PersonState.DUE, PersonState.ABOARD)


def handover(state: RunState) -> Handover:
    """Return what the next TTE must know, by coach; people without a berth come at the end."""
    unchecked: dict[str | None, list[PersonLine]] = defaultdict(list)
    claimants: list[Passenger] = []
    for passenger in state.passengers.values():
        if _is_unchecked(state, passenger):
            unchecked[passenger.coach].append(person_line(state, passenger))
        if passenger.claim is not None and passenger.state in _TRAVELLING:
            claimants.append(passenger)
    offers: dict[str, list[OfferView]] = defaultdict(list)
    for offer in state.open_by_berth.values():
        offers[offer.made.coach].append(offer_view(offer, Role.TTE))
    vacant: dict[str, list[VacancyView]] = defaultdict(list)
    for vacancy in vacancies_view(state):
        vacant[vacancy["coach"]].append(vacancy)
    claimants.sort(key=lambda each: each.claim or 0)
    coaches: list[CoachHandover] = [
        {
            **line,
            "unchecked": unchecked[line["coach"]],
            "offers": offers[line["coach"]],
            "vacant": vacant[line["coach"]],
            "remarks": remark_lines(state, line["coach"]),
        }
        for line in duty_view(state)
    ]
    return {
        "trainNo": state.chart.train_no,
        "trainName": state.chart.train_name,
        "startDate": dump(state.chart.start_date),
        "status": dump(state.status),
        "station": station_named(state.here),
        "departed": state.departed,
        "coaches": coaches,
        "uncheckedNotSeated": unchecked[None],
        "lateClaimants": [person_line(state, each) for each in claimants],
        "remarks": remark_lines(state, None),
    }


def _is_unchecked(state: RunState, passenger: Passenger) -> bool:
    """Return whether a passenger is due at a station that the train has reached."""
    due = state.running and passenger.state is PersonState.DUE
    return due and state.boards(passenger) <= state.current
