"""The rules of the staff's duty: which TTE is responsible for which coach, and remarks.

Each public function with a command decides it: it returns the events, or raises a HubError.
"""

from datetime import datetime

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.events import Events
from trainhub.domain.marks import check_live, station_ref
from trainhub.domain.run_state import RunState

# Remarks of a run. A captaincy report has a few; a client in a loop would make them without end.
MOST_REMARKS = 200


def sign_on(state: RunState, command: c.SignOn, now: datetime) -> Events:
    """Make a TTE responsible for exactly these coaches, also for those that another TTE has."""
    tte = _tte(command)
    check_live(state)
    if not command.coaches:
        raise BadMessage("coaches is empty: name a coach, or use SIGN_OFF")
    for code in command.coaches:
        state.coach(code)
    coaches = tuple(dict.fromkeys(command.coaches))
    if set(coaches) == set(state.coaches_of(tte)):
        return []
    return [e.SignedOn(at=now, station=station_ref(state.here), tte=tte, coaches=coaches)]


def sign_off(state: RunState, command: c.SignOff, now: datetime) -> Events:
    """End a TTE's duty, also after the journey."""
    tte = _tte(command)
    coaches = state.coaches_of(tte)
    if not coaches:
        return []
    return [e.SignedOff(at=now, station=station_ref(state.here), tte=tte, coaches=coaches)]


def remark(state: RunState, command: c.Remark, now: datetime) -> Events:
    """Write a remark into the captaincy report, also after the journey."""
    if command.coach is not None:
        state.coach(command.coach)
    if not command.text.strip():
        raise BadMessage("text is empty: write the remark")
    if len(state.remarks) >= MOST_REMARKS:
        raise Conflict(f"the run has {MOST_REMARKS} remarks: write no more of them")
    return [
        e.Remarked(at=now, station=station_ref(state.here), coach=command.coach, text=command.text)
    ]


def _tte(command: c.DutyCommand) -> str:
    if not command.tte:
        raise BadMessage("tte is missing: give the user of the TTE")
    return command.tte
