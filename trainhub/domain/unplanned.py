"""The rules of runs that are not as planned: an early end, and what is undone.

Each public function with a command decides it: it returns the events, or raises a HubError.
journey.py has the rules of the ordinary journey.
"""

from datetime import datetime, timedelta

from trainhub.core.errors import Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.events import Events
from trainhub.domain.journey import ahead, ended, ending
from trainhub.domain.marks import check_live, person_event, station_ref
from trainhub.domain.model import PersonState, RunStatus, StationReport
from trainhub.domain.offers import withdrawn
from trainhub.domain.run_state import Passenger, Report, RunState

# How long a station report can be undone.
UNDO = timedelta(minutes=10)


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


def closes_at(state: RunState, hours: float) -> datetime:
    """Return when a run that has not ended is closed: hours after all that is known of it."""
    end = state.terminus.scheduled_arrival
    assert end is not None  # only the first station of a chart has no arrival
    end += timedelta(minutes=max(state.delay_minutes, 0))
    return (end if state.last_at is None else max(end, state.last_at)) + timedelta(hours=hours)


def close(state: RunState, command: c.CloseRun, now: datetime) -> Events:
    """Close a run whose end was never reported: its journeys are over."""
    if state.ended_at is not None:
        return []
    over = ending(state, state.terminus.index, since=0)
    return [e.RunClosed(at=now, station=station_ref(state.here)), *ended(over, now)]


def reinstate(state: RunState, command: c.ReinstateTrain, now: datetime) -> Events:
    """Undo that a run was cancelled or closed: its passengers are DUE or ABOARD as before."""
    if state.status is RunStatus.COMPLETED:
        raise Conflict(
            f"{state.run} is COMPLETED, not CANCELLED: UNDO_REPORT undoes its last arrival",
            status=state.status,
        )
    if state.ended_at is None:
        return []
    coming = state.next_stop
    assert coming is not None  # a run with no station ahead is COMPLETED
    back = [
        each
        for each in state.passengers.values()
        if each.state in (PersonState.ALIGHTED, PersonState.UNCHECKED)
        and each.left is None
        and state.alights(each) > state.current
    ]
    return [
        e.TrainReinstated(
            at=now,
            station=station_ref(state.here),
            status=RunStatus.RUNNING if state.started else RunStatus.SCHEDULED,
            next=ahead(state, coming),
        ),
        *(_restored(each, now) for each in back),
    ]


def undo_report(state: RunState, command: c.UndoReport, now: datetime) -> Events:
    """Undo the last station report: the train and its passengers are as before.

    Refused once a passenger was upgraded since, or was marked who boards at that station. An
    arrival also stays once the staff have decided on berths, which they did from that station on.
    """
    here = state.here
    stop = state.station(command.station_code, turn=here)
    if state.status in (RunStatus.CANCELLED, RunStatus.CLOSED):
        raise Conflict(f"{state.run} is {state.status}: use REINSTATE_TRAIN first")
    if not state.reports:
        raise Conflict("there is no report to undo: the one before the last cannot be undone")
    report = state.reports[-1]
    if (stop, command.report) != (here, report.kind):
        last = f"{report.kind} at {here.code}"
        raise Conflict(f"the last report is the {last}: undo it first", last=here.code)
    if now - report.at > UNDO:
        raise Conflict("a report can be undone for ten minutes only, which are over")
    _check_undoable(state, report)
    arrival = report.kind is StationReport.ARRIVAL
    assumed = [] if arrival else _assumed(state)
    made = [offer for offer in state.open_by_person.values() if offer.seq > report.seq]
    coming = stop if arrival else state.after(stop.index)
    assert coming is not None  # the train had left for it
    delay = report.delay_minutes if arrival else max(report.delay_minutes, 0)
    return [
        *withdrawn(made, now),
        e.ReportUndone(
            at=now,
            station=station_ref(stop),
            report=report.kind,
            next=ahead(state, coming, delay),
        ),
        *(_restored(each, now) for each in state.ended_by(report)),
        *(person_event(e.BoardedUndone, now, each) for each in assumed),
    ]


def _check_undoable(state: RunState, report: Report) -> None:
    """Raise Conflict if passengers have another berth or a mark since a report."""
    given = state.upgrades[report.upgrades :]
    if given:
        raise Conflict(
            "passengers were upgraded since the report, so it stays: see upgraded",
            upgraded=[
                {"pnr": each.pnr, "index": each.index, "coach": each.coach, "berth": each.berth}
                for each in given
            ],
        )
    if report.kind is StationReport.ARRIVAL and state.decided > report.seq:
        raise Conflict(
            "berths were allotted, blocked or amended since the arrival, so it stays: they are "
            f"held from {state.here.code} on"
        )
    marked = [
        state.passengers[person].booking
        for at in range(report.current + 1, state.current + 1)
        for person in state.boarding_at.get(at, ())
        if state.passengers[person].marked_at is not None
    ]
    if marked:
        raise Conflict(
            "passengers of this station were marked since the report: undo these marks first",
            marked=[{"pnr": each.pnr, "index": each.index} for each in marked],
        )


def _assumed(state: RunState) -> list[Passenger]:
    """Return those who count as aboard since the train left, without a mark."""
    boarding = state.boarding_at.get(state.current, ())
    people = (state.passengers[person] for person in boarding)
    return [each for each in people if each.state is PersonState.ABOARD and each.assumed]


def _restored(passenger: Passenger, now: datetime) -> e.PersonEvent:
    aboard = passenger.state is PersonState.ALIGHTED
    state = PersonState.ABOARD if aboard else PersonState.DUE
    return person_event(e.PassengerRestored, now, passenger, state=state)
