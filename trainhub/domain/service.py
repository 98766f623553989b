"""Whether a run is in service: by its status and by the clock."""

from datetime import datetime, timedelta
from enum import IntEnum

from trainhub.domain.model import RunStatus
from trainhub.domain.run_state import RunState

# A run that has not ended is LATE this long after its scheduled end, and GIVEN_UP this long after
# its expected end.
LONG_PAST = timedelta(hours=6)
# A run is DUE from this long before its expected departure: two days of one train do not overlap.
SOON = timedelta(hours=12)


class Service(IntEnum):
    """Where a run is in time. The lowest value is the run of a train that is likeliest meant.

    LATE: running by its reports, long after its scheduled end. The run may be very late, or its
    end was never reported: see ALIKE.
    GIVEN_UP: neither completed nor cancelled, long after its expected end.
    """

    UNDER_WAY = 0
    DUE = 1
    LATE = 2
    AHEAD = 3
    COMPLETED = 4
    CANCELLED = 5
    GIVEN_UP = 6


# If the likeliest run is a key and there is a run of its value, the caller must name the run.
ALIKE = {
    Service.UNDER_WAY: Service.LATE,
    Service.DUE: Service.LATE,
    Service.LATE: Service.GIVEN_UP,
}

_ENDED = {
    RunStatus.COMPLETED: Service.COMPLETED,
    RunStatus.CANCELLED: Service.CANCELLED,
    RunStatus.CLOSED: Service.GIVEN_UP,
}


def service(state: RunState, now: datetime) -> Service:
    """Return where a run is in time."""
    if state.status in _ENDED:
        return _ENDED[state.status]
    end, departure = state.terminus.scheduled_arrival, state.origin.scheduled_departure
    assert end is not None  # only the first station of a chart has no arrival
    assert departure is not None
    delay = timedelta(minutes=state.delay_minutes)
    if now > end + delay + LONG_PAST:
        return Service.GIVEN_UP
    if state.running:
        return Service.LATE if now > end + LONG_PAST else Service.UNDER_WAY
    return Service.DUE if now >= departure + delay - SOON else Service.AHEAD
