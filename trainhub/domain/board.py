"""The board of a station: the trains that are due there. No person is in it."""

from datetime import datetime, timedelta

from trainhub.core.codec import dump
from trainhub.domain.model import RunStatus
from trainhub.domain.run_state import RunState, Stop
from trainhub.domain.shapes import BoardLine
from trainhub.domain.views import station_named, stop_view


def board_line(
    state: RunState, stop: Stop, now: datetime, within: timedelta
) -> tuple[datetime, BoardLine] | None:
    """Return when the run is due at a stop, and its line; None if it is not on the board.

    A running train is on the board until it has left the station, however late it is. A train that
    has not started, or is cancelled, is on it only around its time.
    """
    minutes = state.delay_at(now) if state.running else None
    due = _due(state, stop, minutes)
    if _is_past(state, stop) or due is None or due > now + within:
        return None
    if not state.running and due < now - within:
        return None
    ends = state.expected_departure(stop) is None
    delay = due - ((stop.scheduled_arrival if ends else stop.scheduled_departure) or due)
    return due, {
        "trainNo": state.chart.train_no,
        "trainName": state.chart.train_name,
        "startDate": dump(state.chart.start_date),
        "status": state.status,
        "origin": station_named(state.origin),
        "terminus": station_named(state.terminus),
        "station": station_named(state.here),
        "departed": state.departed,
        "delayMinutes": delay // timedelta(minutes=1),
        "stop": stop_view(state, stop, minutes),
    }


def _due(state: RunState, stop: Stop, minutes: int | None) -> datetime | None:
    """Return when the train is to leave the stop; at its terminus, when it is to come."""
    return state.expected_departure(stop, minutes) or state.expected_arrival(stop, minutes)


def _is_past(state: RunState, stop: Stop) -> bool:
    """Return whether the train has left the stop, or has ended its run there."""
    return (
        state.status in (RunStatus.COMPLETED, RunStatus.CLOSED)
        or stop.index < state.current
        or (stop.index == state.current and state.departed)
    )
