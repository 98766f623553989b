"""The state of one run, made of its events, and how each event changes it.

`evolve` needs only the event. Each look-up is by dict: a person, a PNR, a user (irctcId), a berth,
a station, an offer. The rules are in journey.py, marks.py and offers.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from trainhub.domain import events as e
from trainhub.domain.berths import Hold, Occupancy, segments
from trainhub.domain.errors import (
    AmbiguousStation,
    UnknownCoach,
    UnknownOffer,
    UnknownPassenger,
    UnknownStation,
)
from trainhub.domain.model import (
    AlightReason,
    BerthKey,
    BerthType,
    Booking,
    BookingStatus,
    Chart,
    Coach,
    OfferState,
    PersonKey,
    PersonState,
    Role,
    RunKey,
    RunStatus,
    Station,
    StationReport,
    berth_key,
    person_key,
    stop_codes,
)
from trainhub.domain.openings import Opening, Openings, Vacancy
from trainhub.domain.schedule import due_times

# An arrival implies the departure before it, so both can be undone.
REPORTS_KEPT = 2
# Minutes after which a missing report tells nothing of where the train is.
MOST_OVERDUE_MINUTES = 12 * 60
# How a journey ends, as its passenger was aboard or was never marked.
_OVER = (PersonState.ALIGHTED, PersonState.UNCHECKED)
# The ages from which a lower berth comes first (Railway Minister, Lok Sabha, 19-3-2025).
SENIOR = 60
SENIOR_WOMAN = 45
_FEMALE = ("F", "FEMALE", "W", "WOMAN")
# The code of the ladies' quota.
LADIES = "LD"
# The general waiting list, which a booking without a kind is on.
GENERAL = "GN"
# Bookings that make their PNR partly confirmed.
_SEATED = (BookingStatus.CNF, BookingStatus.RAC)
# The order in which passengers prefer berths that are free equally far.
_LIKED = {
    BerthType.LOWER: 0,
    BerthType.SIDE_LOWER: 1,
    BerthType.MIDDLE: 2,
    BerthType.UPPER: 3,
    BerthType.SIDE_UPPER: 4,
    BerthType.SIDE_MIDDLE: 5,
    BerthType.SEAT: 6,
}


@dataclass(slots=True)
class Passenger:
    """A person as they are now. `booking` is the person as the chart has them.

    `upgraded_from` is the place on RAC or WL, like "RAC 4", of a person who was upgraded.
    `marked_at` and `marked_by` are of the last mark that counts. `assumed` means that the person
    counts as aboard because the train left. `left` is why the person left the train early.
    `claim` is the seq at which the person came for a berth that was given away, until the person
    has another one.
    """

    person: PersonKey
    booking: Booking
    from_: str
    status: BookingStatus
    coach: str | None
    berth: int | None
    state: PersonState = PersonState.DUE
    marked_nt_at: datetime | None = None
    boarding_changed: bool = False
    upgraded_from: str | None = None
    marked_at: datetime | None = None
    marked_by: str | None = None
    assumed: bool = False
    left: AlightReason | None = None
    claim: int | None = None

    @classmethod
    def booked(cls, booking: Booking) -> "Passenger":
        """Return the person as the chart has them, before any event."""
        return cls(
            booking.person,
            booking,
            booking.from_,
            booking.status,
            booking.coach,
            booking.berth,
        )

    @property
    def place_in_turn(self) -> str:
        """Return the status with its number on RAC or WL, like "RAC 4"."""
        number = self.booking.number
        return f"{self.status}" if number is None else f"{self.status} {number}"

    @property
    def berth_key(self) -> BerthKey | None:
        if self.coach is None or self.berth is None:
            return None
        return berth_key(self.coach, self.berth)


@dataclass(slots=True)
class Stop:
    """A stop of the run, with its scheduled and its actual times.

    `code` is the station's code, with the stop's index where the train calls there twice.
    """

    station: Station
    code: str
    index: int
    scheduled_arrival: datetime | None
    scheduled_departure: datetime | None
    arrived: datetime | None = None
    departed: datetime | None = None
    platform: str | None = None
    platform_confirmed: bool = False
    skipped: bool = False


@dataclass(slots=True)
class Report:
    """A station report that can be undone, and what was before it.

    `seq` and `at` are of its event. `current` to `checked` are as in RunState, `platform` and
    `platform_confirmed` as in the station's Stop. `upgrades` is how many there were.
    """

    seq: int
    at: datetime
    kind: StationReport
    current: int
    delay_minutes: int
    platform: str | None
    platform_confirmed: bool
    checked: dict[str, int]
    upgrades: int


@dataclass(slots=True)
class Offer:
    """A berth held for a passenger until an answer or `made.expires_at`, and the outcome.

    `devices` counts the devices that have acknowledged the offer, the first at `delivered_at`.
    `answered_by` is the role of the user who answered or withdrew it. None means that it is open,
    or that the clock or the rules ended it.
    """

    made: e.UpgradePending
    vacancy: Vacancy
    state: OfferState = OfferState.OPEN
    closed_at: datetime | None = None
    delivered_at: datetime | None = None
    devices: int = 0
    answered_by: Role | None = None

    @property
    def id(self) -> str:
        return self.made.offer_id

    @property
    def seq(self) -> int:
        """The number of the event that made it."""
        return int(self.id.rpartition(".")[2])

    @property
    def person(self) -> PersonKey:
        return person_key(self.made.pnr, self.made.index)

    @property
    def key(self) -> BerthKey:
        return berth_key(self.made.coach, self.made.berth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A TTE who is responsible for a coach, and since when."""

    tte: str
    since: datetime


class RunState:
    """One run after `seq` events. At seq 0 it has no chart yet."""

    def __init__(self, run: RunKey) -> None:
        self.run = run
        self.seq = 0
        # Whether more has happened than the registration, and whether the chart has changed since
        # the run's first event.
        self.touched = False
        self.amended = False
        self.status = RunStatus.SCHEDULED
        self.started = False
        # When the run's last event happened.
        self.last_at: datetime | None = None
        # The last station reached, and whether the train has left it.
        self.current = 0
        self.departed = False
        self.delay_minutes = 0
        self.ended_at: datetime | None = None
        self.stops: list[Stop] = []
        self.passengers: dict[PersonKey, Passenger] = {}
        self.by_pnr: dict[str, tuple[PersonKey, ...]] = {}
        # Whether a berth of the ladies' quota has become free.
        self.has_ladies_vacancy = False
        # The PNRs with a berth or half of one on the chart.
        self.partly_confirmed: set[str] = set()
        self.by_user: dict[str, tuple[PersonKey, ...]] = {}
        # The code of each stop → its index.
        self.by_station: dict[str, int] = {}
        # The code of each station at which the train calls more than once → the stops' indexes.
        self._repeated: dict[str, list[int]] = {}
        self.boarding_at: dict[int, dict[PersonKey, None]] = {}
        self.alighting_at: dict[int, dict[PersonKey, None]] = {}
        # The candidates for an upgrade: passengers on RAC or WL, by class and in their turn.
        self.waiting: dict[str, dict[PersonKey, None]] = {}
        # The people who need a lower berth, in the turn for one.
        self.prefer_lower: dict[PersonKey, None] = {}
        # Coach → the index of the station up to which the TTEs have checked it.
        self.checked: dict[str, int] = {}
        # The seq of the last decision of the staff about berths, 0 before the first one.
        self.decided = 0
        # Class → the stations whose passengers, due and unchecked, held up the turn. Derived.
        self.held: dict[str, set[int]] = {}
        # Vacancies, by berth and by the index of the station where each begins.
        self.freed: dict[BerthKey, dict[int, Vacancy]] = {}
        self._openings = Openings()
        self.offers: dict[str, Offer] = {}
        self.open_by_berth: dict[BerthKey, Offer] = {}
        self.open_by_person: dict[PersonKey, Offer] = {}
        self.upgrades: list[e.UpgradeConfirmed] = []
        # Coach → the TTE who is responsible for it.
        self.duty: dict[str, Duty] = {}
        self.remarks: list[e.Remarked] = []
        self.allotments: list[e.BerthAllotted] = []
        # The last station reports, which can be undone one by one.
        self.reports: list[Report] = []

    # --- look-ups ---------------------------------------------------------------------------

    def station(self, code: str, turn: Stop | None = None) -> Stop:
        """Return the stop of a code.

        A report can only be of the stop `turn`. So it needs no index, if the station is that one.
        Raises UnknownStation, or AmbiguousStation if the train calls there more than once.
        """
        found = self.stops_at(code)
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownStation(
                f"{self.run} has no station {code[:20]}: use one of its chart",
                stations=list(self.by_station),
            )
        if turn is not None:
            return turn if turn in found else found[0]
        codes = [stop.code for stop in found]
        raise AmbiguousStation(
            f"{self.run} calls at {code} more than once: name {' or '.join(codes)}", stations=codes
        )

    def stops_at(self, code: str) -> list[Stop]:
        """Return the stops at a station, in running order, or the stop of a code with an index."""
        index = self.by_station.get(code)
        found = self._repeated.get(code, ()) if index is None else (index,)
        return [self.stops[each] for each in found]

    def names_index(self, start: int) -> bool:
        """Return whether the code of a stop from `start` on has its index, like BWN@3."""
        return any(index >= start for stops in self._repeated.values() for index in stops)

    def on_person(self, pnr: str, index: int) -> Passenger | None:
        return self.passengers.get(person_key(pnr, index))

    def coach(self, code: str) -> list[Coach]:
        """Return the coach of that code: one, or one for each class of a composite coach."""
        found = [coach for coach in self.chart.coaches if coach.code == code]
        if not found:
            known = ", ".join(dict.fromkeys(each.code for each in self.chart.coaches))
            raise UnknownCoach(f"{self.run} does not have the coach; expected one of {known}")
        return found

    def coaches_of(self, tte: str) -> tuple[str, ...]:
        """Return the coaches that a TTE is responsible for."""
        return tuple(code for code, duty in self.duty.items() if duty.tte == tte)

    def passenger(self, pnr: str, index: int) -> Passenger:
        found = self.on_person(pnr, index)
        if found is None:
            raise UnknownPassenger(f"{self.run} has no person {index} on that PNR")
        return found

    def on_pnr(self, pnr: str) -> list[Passenger]:
        return [self.passengers[person] for person in self.by_pnr.get(pnr, ())]

    def of_user(self, user: str) -> list[Passenger]:
        return [self.passengers[person] for person in self.by_user.get(user, ())]

    def in_berth(self, coach: str, berth: int) -> list[Passenger]:
        """Return the holders of the berth on the leg that the train is on or starts next."""
        key = berth_key(coach, berth)
        return [self.passengers[person] for person in self.occupancy.at(key, self.current)]

    def offer(self, offer_id: str) -> Offer:
        found = self.offers.get(offer_id)
        if found is None:
            raise UnknownOffer(f"{self.run} has no offer of that id")
        return found

    @property
    def running(self) -> bool:
        return self.status is RunStatus.RUNNING

    @property
    def here(self) -> Stop:
        return self.stops[self.current]

    @property
    def next_stop(self) -> Stop | None:
        """The next station that the train serves."""
        return self.after(self.current)

    def after(self, index: int) -> Stop | None:
        return next((stop for stop in self.stops[index + 1 :] if not stop.skipped), None)

    @property
    def origin(self) -> Stop:
        """The first station that the train serves."""
        return next(stop for stop in self.stops if not stop.skipped)

    @property
    def terminus(self) -> Stop:
        """The last station that the train serves."""
        return next(stop for stop in reversed(self.stops) if not stop.skipped)

    def expected_arrival(self, stop: Stop, delay: int | None = None) -> datetime | None:
        """Return when the train should come to a stop ahead, with a delay or the reported one.

        A train that has left early comes early to the next stop. It waits there for its booked
        departure, so it is not early any more after that.
        """
        early = self.departed and stop is self.next_stop
        minutes = self.delay_minutes if delay is None else delay
        minutes = minutes if early else max(minutes, 0)
        return stop.scheduled_arrival and stop.scheduled_arrival + timedelta(minutes=minutes)

    def expected_departure(self, stop: Stop, delay: int | None = None) -> datetime | None:
        """Return when the train should leave a stop: never before its booked time.

        None at the last station that the train serves.
        """
        if stop is self.terminus:
            return None
        minutes = max(self.delay_minutes if delay is None else delay, 0)
        return stop.scheduled_departure and stop.scheduled_departure + timedelta(minutes=minutes)

    @property
    def report_due(self) -> datetime | None:
        """When the next report of the journey is due. None if the run has ended.

        A train that stands reports its departure next, and a train under way its arrival.
        """
        if self.ended_at is not None:
            return None
        if not self.departed:
            return self.expected_departure(self.here if self.started else self.origin)
        coming = self.next_stop
        return None if coming is None else self.expected_arrival(coming)

    def overdue_minutes(self, now: datetime) -> int:
        """Return for how long the next report is missing; 0 before it is due."""
        due = self.report_due
        return 0 if due is None else max((now - due) // timedelta(minutes=1), 0)

    def delay_at(self, now: datetime) -> int:
        """Return the delay by the clock: a train that is not reported is later each minute.

        A report that is missing for half a day tells nothing of the train any more.
        """
        late = self.overdue_minutes(now)
        if late > MOST_OVERDUE_MINUTES:
            late = 0
        # A train that stands does not leave before its booked time, so its delay counts from 0.
        early = self.departed or not late
        return late + (self.delay_minutes if early else max(self.delay_minutes, 0))

    def zone_of(self, stop: Stop) -> ZoneInfo:
        """Return the time zone of a stop."""
        own = stop.station.timezone
        return self.zone if own is None else ZoneInfo(own)

    def boards(self, passenger: Passenger) -> int:
        return self.by_station[passenger.from_]

    def alights(self, passenger: Passenger) -> int:
        return self.by_station[passenger.booking.to]

    def remaining(self, passenger: Passenger) -> int:
        """Return the segments of a journey that are still ahead, as a mask."""
        return segments(self.starts(passenger), self.alights(passenger))

    def starts(self, passenger: Passenger) -> int:
        """Return the station from which a passenger uses a berth, now or when boarding."""
        return max(self.boards(passenger), self.current)

    def is_vacant(self, key: BerthKey, segment: int) -> bool:
        """Return whether the berth, or half of it, is free on that segment."""
        if self.occupancy.blocked(key, segment) is not None:
            return False
        held = self.occupancy.at(key, segment)
        return not held or self.occupancy.half_free(key, segment)

    def vacancy(self, key: BerthKey) -> Vacancy | None:
        """Return the latest vacancy of a berth if the berth is free since then, to the coming leg.

        None for a berth that was never booked: it is free, but no event made it vacant.
        """
        if not self.running or self.next_stop is None:
            return None
        start = max((at for at in self.freed.get(key, ()) if at <= self.current), default=None)
        if start is None:
            return None
        # A journey from a skipped station does not begin, so it does not occupy the berth there.
        since = (i for i in range(start, self.current + 1) if not self.stops[i].skipped)
        return self.freed[key][start] if all(self.is_vacant(key, i) for i in since) else None

    def opening(self, key: BerthKey) -> Opening | None:
        """Return the berth as it can be offered now. None if it is not vacant or is on offer."""
        vacancy = None if key in self.open_by_berth else self.vacancy(key)
        if vacancy is None:
            return None
        held = self.occupancy.at(key, self.current)
        holder = held[0] if held else None
        until = self.occupancy.free_until(key, self.current, len(self.stops) - 1, but=holder)
        kind = self.occupancy.types[key]
        return Opening(until, _LIKED[kind], vacancy.coach, vacancy.berth, holder, vacancy, kind)

    def openings(self, class_: str) -> list[Opening]:
        """Return the berths of a class that can be offered now, sorted. Do not change the list."""
        return self._openings.of_class(class_, self.freed, self.opening)

    def ended_by(self, report: Report) -> list[Passenger]:
        """Return the passengers whose journey an arrival has ended, aboard or not."""
        if report.kind is StationReport.DEPARTURE:
            return []
        last = self.current if self.after(self.current) else len(self.stops) - 1
        found = (
            self.passengers[person]
            for at in range(report.current + 1, last + 1)
            for person in self.alighting_at.get(at, ())
        )
        return [each for each in found if each.state in _OVER and each.left is None]

    # --- evolve -----------------------------------------------------------------------------

    def evolve(self, event: e.Event) -> None:
        """Apply the run's next event. No other code changes a run."""
        _EVOLVE[type(event)](self, event)
        self.seq += 1
        self.last_at = event.at
        self.touched = self.touched or type(event) not in _HARMLESS

    def _registered(self, event: e.TrainRegistered) -> None:
        seq = self.seq
        RunState.__init__(self, self.run)  # nothing of an earlier chart is left
        self.seq, self.amended = seq, seq > 0
        self.begin_with(event.chart)
        for passenger in self.passengers.values():
            self._occupy_berth(passenger)

    def begin_with(self, chart: Chart) -> None:
        """Set a new run's chart. No berth is held yet: `evolve` or a snapshot sees to that."""
        self.zone = ZoneInfo(chart.timezone)
        self.stops = _stops(chart, self.zone)
        self.by_station = {stop.code: stop.index for stop in self.stops}
        for stop in self.stops:
            if stop.code != stop.station.code:
                self._repeated.setdefault(stop.station.code, []).append(stop.index)
        self._index(chart)

    def _index(self, chart: Chart) -> None:
        """Set the chart, its empty berths, and the look-ups of its people as they are booked."""
        self.chart = chart
        self.occupancy = Occupancy(chart.coaches)
        self.passengers, self.waiting = {}, {}
        self.boarding_at, self.alighting_at = {}, {}
        self.partly_confirmed = {each.pnr for each in chart.passengers if each.status in _SEATED}
        for booking in chart.passengers:
            self._add(booking)
        people = self.passengers.values()
        self.by_pnr = _by_name((each.booking.pnr, each.person) for each in people)
        self.by_user = _by_name((each.booking.irctc_id, each.person) for each in people)
        for each in sorted(people, key=partial(_turn, self)):
            if each.booking.waits:
                self.waiting.setdefault(each.booking.class_, {})[each.person] = None
        lower = filter(_prefers_lower, people if chart.lower_first else ())
        self.prefer_lower = dict.fromkeys(each.person for each in sorted(lower, key=_lower_turn))

    def _add(self, booking: Booking) -> None:
        passenger = Passenger.booked(booking)
        person = passenger.person  # the same text in each look-up
        self.passengers[person] = passenger
        self.boarding_at.setdefault(self.boards(passenger), {})[person] = None
        self.alighting_at.setdefault(self.alights(passenger), {})[person] = None

    def recall(self, then: Any) -> None:
        """Restore a person who is booked, from an earlier Passenger or from a snapshot.

        Claims are restored afterwards, in their order. Only `evolve` and a snapshot do so.
        """
        passenger = self.passengers[then.person]
        if then.boarding_changed:
            self.board_at(passenger, then.from_)
        if then.status is not passenger.status:
            del self.waiting[passenger.booking.class_][passenger.person]
        passenger.status, passenger.coach, passenger.berth = then.status, then.coach, then.berth
        passenger.upgraded_from = then.upgraded_from
        self._recall_marks(passenger, then)

    def _recall_marks(self, passenger: Passenger, then: Any) -> None:
        passenger.state, passenger.marked_nt_at = then.state, then.marked_nt_at
        passenger.marked_at, passenger.marked_by = then.marked_at, then.marked_by
        passenger.assumed, passenger.left = then.assumed, then.left

    def _chart_amended(self, event: e.ChartAmended) -> None:
        """Read the chart as it is now, and keep what has happened to its people and berths."""
        was, seated, past = self.passengers, set(event.seated), segments(0, self.current)
        order = [person for persons in self.boarding_at.values() for person in persons]
        was_held = self.occupancy
        self._index(self.chart.amended(event.coaches, event.passengers))
        self.occupancy = was_held.refitted(event.coaches)
        for person in order:
            if person not in seated:
                self.recall(was[person])
            elif was[person].state is not PersonState.CANCELLED:
                self._recall_marks(self.passengers[person], was[person])
        claims = ((each.claim, each.person) for each in was.values() if each.claim is not None)
        for claim, person in sorted(claims):
            self.claim_berth(self.passengers[person], claim)
        for berth, person, hold in was_held.all():
            if person in seated:
                hold = Hold(hold.whole & past, hold.half & past)
            if hold.mask and berth in self.occupancy.types:
                self.occupancy.occupy(berth, person, hold.whole, half=False)
                self.occupancy.occupy(berth, person, hold.half, half=True)
        for each in event.seated:
            self._occupy_berth(self.passengers[PersonKey(each)])
        self.freed = {key: each for key, each in self.freed.items() if key in self.occupancy.types}
        codes = {coach.code for coach in event.coaches}
        self.duty = {code: each for code, each in self.duty.items() if code in codes}
        self.amended, self.decided = True, self.seq + 1
        self._openings.mark_all()

    def _started(self, event: e.JourneyStarted) -> None:
        self.status, self.started = RunStatus.RUNNING, True
        self.current = event.station.index
        self._openings.mark_all()

    def _arrived(self, event: e.StationArrival) -> None:
        self._openings.mark_all()
        self._report(event, StationReport.ARRIVAL)
        self.current = event.station.index
        self.departed = False
        self.delay_minutes = event.delay_minutes
        stop = self.here
        stop.arrived, stop.platform = event.actual, event.platform
        if event.platform_confirmed is None:  # an older hub took the planned one for certain
            stop.platform_confirmed = event.platform is not None
        else:
            stop.platform_confirmed = event.platform_confirmed

    def _report(self, event: e.StationArrival | e.StationDeparture, kind: StationReport) -> None:
        """Note what was before a report that can be undone."""
        stop = self.stops[event.station.index]
        report = Report(
            seq=self.seq + 1,
            at=event.at,
            kind=kind,
            current=self.current,
            delay_minutes=self.delay_minutes,
            platform=stop.platform,
            platform_confirmed=stop.platform_confirmed,
            checked=self.checked,
            upgrades=len(self.upgrades),
        )
        self.reports = [*self.reports, report][-REPORTS_KEPT:]

    def _report_undone(self, event: e.ReportUndone) -> None:
        """Restore what was before the last report."""
        self._openings.mark_all()
        report, stop = self.reports[-1], self.stops[event.station.index]
        stop.platform, stop.platform_confirmed = report.platform, report.platform_confirmed
        self.delay_minutes = report.delay_minutes
        self._unmake(report)
        if report.kind is StationReport.DEPARTURE:
            stop.departed, self.departed = None, False
        else:
            stop.arrived, self.departed = None, True
            self.current, self.checked = report.current, report.checked
            self.status, self.ended_at = RunStatus.RUNNING, None
        self.reports = self.reports[:-1]

    def _unmake(self, report: Report) -> None:
        """Remove the vacancies that a report made, and the ends of offers since then."""
        arrival = report.kind is StationReport.ARRIVAL
        left = {passenger.berth_key for passenger in self.ended_by(report)}
        made = {(each.key, each.person) for each in self.offers.values() if each.seq > report.seq}
        for key, starts in self.freed.items():
            here = starts.get(self.current)
            by_it = here is not None and (key in left or here.cause is e.Cause.UNBOOKED)
            if here is not None and by_it and here.id > report.seq:
                del starts[self.current]
            for vacancy in starts.values():
                vacancy.lapsed -= {
                    (person, at)
                    for person, at in vacancy.lapsed
                    if at == self.current and (arrival or (key, person) in made)
                }
        self.freed = {key: starts for key, starts in self.freed.items() if starts}

    def _restored(self, event: e.PassengerRestored) -> None:
        self.passengers[event.person].state = event.state

    def _reinstated(self, event: e.TrainReinstated) -> None:
        self.status, self.ended_at = event.status, None
        self._openings.mark_all()

    def _has_departed(self, event: e.StationDeparture) -> None:
        self._report(event, StationReport.DEPARTURE)
        self.departed = True
        self.delay_minutes = event.delay_minutes
        self.here.departed, self.here.platform = event.actual, event.platform

    def _skipped(self, event: e.StationSkipped) -> None:
        self.stops[event.station.index].skipped = True

    def _skip_undone(self, event: e.SkipUndone) -> None:
        self.stops[event.station.index].skipped = False

    def _halt_added(self, event: e.HaltAdded) -> None:
        """Insert a stop ahead. What has an index from there on has the next one now."""
        place = event.station.index

        def moved(index: int) -> int:
            return index + (index >= place)

        was = self.chart.stations
        stations = (*was[:place], event.halt, *was[place:])
        self.chart, self.amended = replace(self.chart, stations=stations), True
        self.stops.insert(place, _stops(self.chart, self.zone)[place])
        for index, stop in enumerate(self.stops):
            stop.index = index
        self.by_station = {stop.code: stop.index for stop in self.stops}
        self.occupancy.insert(place)
        known = [each for starts in self.freed.values() for each in starts.values()]
        known += (offer.vacancy for offer in self.offers.values())
        for vacancy in {each.id: each for each in known}.values():
            vacancy.start = moved(vacancy.start)
        self.freed = {
            key: {each.start: each for each in starts.values()}
            for key, starts in self.freed.items()
        }
        self.boarding_at = {moved(at): people for at, people in self.boarding_at.items()}
        self.alighting_at = {moved(at): people for at, people in self.alighting_at.items()}
        self._openings.mark_all()

    def _shortened(self, event: e.ShortTerminated) -> None:
        for stop in self.stops[event.station.index + 1 :]:
            stop.skipped = True

    def _completed(self, event: e.JourneyCompleted) -> None:
        self._end(RunStatus.COMPLETED, event.at)

    def _cancelled(self, event: e.TrainCancelled) -> None:
        self._end(RunStatus.CANCELLED, event.at)

    def _run_closed(self, event: e.RunClosed) -> None:
        self._end(RunStatus.CLOSED, event.at)

    def _end(self, status: RunStatus, at: datetime) -> None:
        self.status = status
        self.ended_at = at
        self._openings.mark_all()

    def _delayed(self, event: e.DelayUpdate) -> None:
        self.delay_minutes = event.delay_minutes

    def _platform(self, event: e.PlatformChange) -> None:
        stop = self.stops[event.station.index]
        stop.platform, stop.platform_confirmed = event.platform, event.confirmed

    def _marked(self, event: e.MarkEvent, state: PersonState) -> Passenger:
        passenger = self.passengers[event.person]
        passenger.state = state
        passenger.marked_at, passenger.marked_by = event.marked_at or event.at, event.marked_by
        return passenger

    def _unmarked(self, event: e.PersonEvent) -> Passenger:
        passenger = self.passengers[event.person]
        passenger.state = PersonState.DUE
        passenger.marked_nt_at = passenger.marked_at = passenger.marked_by = None
        passenger.assumed, passenger.left = False, None
        return passenger

    def _boarded(self, event: e.PassengerBoarded) -> None:
        passenger = self._marked(event, PersonState.ABOARD)
        passenger.assumed = event.assumed
        if passenger.left is not None:
            passenger.left = None
            self._occupy_berth(passenger)

    def _boarded_undone(self, event: e.BoardedUndone) -> None:
        self._unmarked(event)

    def _alighted(self, event: e.PassengerAlighted) -> None:
        if event.left is None:
            self.passengers[event.person].state = PersonState.ALIGHTED
            return
        passenger = self._marked(event, PersonState.ALIGHTED)
        passenger.left = event.left
        self._leave_berth(passenger, self.remaining(passenger))

    def _unchecked(self, event: e.PassengerUnchecked) -> None:
        self.passengers[event.person].state = PersonState.UNCHECKED

    def _person_cancelled(self, event: e.PassengerCancelled) -> None:
        passenger = self.passengers[event.person]
        passenger.state = PersonState.CANCELLED
        self._leave_berth(passenger, self.remaining(passenger))

    def _boarding_changed(self, event: e.BoardingChanged) -> None:
        passenger = self.passengers[event.person]
        before = self.boards(passenger)
        self.board_at(passenger, event.from_)
        self._leave_berth(passenger, segments(before, self.boards(passenger)))

    def board_at(self, passenger: Passenger, code: str) -> None:
        """Move the passenger to another boarding station. Only `evolve` and a snapshot do so."""
        del self.boarding_at[self.boards(passenger)][passenger.person]
        passenger.from_, passenger.boarding_changed = code, True
        self.boarding_at.setdefault(self.boards(passenger), {})[passenger.person] = None

    def _no_show(self, event: e.NoShow) -> None:
        passenger = self._marked(event, PersonState.NT)
        passenger.marked_nt_at = event.at
        passenger.assumed = False
        self._leave_berth(passenger, self.remaining(passenger))

    def _no_show_undone(self, event: e.NoShowUndone) -> None:
        self._occupy_berth(self._unmarked(event))

    def _berth_lost(self, event: e.BerthLost) -> None:
        passenger = self.passengers[event.person]
        if event.blocked is None:
            self._unmarked(event)  # the mark NT, by which the berth was given to another
        else:
            self._leave_berth(passenger, self.remaining(passenger))
        passenger.coach = passenger.berth = None
        self.claim_berth(passenger, self.seq + 1)

    def _blocked(self, event: e.BerthsBlocked) -> None:
        self.decided = self.seq + 1
        for number in event.berths:
            key = berth_key(event.coach, number)
            self.occupancy.block(key, self.current, event.reason)
            self._openings.mark(key)

    def _unblocked(self, event: e.BerthsUnblocked) -> None:
        self.decided = self.seq + 1
        for number in event.berths:
            key = berth_key(event.coach, number)
            self.occupancy.unblock(key, self.current)
            self._openings.mark(key)

    def claim_berth(self, passenger: Passenger, seq: int) -> None:
        """Put a passenger who lost a berth into the turn, after earlier claims and before RAC.

        Only `evolve` and a snapshot do so.
        """
        passenger.claim = seq
        waiting = self.waiting.get(passenger.booking.class_, {})
        first = {each: None for each in waiting if self.passengers[each].claim is not None}
        first[passenger.person] = None
        self.waiting[passenger.booking.class_] = first | waiting

    def _vacated(self, event: e.BerthVacated) -> None:
        key = berth_key(event.coach, event.berth)
        self._openings.mark(key)
        start = self.by_station[event.from_]
        self.has_ladies_vacancy = self.has_ladies_vacancy or event.ladies
        self.freed.setdefault(key, {})[start] = Vacancy(
            self.seq + 1,
            key,
            event.coach,
            event.berth,
            event.class_,
            start,
            event.cause,
            ladies=event.ladies,
        )

    def _offered(self, event: e.UpgradePending) -> None:
        vacancy = self.vacancy(berth_key(event.coach, event.berth))
        assert vacancy is not None
        offer = Offer(event, vacancy)
        self.offers[offer.id] = offer
        self.open_by_berth[offer.key] = offer
        self.open_by_person[offer.person] = offer
        self._openings.mark(offer.key)

    def _delivered(self, event: e.UpgradeDelivered) -> None:
        offer = self.offers[event.offer_id]
        offer.devices = event.devices
        offer.delivered_at = offer.delivered_at or event.at

    def _closed(self, event: e.UpgradeClosed) -> None:
        offer = self._close(event.offer_id, event.outcome, event)
        if not self.running:
            return  # a cancellation or the last arrival may be undone, and the offer made again
        # The offer was of the berth to the destination: also of vacancies that begin on the way.
        way = range(offer.vacancy.start, self.alights(self.passengers[offer.person]))
        others = (each for start, each in self.freed[offer.key].items() if start in way)
        for vacancy in (offer.vacancy, *others):
            if event.outcome is OfferState.DENIED:
                vacancy.passed.add(offer.person)
            else:
                vacancy.lapsed.add((offer.person, self.current))

    def _close(
        self, offer_id: str, outcome: OfferState, event: e.UpgradeClosed | e.UpgradeConfirmed
    ) -> Offer:
        offer = self.offers[offer_id]
        offer.state, offer.closed_at = outcome, event.at
        offer.answered_by = event.answered_by
        del self.open_by_berth[offer.key]
        del self.open_by_person[offer.person]
        self._openings.mark(offer.key)
        return offer

    def _upgraded(self, event: e.UpgradeConfirmed) -> None:
        if event.offer_id is not None:
            self._close(event.offer_id, OfferState.ACCEPTED, event)
        self._give_berth(event, BookingStatus.CNF)
        self.upgrades.append(event)

    def _allotted(self, event: e.BerthAllotted) -> None:
        self._give_berth(event, event.status)
        self.allotments.append(event)
        self.decided = self.seq + 1

    def _give_berth(
        self, event: e.UpgradeConfirmed | e.BerthAllotted, status: BookingStatus
    ) -> None:
        passenger = self.passengers[event.person]
        booking = passenger.booking
        self._leave_berth(passenger, self.remaining(passenger))
        if passenger.status is not status:
            passenger.upgraded_from = passenger.place_in_turn
        if status is BookingStatus.CNF:
            self.waiting.get(booking.class_, {}).pop(event.person, None)
        passenger.claim, passenger.status = None, status
        passenger.coach, passenger.berth = event.coach, event.berth
        self._occupy_berth(passenger)

    def _clock_corrected(self, event: e.ClockCorrected) -> None:
        by = timedelta(seconds=event.by_seconds)
        for offer in self.open_by_berth.values():
            offer.made = replace(offer.made, expires_at=offer.made.expires_at + by)
        for report in self.reports:
            report.at += by
        for passenger in self.passengers.values():
            if passenger.marked_nt_at is not None:
                passenger.marked_nt_at += by
            if passenger.marked_at is not None:
                passenger.marked_at += by
        if self.ended_at is not None:
            self.ended_at += by

    def _coach_checked(self, event: e.CoachChecked) -> None:
        self.checked = {**self.checked, event.coach: event.station.index}

    def _signed_on(self, event: e.SignedOn) -> None:
        self._signed_off(event)
        duty = Duty(tte=event.tte, since=event.at)
        self.duty |= dict.fromkeys(event.coaches, duty)

    def _signed_off(self, event: e.DutyEvent) -> None:
        for code in self.coaches_of(event.tte):
            del self.duty[code]

    def _remarked(self, event: e.Remarked) -> None:
        self.remarks.append(event)

    def _told_only(self, event: e.Event) -> None:
        """Change nothing: the event only informs its audience."""

    def _occupy_berth(self, passenger: Passenger) -> None:
        if passenger.berth_key is not None:
            half = passenger.status is BookingStatus.RAC
            mask = self.remaining(passenger)
            self.occupancy.occupy(passenger.berth_key, passenger.person, mask, half=half)
            self._openings.mark(passenger.berth_key)

    def _leave_berth(self, passenger: Passenger, mask: int) -> None:
        if passenger.berth_key is not None and mask:
            self.occupancy.release(passenger.berth_key, passenger.person, mask)
            self._openings.mark(passenger.berth_key)


def _by_name(persons: Iterable[tuple[str | None, PersonKey]]) -> dict[str, tuple[PersonKey, ...]]:
    """Return the persons of each name. Tuples take less memory than lists."""
    found: dict[str, list[PersonKey]] = {}
    for name, person in persons:
        if name is not None:
            found.setdefault(name, []).append(person)
    return {name: tuple(each) for name, each in found.items()}


def is_woman(booking: Booking) -> bool:
    return (booking.gender or "").strip().upper() in _FEMALE


def _prefers_lower(passenger: Passenger) -> bool:
    """Return whether a passenger needs a lower berth."""
    booking = passenger.booking
    age = SENIOR_WOMAN if is_woman(booking) else SENIOR
    return (booking.age or 0) >= age or booking.need is not None


def _lower_turn(passenger: Passenger) -> tuple[bool, int, PersonKey]:
    """Return a sort key: passengers with a need first, then the oldest."""
    booking = passenger.booking
    return booking.need is None, -(booking.age or 0), passenger.person


def _turn(state: RunState, passenger: Passenger) -> tuple[bool, bool, int, bool, int, PersonKey]:
    """Return a sort key: RAC by number, a missing number last; then WL likewise.

    On WL, partly confirmed PNRs come first, and then the kinds in the order of the chart.
    """
    booking = passenger.booking
    on_wl = booking.status is BookingStatus.WL
    kinds, kind = state.chart.waiting_kinds, booking.waiting_kind or GENERAL
    return (
        on_wl,
        on_wl and booking.pnr not in state.partly_confirmed,
        (kinds.index(kind) if kind in kinds else len(kinds)) if on_wl else 0,
        booking.number is None,
        booking.number or 0,
        passenger.person,
    )


def _stops(chart: Chart, zone: ZoneInfo) -> list[Stop]:
    times = due_times(chart.start_date, chart.stations, zone)
    stops = [
        Stop(
            station=station,
            code=code,
            index=index,
            scheduled_arrival=came,
            scheduled_departure=goes,
            platform=station.platform,
        )
        for index, (station, code, (came, goes)) in enumerate(
            zip(chart.stations, stop_codes(chart.stations), times, strict=True)
        )
    ]
    stops[0].scheduled_arrival = None
    stops[-1].scheduled_departure = None
    return stops


# Events after which a chart can still be replaced by another.
_HARMLESS = (e.TrainRegistered, e.Announcement, e.ClockCorrected)
_EVOLVE: dict[type[e.Event], Callable[[RunState, Any], None]] = {
    e.TrainRegistered: RunState._registered,
    e.ChartAmended: RunState._chart_amended,
    e.BookingChanged: RunState._told_only,
    e.BookingCorrected: RunState._told_only,
    e.JourneyStarted: RunState._started,
    e.JourneyCompleted: RunState._completed,
    e.TrainCancelled: RunState._cancelled,
    e.StationArrival: RunState._arrived,
    e.StationDeparture: RunState._has_departed,
    e.ReportUndone: RunState._report_undone,
    e.RunClosed: RunState._run_closed,
    e.TrainReinstated: RunState._reinstated,
    e.PassengerRestored: RunState._restored,
    e.StationSkipped: RunState._skipped,
    e.SkipUndone: RunState._skip_undone,
    e.HaltAdded: RunState._halt_added,
    e.ShortTerminated: RunState._shortened,
    e.DelayUpdate: RunState._delayed,
    e.PlatformChange: RunState._platform,
    e.PassengerBoarded: RunState._boarded,
    e.BoardedUndone: RunState._boarded_undone,
    e.PassengerAlighted: RunState._alighted,
    e.PassengerUnchecked: RunState._unchecked,
    e.CoachChecked: RunState._coach_checked,
    e.SignedOn: RunState._signed_on,
    e.SignedOff: RunState._signed_off,
    e.Remarked: RunState._remarked,
    e.PassengerCancelled: RunState._person_cancelled,
    e.BoardingChanged: RunState._boarding_changed,
    e.NoShow: RunState._no_show,
    e.NoShowUndone: RunState._no_show_undone,
    e.BerthLost: RunState._berth_lost,
    e.BerthsBlocked: RunState._blocked,
    e.BerthsUnblocked: RunState._unblocked,
    e.BerthVacated: RunState._vacated,
    e.BerthAllotted: RunState._allotted,
    e.UpgradePending: RunState._offered,
    e.UpgradeOffer: RunState._told_only,
    e.UpgradeDelivered: RunState._delivered,
    e.UpgradeConfirmed: RunState._upgraded,
    e.UpgradeClosed: RunState._closed,
    e.CoPassengerChanged: RunState._told_only,
    e.ClockCorrected: RunState._clock_corrected,
    e.Announcement: RunState._told_only,
}
