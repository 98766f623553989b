"""The rules of a run's journey: its start, its stations in order, delays, its end.

Each public function with a command decides it: it returns the events, or raises a HubError.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

from trainhub.core.codec import dump
from trainhub.core.errors import BadMessage, Conflict
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.allotment import unbooked
from trainhub.domain.errors import UnknownPassenger
from trainhub.domain.events import Events
from trainhub.domain.fields import DELAYS
from trainhub.domain.marks import (
    check_live,
    check_running,
    person_event,
    station_ref,
    vacated,
    way_back,
)
from trainhub.domain.model import Boarding, PersonState, RunStatus, number_of
from trainhub.domain.run_state import Passenger, RunState, Stop
from trainhub.domain.schedule import CLOCK_SKEW, local

# Minutes of delay of a report without a time, which gets the hub's own. A train may be days late.
# Beyond a year the hub's clock or the chart's date is wrong.
MOST_MINUTES_BY_CLOCK = 366 * 24 * 60
# Faults that the error names, if no line of a chart loads.
MOST_FAULTS = 20


def register(state: RunState, command: c.RegisterTrain, now: datetime) -> Events:
    """Load a run from its chart, also in place of a chart with which nothing has happened yet."""
    chart = command.chart
    if state.seq and (state.touched or chart == state.chart):
        rest = "AMEND_CHART corrects its chart" if state.touched else "with this same chart"
        if state.status is RunStatus.CANCELLED:
            rest = f"it is CANCELLED: REINSTATE_TRAIN takes that back, and then {rest}"
        elif state.ended_at is not None:
            rest = f"it is {state.status}, and its chart stays"
        raise Conflict(f"{state.run} is registered already: {rest}", seq=state.seq)
    if state.seq and not {each.code for each in chart.stations} & {
        each.code for each in state.chart.stations
    }:
        raise Conflict(
            f"{state.run} goes from {state.stops[0].code} to {state.stops[-1].code}: register "
            f"another train of the number with a part, like {number_of(chart.train_no)}-2",
            seq=state.seq,
        )
    if command.rejected and not chart.passengers:
        raise nothing_loads(command.rejected)
    now = local(now, ZoneInfo(chart.timezone))
    kept = {booking.person for booking in chart.passengers}
    gone = tuple(person for person in state.passengers if person not in kept)
    return [e.TrainRegistered(at=now, chart=chart, gone=gone)]


def nothing_loads(rejected: Sequence[c.Rejected]) -> BadMessage:
    """Return the error of lines of which none loads, with the first faults."""
    first = rejected[0]
    return BadMessage(
        f"no passenger loads; line {first.line}: {first.reason}",
        rejected=[dump(each) for each in rejected[:MOST_FAULTS]],
    )


def start(state: RunState, command: c.StartJourney, now: datetime) -> Events:
    """Start at the first station that is served, or at a later one.

    Those who were to board before may board there. The journeys that end before are over, and their
    berths vacant.
    """
    if state.status is not RunStatus.SCHEDULED:
        raise Conflict(
            f"{state.run} is {state.status} already{way_back(state)}", status=state.status
        )
    first = state.origin
    if command.station_code is not None:
        first = state.station(command.station_code)
    code, coming = first.code, state.after(first.index)
    if first.skipped:
        raise Conflict(f"{code} is skipped: start at a station that the train serves")
    if coming is None:
        raise Conflict(f"the train ends at {code}: use CANCEL_TRAIN for a run that does not start")
    before = [stop for stop in state.stops[: first.index] if not stop.skipped]
    missed = ending(state, first.index, since=0)
    free = (vacated(state, each, first.index, e.Cause.ALIGHTED, now) for each in missed)
    return [
        *(
            e.StationSkipped(at=now, station=station_ref(stop), next=ahead(state, first))
            for stop in before
        ),
        e.JourneyStarted(at=now, station=station_ref(first), next=ahead(state, coming)),
        *(person_event(e.PassengerUnchecked, now, each) for each in missed),
        *chain.from_iterable(free),
    ]


def cancel(state: RunState, command: c.CancelTrain, now: datetime) -> Events:
    """End the run where the train is. Passengers aboard alight there."""
    if state.status is RunStatus.CANCELLED:
        return []
    if state.ended_at is not None:
        raise Conflict(f"{state.run} is {state.status} already", status=state.status)
    aboard = (p for p in state.passengers.values() if p.state is PersonState.ABOARD)
    return [
        e.TrainCancelled(at=now, station=station_ref(state.here), reason=command.reason),
        *(person_event(e.PassengerAlighted, now, passenger) for passenger in aboard),
    ]


def implied(state: RunState, command: c.Command, now: datetime) -> c.Depart | None:
    """Return the departure that an arrival at the next station implies, if no one reported it.

    Feeds drop reports of the past. If the report has a time, the train left at the expected time,
    as far as its other reports allow; else it left now. Raises what the arrival would raise.
    """
    if not isinstance(command, c.Arrive) or state.departed or state.status is not RunStatus.RUNNING:
        return None
    coming, here = state.next_stop, state.here
    if coming is None or state.station(command.station_code, turn=coming) is not coming:
        return None
    at, _ = _arrived(state, coming, command, now)
    if command.at is None:  # by the hub's clock, and so is the departure
        return c.Depart(
            train_no=command.train_no,
            start_date=command.start_date,
            station_code=here.code,
        )
    expected = state.expected_departure(here)
    last = here.arrived
    left = at if expected is None else min(at, expected)
    return c.Depart(
        train_no=command.train_no,
        start_date=command.start_date,
        station_code=here.code,
        at=left if last is None else min(at, max(left, last)),
    )


def _arrived(state: RunState, stop: Stop, command: c.Arrive, now: datetime) -> tuple[datetime, int]:
    """Return when the train arrived, and its delay. Raises a HubError if that is impossible."""
    at = _moment(state, stop, command.at, now)
    return at, _delay(at, stop.scheduled_arrival, reported=command.at is not None)


def arrive(state: RunState, command: c.Arrive, now: datetime) -> Events:
    coming = state.next_stop
    stop = state.station(command.station_code, turn=coming)
    check_running(state)
    assert coming is not None  # a run that is RUNNING has stations left
    if not state.departed:  # the departure before an arrival at the next station is implied
        code = state.here.code
        raise Conflict(f"the train stands at {code}: DEPART {code} comes next", next=code)
    if stop is not coming:
        code = coming.code
        rest = f": {stop.code} is skipped, and UNDO_SKIP serves it" if stop.skipped else ""
        raise Conflict(f"the next station is {code}, not {stop.code}{rest}", next=code)
    at, delay = _arrived(state, stop, command, now)
    over = ending(state, stop.index)
    leaving = [each for each in over if each.state is PersonState.ABOARD]
    beyond = state.after(stop.index)
    events: Events = [
        e.StationArrival(
            at=now,
            station=station_ref(stop),
            scheduled=_known(stop.scheduled_arrival),
            expected=_known(state.expected_arrival(stop)),
            actual=at,
            delay_minutes=delay,
            platform=command.platform or stop.platform,
            platform_confirmed=command.platform is not None or stop.platform_confirmed,
            next=None if beyond is None else ahead(state, beyond, max(delay, 0)),
            alighted=len(leaving),
        )
    ]
    events += ended(over, now)
    if beyond is None:
        return [*events, e.JourneyCompleted(at=now, station=station_ref(stop))]
    for each in over:
        events += vacated(state, each, stop.index, e.Cause.ALIGHTED, now)
    return events


def depart(state: RunState, command: c.Depart, now: datetime) -> Events:
    here = state.here
    stop = state.station(command.station_code, turn=here)
    check_running(state)
    coming = state.next_stop
    assert coming is not None  # a run that is RUNNING has stations left
    if state.departed:
        code = coming.code
        raise Conflict(f"the train has left {here.code}: ARRIVE {code} comes next", next=code)
    if stop is not here:
        code = here.code
        raise Conflict(f"the train stands at {code}, not {stop.code}", next=code)
    at = _moment(state, stop, command.at, now)
    delay = _delay(at, stop.scheduled_departure, reported=command.at is not None)
    events: Events = [
        e.StationDeparture(
            at=now,
            station=station_ref(stop),
            scheduled=_known(stop.scheduled_departure),
            expected=_known(state.expected_departure(stop)),
            actual=at,
            delay_minutes=delay,
            platform=command.platform or stop.platform,
            next=ahead(state, coming, delay),
        )
    ]
    if state.chart.give_unbooked:
        events += unbooked(state, now)
    if state.chart.boarding is Boarding.AUTO:
        due = (state.passengers[person] for person in state.boarding_at.get(stop.index, ()))
        events += (
            person_event(e.PassengerBoarded, now, each, assumed=True)
            for each in due
            if each.state is PersonState.DUE
        )
    return events


def skip(state: RunState, command: c.SkipStation, now: datetime) -> Events:
    """Skip a station ahead. Its passengers alight at the next station that is served."""
    stop = state.station(command.station_code)
    check_live(state)
    code = stop.code
    if stop.skipped:
        return []
    if stop.index <= state.current and state.status is RunStatus.RUNNING:
        raise Conflict(f"the train has reached {code}: skip a station before the train is there")
    if stop is state.terminus:
        raise Conflict(
            f"the train ends at {code}: use SHORT_TERMINATE to end it before, or CANCEL_TRAIN"
        )
    if state.after(state.origin.index) is state.terminus and stop is state.origin:
        raise Conflict(f"{code} is the last station before the end: use CANCEL_TRAIN")
    coming = state.origin if state.origin.index > state.current else state.next_stop
    following = state.after(stop.index) if stop in (coming, state.origin) else coming
    return [
        e.StationSkipped(
            at=now,
            station=station_ref(stop),
            next=None if following is None else ahead(state, following),
        )
    ]


def set_delay(state: RunState, command: c.SetDelay, now: datetime) -> Events:
    check_live(state)
    if command.delay_minutes not in DELAYS:
        raise BadMessage(f"delayMinutes is from {DELAYS.start} to {DELAYS.stop - 1}")
    if command.delay_minutes == state.delay_minutes:
        return []
    coming = state.next_stop
    # A train that stands does not leave before its booked time.
    minutes = command.delay_minutes if state.departed else max(command.delay_minutes, 0)
    return [
        e.DelayUpdate(
            at=now,
            delay_minutes=command.delay_minutes,
            reason=command.reason,
            next=None if coming is None else ahead(state, coming, minutes),
        )
    ]


def set_platform(state: RunState, command: c.SetPlatform, now: datetime) -> Events:
    stop = state.station(command.station_code)
    check_live(state)
    code = stop.code
    if stop.index < state.current or (stop.index == state.current and state.departed):
        raise Conflict(f"the train has left {code}: set the platform of a station ahead")
    if stop.skipped:
        raise Conflict(f"{code} is skipped: it has no platform")
    if (command.platform, command.confirmed) == (stop.platform, stop.platform_confirmed):
        return []
    return [
        e.PlatformChange(
            at=now,
            station=station_ref(stop),
            platform=command.platform,
            confirmed=command.confirmed,
        )
    ]


def correct_clock(state: RunState, command: c.CorrectClock, now: datetime) -> Events:
    """Note that the hub's clock was set, so that open offers keep the time that they have left."""
    moved = tuple(offer.id for offer in state.open_by_berth.values())
    return [e.ClockCorrected(at=now, by_seconds=command.by_seconds, moved=moved)]


def announce(state: RunState, command: c.Announce, now: datetime) -> Events:
    if (command.to is c.To.USER) != (command.user is not None):
        raise BadMessage("user goes with to: USER, and only then: give both or neither")
    if command.user is not None and command.user not in state.by_user:
        raise UnknownPassenger(f"{state.run} has no passenger of that user: check the irctcId")
    return [
        e.Announcement(
            at=now,
            text=command.text,
            level=command.level,
            audience_=command.to,
            user=command.user,
        )
    ]


# --- helpers of the rules -----------------------------------------------------------------------


def _moment(state: RunState, stop: Stop, at: datetime | None, now: datetime) -> datetime:
    """Return the time that a station reports, by its own clock, or now if it reports none.

    Raises BadMessage if the time is in the future, and Conflict if it is before the last report.
    """
    last = state.here.departed or state.here.arrived
    if last is not None and last > now + CLOCK_SKEW:
        last = None  # no bound: the clock was ahead at that report, and has been set back since
    if at is None:
        now = now.replace(microsecond=0)
        return local(now if last is None else max(now, last), state.zone_of(stop))
    if at > now + CLOCK_SKEW:
        raise BadMessage("at lies in the future: give the time when the train came or went")
    if last is not None and at < last:
        raise Conflict(f"at is before the train's last report: give {last.isoformat()} or later")
    return local(at, state.zone_of(stop)).replace(microsecond=0)


def _delay(actual: datetime, scheduled: datetime | None, *, reported: bool) -> int:
    """Return the minutes of delay.

    Raises BadMessage if a reported time gives a delay outside DELAYS, and Conflict if the hub's own
    time gives more than a year.
    """
    due = _known(scheduled)
    minutes = round((actual - due).total_seconds() / 60)
    if reported and minutes not in DELAYS:
        first, last = (due + timedelta(minutes=each) for each in (DELAYS[0], DELAYS[-1]))
        raise BadMessage(
            f"at would be {abs(minutes)} minutes {'late' if minutes > 0 else 'early'}: the train "
            f"is due at {due.isoformat()}, so at is from {first.isoformat()} to {last.isoformat()}"
        )
    if abs(minutes) > MOST_MINUTES_BY_CLOCK:
        raise Conflict(
            f"the hub's clock says {actual.isoformat()}, and the train is due at "
            f"{due.isoformat()}: check the hub's clock and the chart's startDate"
        )
    return minutes


def _known(moment: datetime | None) -> datetime:
    assert moment is not None  # only the ends of a run lack a time, and no rule asks for it
    return moment


def ending(state: RunState, index: int, since: int | None = None) -> list[Passenger]:
    """Return those aboard or due whose journey ends here, or at a station skipped on the way.

    At the last station that the train serves, each journey ends.
    """
    first = state.current + 1 if since is None else since
    last = index if state.after(index) else len(state.stops) - 1
    return [
        state.passengers[person]
        for at in range(first, last + 1)
        for person in state.alighting_at.get(at, ())
        if state.passengers[person].state in (PersonState.ABOARD, PersonState.DUE)
    ]


def ended(over: Iterable[Passenger], now: datetime) -> Iterator[e.Event]:
    """Yield the end of journeys: those aboard alight, and those due were never checked."""
    for each in over:
        aboard = each.state is PersonState.ABOARD
        kind = e.PassengerAlighted if aboard else e.PassengerUnchecked
        yield person_event(kind, now, each)


def ahead(state: RunState, stop: Stop, delay: int | None = None) -> e.Ahead:
    """Describe a stop ahead, expected with that delay, or with the train's own."""
    if delay is None:
        expected = _known(state.expected_arrival(stop))
    else:
        expected = _known(stop.scheduled_arrival) + timedelta(minutes=delay)
    return e.Ahead(
        code=stop.station.code,
        name=stop.station.name,
        index=stop.index,
        expected=expected,
    )
