"""Whether a run is in service: by its status and by the clock."""

from datetime import datetime, timedelta
from enum import IntEnum

from trainhub.domain.model import RunStatus
from trainhub.domain.run_state import RunState

# A run that is not reported to its end is given up this long after its last expected time.
LONG_PAST = timedelta(hours=6)
# A run is due from this long before its expected departure: two days of one train do not overlap.
SOON = timedelta(hours=12)


class Service(IntEnum):
    """How a run stands to the present. Of a train's runs, the lowest is the likeliest to be meant.

    GIVEN_UP: neither completed nor cancelled, and long past its last expected time.
    """

    UNDER_WAY = 0
    DUE = 1
    AHEAD = 2
    COMPLETED = 3
    CANCELLED = 4
    GIVEN_UP = 5


_ENDED = {RunStatus.COMPLETED: Service.COMPLETED, RunStatus.CANCELLED: Service.CANCELLED}


def service(state: RunState, now: datetime) -> Service:
    """Return how a run stands to the present."""
    if state.status in _ENDED:
        return _ENDED[state.status]
    end = state.expected(state.stops[-1].scheduled_arrival)
    departure = state.expected(state.stops[0].scheduled_departure)
    assert end is not None  # a chart has the first departure and the last arrival
    assert departure is not None
    if now > end + LONG_PAST:
        return Service.GIVEN_UP
    if state.running:
        return Service.UNDER_WAY
    return Service.DUE if now >= departure - SOON else Service.AHEAD
