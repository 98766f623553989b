"""Whether a run is in service: by its status and by the clock."""

from datetime import datetime, timedelta
from enum import IntEnum

from trainhub.domain.model import RunStatus
from trainhub.domain.run_state import RunState

# So long after its end a run is LATE; after its expected end, if it has not ended, GIVEN_UP.
LONG_PAST = timedelta(hours=6)
# A run is due from this long before its expected departure: two days of one train do not overlap.
SOON = timedelta(hours=12)


class Service(IntEnum):
    """How a run stands to the present. Of a train's runs, the lowest is the likeliest to be meant.

    LATE: running by its reports, long after the timetable has its end. It may be the run that is
    meant, or another day's that was forgotten: see ALIKE.
    GIVEN_UP: neither completed nor cancelled, and long past its last expected time.
    """

    UNDER_WAY = 0
    DUE = 1
    LATE = 2
    AHEAD = 3
    COMPLETED = 4
    CANCELLED = 5
    GIVEN_UP = 6


# In addition to the likeliest run, one of these may be meant: the caller has to say.
ALIKE = {
    Service.UNDER_WAY: Service.LATE,
    Service.DUE: Service.LATE,
    Service.LATE: Service.GIVEN_UP,
}

_ENDED = {RunStatus.COMPLETED: Service.COMPLETED, RunStatus.CANCELLED: Service.CANCELLED}


def service(state: RunState, now: datetime) -> Service:
    """Return how a run stands to the present."""
    if state.status in _ENDED:
        return _ENDED[state.status]
    end, departure = state.stops[-1].scheduled_arrival, state.stops[0].scheduled_departure
    assert end is not None  # a chart has the first departure and the last arrival
    assert departure is not None
    delay = timedelta(minutes=state.delay_minutes)
    if now > end + delay + LONG_PAST:
        return Service.GIVEN_UP
    if state.running:
        return Service.LATE if now > end + LONG_PAST else Service.UNDER_WAY
    return Service.DUE if now >= departure + delay - SOON else Service.AHEAD
