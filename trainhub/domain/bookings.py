"""A booking's e-mail address, and whether its journey is still to be made."""

from collections.abc import Iterator

from trainhub.core.email_address import why_no_mail
from trainhub.domain.model import PersonKey, PersonState
from trainhub.domain.run_state import Passenger, RunState

# States of a journey that is still to be made or under way. NT is one: it can be undone.
_TRAVELLING = frozenset({PersonState.DUE, PersonState.ABOARD, PersonState.NT})


def email_of(state: RunState, person: PersonKey) -> str | None:
    """Return the e-mail address of a person's booking.

    A person without an address uses an address of the same PNR that the same user booked.
    An address of another PNR is never used, even if the same user (an agent) booked both.
    An address that no e-mail can go to counts as none: its chart was loaded with a warning.
    """
    own = state.passengers[person].booking
    party = (state.passengers[each].booking for each in state.by_pnr[own.pnr])
    shared = (each.email for each in party if each.irctc_id == own.irctc_id)
    return next((each for each in (own.email, *shared) if each and not why_no_mail(each)), None)


def stranded(state: RunState, end: int | None = None) -> Iterator[Passenger]:
    """Yield the passengers who lose a journey, or the rest of it, when a run ends early.

    It ends at station `end`, by default where the train is. If it has ended, passengers aboard are
    ALIGHTED, short of their destination.
    Passengers who arrived, left early, cancelled or did not turn up (NT) lose nothing.
    """
    end = state.current if end is None else end
    for passenger in state.passengers.values():
        concerned = passenger.state not in (PersonState.CANCELLED, PersonState.NT)
        if concerned and passenger.left is None and state.alights(passenger) > end:
            yield passenger


def travelling(state: RunState) -> Iterator[Passenger]:
    """Yield the passengers who are DUE or ABOARD."""
    for passenger in state.passengers.values():
        if passenger.state in (PersonState.DUE, PersonState.ABOARD):
            yield passenger


def travels(state: RunState, user: str) -> bool:
    """Return whether a user has a journey on the run that is still to be made, or under way."""
    return any(passenger.state in _TRAVELLING for passenger in state.of_user(user))
