"""The rules of runs that are not as planned: a station after all, an early end.

Each public function with a command decides it: it returns the events, or raises a HubError.
journey.py has the rules of the ordinary journey.
"""

from datetime import datetime

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.events import Events
from trainhub.domain.journey import ahead, ended, ending
from trainhub.domain.marks import check_live, station_ref
from trainhub.domain.model import RunStatus
from trainhub.domain.run_state import RunState


def undo_skip(state: RunState, command: c.UndoSkip, now: datetime) -> Events:
    """Serve a skipped station after all, as long as it is ahead."""
    stop = state.station(command.station_code)
    check_live(state)
    if not stop.skipped:
        return []
    if stop.index <= state.current and state.status is RunStatus.RUNNING:
        raise Conflict(f"the train has passed {stop.code}: it is not served any more")
    beyond = state.stops[state.current + 1 :]
    following = next(each for each in beyond if each is stop or not each.skipped)
    return [e.SkipUndone(at=now, station=station_ref(stop), next=ahead(state, following))]


def short_terminate(state: RunState, command: c.ShortTerminate, now: datetime) -> Events:
    """End the run before its terminus: at once where the train stands, else on the arrival."""
    stop = state.station(command.station_code)
    check_live(state)
    code, last = stop.code, state.terminus
    if stop is last:
        return []
    if stop.skipped:
        raise Conflict(f"{code} is skipped: end the run at a station that the train serves")
    if stop.index < state.current or (stop is state.here and state.departed):
        raise Conflict(f"the train has left {code}: end the run at a station ahead")
    if stop is state.origin:
        raise Conflict(f"the train starts at {code}: use CANCEL_TRAIN for a run that ends there")
    beyond = [each for each in state.stops[stop.index + 1 :] if not each.skipped]
    events: Events = [
        e.ShortTerminated(
            at=now,
            station=station_ref(stop),
            not_served=tuple(each.code for each in beyond),
            reason=command.reason,
        )
    ]
    if state.running and stop is state.here:
        events += ended(ending(state, len(state.stops) - 1), now)
        events.append(e.JourneyCompleted(at=now, station=station_ref(stop)))
    return events
