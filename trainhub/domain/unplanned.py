"""The rules of runs that are not as planned: an early end, a halt more, and what is undone.

Each public function with a command decides it: it returns the events, or raises a HubError.
journey.py has the rules of the ordinary journey.
"""

import dataclasses
from datetime import datetime, timedelta

from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import check_chart, check_stations, check_time
from trainhub.domain.events import Events
from trainhub.domain.journey import ahead, ended, ending
from trainhub.domain.marks import check_live, person_event, station_ref
from trainhub.domain.model import Chart, PersonState, RunStatus, Station, StationReport
from trainhub.domain.offers import withdrawn
from trainhub.domain.run_state import Passenger, Report, RunState
from trainhub.domain.schedule import DueTimes, due_times

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


def add_halt(state: RunState, command: c.AddHalt, now: datetime) -> Events:
    """Add a stop to the way ahead. Who travels past it has the same berth before and after."""
    before, code = state.station(command.after), command.station_code
    check_live(state)
    if state.stops_at(code):
        raise Conflict(f"the train calls at {code} already: UNDO_SKIP serves it if it is skipped")
    if before.index >= state.terminus.index:
        last = state.terminus.code
        raise Conflict(f"the train ends at {last}: name a stop before it as `after`")
    first = state.here if state.started else state.origin
    if before.index < first.index:
        raise Conflict(f"{before.code} is behind the train: name {first.code} or a stop ahead")
    place = before.index + 1
    if state.names_index(place):
        raise Conflict(
            "the train calls twice at a station ahead, and its index is part of its name: add the "
            "halt after it"
        )
    chart = _with_halt(state, command, place)
    check_stations(chart)
    check_chart(chart)
    halt, (came, _) = chart.stations[place], _due(state, chart)[place]
    assert came is not None  # only the first station of a chart has no arrival
    coming = state.next_stop if state.started else state.after(state.origin.index)
    assert coming is not None  # the terminus is ahead
    if place <= coming.index:
        minutes = state.delay_minutes if state.departed else max(state.delay_minutes, 0)
        expected = came + timedelta(minutes=minutes)
        following = e.Ahead(code=code, name=halt.name, index=place, expected=expected)
    else:
        following = ahead(state, coming)
    station = e.StationRef(code=code, name=halt.name, index=place)
    return [e.HaltAdded(at=now, station=station, halt=halt, next=following)]


def _with_halt(state: RunState, command: c.AddHalt, place: int) -> Chart:
    """Return the chart with a halt, on the first day on which its times fit."""
    for name, text in (("arrival", command.arrival), ("departure", command.departure)):
        check_time(name, text)
    before, beyond = state.stops[place - 1 : place + 1]
    was, km = state.chart.stations, command.distance_km
    for day in range(before.station.day, beyond.station.day + 1):
        halt = Station(
            code=command.station_code,
            name=command.name,
            arrival=command.arrival,
            departure=command.departure,
            day=day,
            distance_km=before.station.distance_km if km is None else km,
            platform=command.platform,
            timezone=before.station.timezone,
        )
        chart = dataclasses.replace(state.chart, stations=(*was[:place], halt, *was[place:]))
        due = _due(state, chart)
        times = [before.scheduled_departure, *due.pop(place), beyond.scheduled_arrival]
        known = [each for each in times if each is not None]
        if known == sorted(known) and due == _due(state, state.chart):
            return chart
    raise BadMessage(
        f"{before.code} is left at {before.scheduled_departure:%H:%M} and {beyond.code} reached "
        f"at {beyond.scheduled_arrival:%H:%M}: give times between them, the arrival first"
    )


def _due(state: RunState, chart: Chart) -> list[DueTimes]:
    return list(due_times(chart.start_date, chart.stations, state.zone))


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
