"""One run's state: `decide` checks the rules and returns events, `evolve` alone changes it.

The state is a fold of its events from 1 to `seq`. `decide` changes nothing and is given the time;
`evolve` needs nothing but the event. Every look-up is by dict: a person, a PNR, a user
(irctcId), a berth, a station.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.berths import Occupancy, segments
from trainhub.domain.chart import stop_times
from trainhub.domain.errors import BadMessage, Conflict, UnknownPassenger, UnknownStation
from trainhub.domain.model import (
    BerthKey,
    Boarding,
    Booking,
    BookingStatus,
    Chart,
    PersonKey,
    PersonState,
    RunKey,
    RunStatus,
    Station,
    berth_key,
    person_key,
)

# A no-show may be undone for this long (railway rules, Marks).
UNDO_WINDOW = timedelta(minutes=30)
# A station's clock may run ahead of the hub's by this much before its times are refused.
CLOCK_SKEW = timedelta(minutes=1)


@dataclass(slots=True)
class Passenger:
    """A person as they are now; `booking` is what the chart said of them."""

    booking: Booking
    status: BookingStatus
    coach: str | None
    berth: int | None
    state: PersonState = PersonState.DUE
    marked_nt_at: datetime | None = None

    @property
    def person(self) -> PersonKey:
        return self.booking.person

    @property
    def berth_key(self) -> BerthKey | None:
        if self.coach is None or self.berth is None:
            return None
        return berth_key(self.coach, self.berth)


@dataclass(slots=True)
class Stop:
    """A station of the run: when it was meant to be served, and when it was."""

    station: Station
    index: int
    scheduled_arrival: datetime | None
    scheduled_departure: datetime | None
    arrived: datetime | None = None
    departed: datetime | None = None
    platform: str | None = None


class TrainState:
    """One run, from nothing (seq 0) to where its events have taken it."""

    def __init__(self, run: RunKey) -> None:
        self.run = run
        self.seq = 0
        self.status = RunStatus.SCHEDULED
        # The last station reached, and whether the train has left it.
        self.current = 0
        self.departed = False
        self.delay_minutes = 0
        self.ended_at: datetime | None = None
        self.stops: list[Stop] = []
        self.passengers: dict[PersonKey, Passenger] = {}
        self.by_pnr: dict[str, list[PersonKey]] = {}
        self.by_user: dict[str, list[PersonKey]] = {}
        self.by_station: dict[str, int] = {}
        self._boarding_at: dict[int, list[PersonKey]] = {}
        self._alighting_at: dict[int, list[PersonKey]] = {}

    # --- look-ups ---------------------------------------------------------------------------

    def station(self, code: str) -> Stop:
        index = self.by_station.get(code)
        if index is None:
            raise UnknownStation(
                f"{self.run} has no station {code[:20]}", stations=list(self.by_station)
            )
        return self.stops[index]

    def passenger(self, pnr: str, index: int) -> Passenger:
        found = self.passengers.get(person_key(pnr, index))
        if found is None:
            raise UnknownPassenger(f"{self.run} has no person {index} on that PNR")
        return found

    def on_pnr(self, pnr: str) -> list[Passenger]:
        persons = self.by_pnr.get(pnr)
        if not persons:
            raise UnknownPassenger(f"{self.run} has nobody on that PNR")
        return [self.passengers[person] for person in persons]

    def of_user(self, user: str) -> list[Passenger]:
        return [self.passengers[person] for person in self.by_user.get(user, ())]

    def in_berth(self, coach: str, berth: int) -> list[Passenger]:
        """Who holds the berth on the leg the train is on, or is about to start."""
        key = berth_key(coach, berth)
        return [self.passengers[person] for person in self.occupancy.at(key, self.current)]

    def expected(self, scheduled: datetime | None) -> datetime | None:
        """When a stop still to come should be served, as the train runs now."""
        return scheduled and scheduled + timedelta(minutes=self.delay_minutes)

    @property
    def next_stop(self) -> Stop | None:
        following = self.current + 1
        return self.stops[following] if following < len(self.stops) else None

    # --- decide -----------------------------------------------------------------------------

    def decide(self, command: c.Command, now: datetime) -> list[e.Event]:
        """The events that the command brings about; an empty list if all is so already.

        Raises a HubError if the rules do not allow it. Changes nothing.
        """
        if not self.seq and not isinstance(command, c.RegisterTrain):
            raise TypeError("a run begins with RegisterTrain")
        if self.seq:
            now = now.astimezone(self.zone)
        return _DECIDE[type(command)](self, command, now)

    def _register(self, command: c.RegisterTrain, now: datetime) -> list[e.Event]:
        if self.seq:
            raise Conflict(f"{self.run} is registered already", seq=self.seq)
        now = now.astimezone(ZoneInfo(command.chart.timezone))
        return [e.TrainRegistered(at=now, chart=command.chart)]

    def _start(self, command: c.StartJourney, now: datetime) -> list[e.Event]:
        if self.status is not RunStatus.SCHEDULED:
            raise Conflict(f"{self.run} is {self.status} already", status=self.status)
        return [
            e.JourneyStarted(at=now, station=_place(self.stops[0]), next=self._ahead(self.stops[1]))
        ]

    def _arrive(self, command: c.Arrive, now: datetime) -> list[e.Event]:
        stop = self.station(command.station_code)
        coming = self.next_stop
        if not self._running() or coming is None:
            raise Conflict(f"{self.run} is {self.status}, not RUNNING", status=self.status)
        if not self.departed:
            here = self.stops[self.current].station.code
            raise Conflict(f"the train stands at {here}: DEPART {here} comes next", next=here)
        if stop is not coming:
            code = coming.station.code
            raise Conflict(f"the next station is {code}, not {stop.station.code}", next=code)
        at = self._moment(command.at, now)
        assert stop.scheduled_arrival is not None  # only the first stop has none
        delay = round((at - stop.scheduled_arrival).total_seconds() / 60)
        leaving = self._aboard_until(stop.index)
        beyond = self.stops[stop.index + 1] if stop.index + 1 < len(self.stops) else None
        events: list[e.Event] = [
            e.StationArrival(
                at=now,
                station=_place(stop),
                scheduled=stop.scheduled_arrival,
                expected=self.expected(stop.scheduled_arrival) or at,
                actual=at,
                delay_minutes=delay,
                platform=command.platform or stop.platform,
                next=None if beyond is None else self._ahead(beyond, delay),
                alighted=len(leaving),
            )
        ]
        events += (_person_event(e.PassengerAlighted, now, each) for each in leaving)
        if beyond is None:
            events.append(e.JourneyCompleted(at=now, station=_place(stop)))
        return events

    def _depart(self, command: c.Depart, now: datetime) -> list[e.Event]:
        stop = self.station(command.station_code)
        here = self.stops[self.current]
        if not self._running():
            raise Conflict(f"{self.run} is {self.status}, not RUNNING", status=self.status)
        if self.departed:
            coming = self.stops[self.current + 1].station.code
            raise Conflict(f"the train has left {here.station.code}: ARRIVE {coming} comes next",
                           next=coming)  # fmt: skip
        if stop is not here:
            code = here.station.code
            raise Conflict(f"the train stands at {code}, not {stop.station.code}", next=code)
        at = self._moment(command.at, now)
        assert stop.scheduled_departure is not None  # only the last stop has none
        delay = round((at - stop.scheduled_departure).total_seconds() / 60)
        following = self.stops[stop.index + 1]
        events: list[e.Event] = [
            e.StationDeparture(
                at=now,
                station=_place(stop),
                scheduled=stop.scheduled_departure,
                expected=self.expected(stop.scheduled_departure) or at,
                actual=at,
                delay_minutes=delay,
                platform=command.platform or stop.platform,
                next=self._ahead(following, delay),
            )
        ]
        if self.boarding is Boarding.AUTO:
            due = (self.passengers[person] for person in self._boarding_at.get(stop.index, ()))
            events += (
                _person_event(e.PassengerBoarded, now, each)
                for each in due
                if each.state is PersonState.DUE
            )
        return events

    def _mark_boarded(self, command: c.MarkBoarded, now: datetime) -> list[e.Event]:
        passenger = self.passenger(command.pnr, command.index)
        if passenger.state is PersonState.ABOARD:
            return []
        self._check_markable(passenger)
        events: list[e.Event] = []
        if passenger.state is PersonState.NT:
            events += self._undo_no_show(c.UndoNoShow(**vars(command)), now)
        return [*events, _person_event(e.PassengerBoarded, now, passenger)]

    def _mark_no_show(self, command: c.MarkNoShow, now: datetime) -> list[e.Event]:
        passenger = self.passenger(command.pnr, command.index)
        if passenger.state is PersonState.NT:
            return []
        self._check_markable(passenger)
        if passenger.state is PersonState.ABOARD:
            raise Conflict("the passenger is aboard, so is no no-show", state=passenger.state)
        events: list[e.Event] = [_person_event(e.NoShow, now, passenger)]
        start = max(self._from(passenger), self.current)
        if passenger.coach is not None and passenger.berth is not None:
            events.append(
                e.BerthVacated(
                    at=now,
                    coach=passenger.coach,
                    berth=passenger.berth,
                    class_=passenger.booking.class_,
                    from_=self.stops[start].station.code,
                    to=passenger.booking.to,
                    cause="NO_SHOW",
                )
            )
        return events

    def _undo_no_show(self, command: c.UndoNoShow, now: datetime) -> list[e.Event]:
        passenger = self.passenger(command.pnr, command.index)
        if passenger.state is PersonState.DUE:
            return []
        if passenger.state is not PersonState.NT or passenger.marked_nt_at is None:
            raise Conflict(f"the passenger is {passenger.state}, not NT", state=passenger.state)
        self._check_markable(passenger)
        if now - passenger.marked_nt_at > UNDO_WINDOW:
            raise Conflict("a no-show can be undone for 30 minutes, and those are over")
        key = passenger.berth_key
        if key is not None and not self.occupancy.has_room(
            key, self._remaining(passenger), half=passenger.status is BookingStatus.RAC
        ):
            raise Conflict(f"berth {key} was given to another passenger", berth=key)
        return [_person_event(e.NoShowUndone, now, passenger)]

    def _announce(self, command: c.Announce, now: datetime) -> list[e.Event]:
        if (command.to is c.To.USER) != (command.user is not None):
            raise BadMessage("user goes with to: USER, and to: USER needs it")
        if command.user is not None and command.user not in self.by_user:
            raise UnknownPassenger(f"{self.run} has nobody of that user")
        return [
            e.Announcement(
                at=now,
                text=command.text,
                level=command.level,
                audience_=command.to,
                user=command.user,
            )
        ]

    # --- what the rules ask -----------------------------------------------------------------

    def _running(self) -> bool:
        return self.status is RunStatus.RUNNING

    def _moment(self, at: datetime | None, now: datetime) -> datetime:
        """The time that a station reports, if it can be so; now if it reports none."""
        if at is None:
            return now.replace(microsecond=0)
        if at > now + CLOCK_SKEW:
            raise BadMessage("at lies in the future: it is when the train came or went")
        here = self.stops[self.current]
        last = here.departed or here.arrived
        if last is not None and at < last:
            raise Conflict(f"at is before the train's last report, {last.isoformat()}")
        return at.astimezone(self.zone).replace(microsecond=0)

    def _check_markable(self, passenger: Passenger) -> None:
        """O and NT are for those due to have boarded, on a run that is under way."""
        if not self._running():
            raise Conflict(f"{self.run} is {self.status}, not RUNNING", status=self.status)
        if passenger.state in (PersonState.ALIGHTED, PersonState.CANCELLED):
            raise Conflict(f"the passenger is {passenger.state}", state=passenger.state)
        if self._from(passenger) > self.current:
            raise Conflict(
                f"the passenger boards at {passenger.booking.from_}, further on",
                boardsAt=passenger.booking.from_,
            )
        if self._to(passenger) <= self.current:
            raise Conflict(f"the passenger's journey ended at {passenger.booking.to}")

    def _from(self, passenger: Passenger) -> int:
        return self.by_station[passenger.booking.from_]

    def _to(self, passenger: Passenger) -> int:
        return self.by_station[passenger.booking.to]

    def _remaining(self, passenger: Passenger) -> int:
        """The segments of a journey that are still to be travelled, as a mask."""
        return segments(max(self._from(passenger), self.current), self._to(passenger))

    def _aboard_until(self, index: int) -> list[Passenger]:
        those = (self.passengers[person] for person in self._alighting_at.get(index, ()))
        return [each for each in those if each.state is PersonState.ABOARD]

    def _ahead(self, stop: Stop, delay: int | None = None) -> e.Ahead:
        minutes = self.delay_minutes if delay is None else delay
        assert stop.scheduled_arrival is not None  # only the first stop has none
        return e.Ahead(
            code=stop.station.code,
            name=stop.station.name,
            index=stop.index,
            expected=stop.scheduled_arrival + timedelta(minutes=minutes),
        )

    # --- evolve -----------------------------------------------------------------------------

    def evolve(self, event: e.Event) -> None:
        """Take up the run's next event. The only code that changes a run."""
        _EVOLVE[type(event)](self, event)
        self.seq += 1

    def _registered(self, event: e.TrainRegistered) -> None:
        chart = event.chart
        self.chart = chart
        self.zone = ZoneInfo(chart.timezone)
        self.policy = chart.policy
        self.boarding = chart.boarding
        self.stops = _stops(chart, self.zone)
        self.by_station = {stop.station.code: stop.index for stop in self.stops}
        self.occupancy = Occupancy(chart.coaches)
        for booking in chart.passengers:
            self._add(booking)

    def _add(self, booking: Booking) -> None:
        passenger = Passenger(booking, booking.status, booking.coach, booking.berth)
        person = booking.person
        self.passengers[person] = passenger
        self.by_pnr.setdefault(booking.pnr, []).append(person)
        self.by_user.setdefault(booking.irctc_id, []).append(person)
        start, end = self._from(passenger), self._to(passenger)
        self._boarding_at.setdefault(start, []).append(person)
        self._alighting_at.setdefault(end, []).append(person)
        self._take_berth(passenger, segments(start, end))

    def _started(self, event: e.JourneyStarted) -> None:
        self.status = RunStatus.RUNNING

    def _arrived(self, event: e.StationArrival) -> None:
        self.current = event.station.index
        self.departed = False
        self.delay_minutes = event.delay_minutes
        stop = self.stops[self.current]
        stop.arrived, stop.platform = event.actual, event.platform

    def _has_departed(self, event: e.StationDeparture) -> None:
        self.departed = True
        self.delay_minutes = event.delay_minutes
        stop = self.stops[event.station.index]
        stop.departed, stop.platform = event.actual, event.platform

    def _completed(self, event: e.JourneyCompleted) -> None:
        self.status = RunStatus.COMPLETED
        self.ended_at = event.at

    def _boarded(self, event: e.PassengerBoarded) -> None:
        self.passengers[event.person].state = PersonState.ABOARD

    def _alighted(self, event: e.PassengerAlighted) -> None:
        self.passengers[event.person].state = PersonState.ALIGHTED

    def _no_show(self, event: e.NoShow) -> None:
        passenger = self.passengers[event.person]
        passenger.state = PersonState.NT
        passenger.marked_nt_at = event.at
        if passenger.berth_key is not None:
            self.occupancy.release(
                passenger.berth_key, passenger.person, self._remaining(passenger)
            )

    def _no_show_undone(self, event: e.NoShowUndone) -> None:
        passenger = self.passengers[event.person]
        passenger.state = PersonState.DUE
        passenger.marked_nt_at = None
        self._take_berth(passenger, self._remaining(passenger))

    def _take_berth(self, passenger: Passenger, mask: int) -> None:
        if passenger.berth_key is not None:
            half = passenger.status is BookingStatus.RAC
            self.occupancy.take(passenger.berth_key, passenger.person, mask, half=half)

    def _told_only(self, event: e.Event) -> None:
        """Some events tell, and change nothing beside the seq."""


def fold(run: RunKey, events: Iterable[e.Event]) -> TrainState:
    """The state that a run's events, from its first, lead to."""
    state = TrainState(run)
    for event in events:
        state.evolve(event)
    return state


def _stops(chart: Chart, zone: ZoneInfo) -> list[Stop]:
    midnight = datetime.combine(chart.start_date, datetime.min.time(), zone)
    stops = []
    for index, station in enumerate(chart.stations):
        came, goes = stop_times(station.arrival, station.departure, station.day)
        stops.append(
            Stop(
                station=station,
                index=index,
                scheduled_arrival=None if came is None else midnight + came,
                scheduled_departure=None if goes is None else midnight + goes,
                platform=station.platform,
            )
        )
    stops[0].scheduled_arrival = None
    stops[-1].scheduled_departure = None
    return stops


def _place(stop: Stop) -> e.Place:
    return e.Place(code=stop.station.code, name=stop.station.name, index=stop.index)


def _person_event(kind: type[e.PersonEvent], now: datetime, passenger: Passenger) -> e.Event:
    booking = passenger.booking
    return kind(
        at=now,
        user=booking.irctc_id,
        pnr=booking.pnr,
        index=booking.index,
        name=booking.name,
        coach=passenger.coach,
        berth=passenger.berth,
        from_=booking.from_,
        to=booking.to,
    )


_DECIDE: dict[type[c.Command], Callable[[TrainState, Any, datetime], list[e.Event]]] = {
    c.RegisterTrain: TrainState._register,
    c.StartJourney: TrainState._start,
    c.Arrive: TrainState._arrive,
    c.Depart: TrainState._depart,
    c.MarkBoarded: TrainState._mark_boarded,
    c.MarkNoShow: TrainState._mark_no_show,
    c.UndoNoShow: TrainState._undo_no_show,
    c.Announce: TrainState._announce,
}

_EVOLVE: dict[type[e.Event], Callable[[TrainState, Any], None]] = {
    e.TrainRegistered: TrainState._registered,
    e.JourneyStarted: TrainState._started,
    e.StationArrival: TrainState._arrived,
    e.StationDeparture: TrainState._has_departed,
    e.JourneyCompleted: TrainState._completed,
    e.PassengerBoarded: TrainState._boarded,
    e.PassengerAlighted: TrainState._alighted,
    e.NoShow: TrainState._no_show,
    e.NoShowUndone: TrainState._no_show_undone,
    e.BerthVacated: TrainState._told_only,
    e.Announcement: TrainState._told_only,
}
