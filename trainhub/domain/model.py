"""The nouns of the railway, as values without rules: runs, stations, coaches, bookings, roles."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, NewType, NotRequired

from trainhub.core.about import About
from trainhub.core.stream import Stream
from trainhub.domain import normal
from trainhub.domain.fields import (
    CHECK_MINUTES,
    MOST_BERTHS,
    MOST_COACHES,
    MOST_KINDS,
    MOST_PASSENGERS,
    MOST_STATIONS,
    MOST_TEXT_BYTES,
    OFFER_SECONDS,
    UNDO_MINUTES,
    BerthNumber,
    ClassCode,
    ClockTime,
    CoachCode,
    Day,
    Destination,
    DistanceKm,
    Number,
    OfClass,
    Origin,
    PersonIndex,
    PersonName,
    Platform,
    Pnr,
    RailwayZone,
    StartDate,
    StationCode,
    StationName,
    StationZone,
    TrainName,
    TrainNo,
    UserId,
    WaitingKind,
    Zone,
)

# "12345/2026-11-23": one journey of a train, and the name of its stream in the log and of its room.
# Two runs of one number may be live at once.
RunKey = Stream
# "4512345678/1": one person, the index-th on a PNR.
PersonKey = NewType("PersonKey", str)
# "S1-15": a berth of a coach.
BerthKey = NewType("BerthKey", str)


class Role(StrEnum):
    """The role that a token gives its user."""

    PASSENGER = "PASSENGER"
    TTE = "TTE"
    ADMIN = "ADMIN"
    SERVICE = "SERVICE"


# The run's staff, who may read its people. SERVICE, a machine feed, may not.
STAFF = frozenset({Role.TTE, Role.ADMIN})


class RunStatus(StrEnum):
    """How far the run is. CLOSED means that its end was never reported, and is long past."""

    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    CLOSED = "CLOSED"


class StationReport(StrEnum):
    """What a station reports of a train."""

    ARRIVAL = "ARRIVAL"
    DEPARTURE = "DEPARTURE"


class BookingStatus(StrEnum):
    """Confirmed, on RAC, on the waiting list, or a child without a berth (NOSB)."""

    CNF = "CNF"
    RAC = "RAC"
    WL = "WL"
    NOSB = "NOSB"


class PersonState(StrEnum):
    """How far a person's journey is. NT means not turned up, UNCHECKED over without a mark."""

    DUE = "DUE"
    ABOARD = "ABOARD"
    NT = "NT"
    ALIGHTED = "ALIGHTED"
    CANCELLED = "CANCELLED"
    UNCHECKED = "UNCHECKED"


class AlightReason(StrEnum):
    """Why a passenger left the train before the destination."""

    EARLY = "EARLY"
    MEDICAL = "MEDICAL"
    DEATH = "DEATH"
    REMOVED = "REMOVED"
    OTHER = "OTHER"


class BlockReason(StrEnum):
    """Why a berth is not given to passengers: the staff's own, broken, or its coach is off."""

    STAFF = "STAFF"
    BROKEN = "BROKEN"
    COACH_OFF = "COACH_OFF"


class AllotReason(StrEnum):
    """Why a TTE gives a berth to one passenger, out of turn if need be."""

    FAMILY = "FAMILY"
    MEDICAL = "MEDICAL"
    SAFETY = "SAFETY"
    DISPLACED = "DISPLACED"
    OTHER = "OTHER"


class Policy(StrEnum):
    """How a vacant berth reaches the passenger on RAC."""

    AUTO = "AUTO"
    OFFER = "OFFER"
    APPROVAL = "APPROVAL"


class WaitingList(StrEnum):
    """Who of the waiting list gets berths: all, those on partly confirmed PNRs, or none."""

    ALL = "ALL"
    PARTLY = "PARTLY"
    NONE = "NONE"


class OfferState(StrEnum):
    """Whether an offer is open, or how it ended."""

    OPEN = "OPEN"
    ACCEPTED = "ACCEPTED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


class Boarding(StrEnum):
    """verify: a TTE marks each passenger. auto: a departure marks the due passengers as boarded."""

    AUTO = "auto"
    VERIFY = "verify"


class Need(StrEnum):
    """Why a passenger needs a lower berth, whatever their age."""

    PREGNANT = "PREGNANT"
    DISABLED = "DISABLED"


class BerthType(StrEnum):
    """The kind of a berth."""

    LOWER = "LOWER"
    SIDE_LOWER = "SIDE_LOWER"
    MIDDLE = "MIDDLE"
    UPPER = "UPPER"
    SIDE_MIDDLE = "SIDE_MIDDLE"
    SIDE_UPPER = "SIDE_UPPER"
    SEAT = "SEAT"


class Level(StrEnum):
    """How urgent an announcement is."""

    INFO = "INFO"
    WARNING = "WARNING"
    EMERGENCY = "EMERGENCY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A stop of the chart, in running order."""

    code: StationCode
    name: StationName
    arrival: ClockTime | None = None
    departure: ClockTime | None = None
    day: Day = 1
    distance_km: DistanceKm = 0
    platform: Platform | None = None
    timezone: StationZone | None = None


Berths = Annotated[int, About("The number of berths.", least=0, most=MOST_BERTHS, example=72)]
Layout = Annotated[
    tuple[str, ...],
    About(
        "Each berth's type, where the class's own layout is not meant.",
        given=tuple[BerthType, ...],
    ),
]
BerthNumbers = Annotated[
    tuple[BerthNumber, ...],
    About("The numbers of the berths, where these are not 1 to `berths`.", most=MOST_BERTHS),
]
RacBerths = Annotated[
    tuple[BerthNumber, ...],
    About(
        "Berths that two on RAC may share, where these are not the side lowers.", most=MOST_BERTHS
    ),
]
BlockedBerths = Annotated[
    tuple[BerthNumber, ...],
    About("Berths that passengers do not get: the staff's own.", most=MOST_BERTHS, example=[7]),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coach:
    """A coach of the chart. A composite coach stands there once for each of its classes."""

    code: CoachCode
    class_: ClassCode
    berths: Berths
    layout: Layout | None = None
    numbers: BerthNumbers | None = None
    rac: RacBerths | None = None
    blocked: BlockedBerths = ()


class GivenCoach(OfClass):
    """A coach as a chart may give it: `type` or `numbers` may stand in place of `berths`."""

    code: CoachCode
    berths: NotRequired[Berths]
    type: NotRequired[
        Annotated[
            Literal["ICF", "LHB", "GARIB_RATH", "HALF", "RIC", "SEATS"],
            About("The type of the coach, which tells its berths."),
        ]
    ]
    layout: NotRequired[Layout | None]
    numbers: NotRequired[BerthNumbers | None]
    rac: NotRequired[RacBerths | None]
    blocked: NotRequired[BlockedBerths]


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A passenger of the chart, as booked. A chart's passenger with a fault is left out."""

    pnr: Pnr
    index: PersonIndex
    irctc_id: UserId | None = None
    name: PersonName
    from_: Origin
    to: Destination
    class_: ClassCode
    status: BookingStatus
    number: Number | None = None
    coach: CoachCode | None = None
    berth: BerthNumber | None = None
    age: int | None = None
    gender: str | None = None
    need: Annotated[Need | None, About(normal=normal.code)] = None
    waiting_kind: Annotated[
        WaitingKind | None,
        About("The kind of the waiting list; without it GN, the general one.", example="RL"),
    ] = None
    quota: Annotated[
        str | None,
        About("The ticket's quota; LD is the ladies'.", example="LD", normal=normal.quota),
    ] = None
    phone: str | None = None
    email: Annotated[str | None, About("An e-mail address.", normal=normal.text)] = None

    @property
    def person(self) -> PersonKey:
        return person_key(self.pnr, self.index)

    @property
    def waits(self) -> bool:
        """Whether the passenger is on RAC or WL."""
        return self.status in (BookingStatus.RAC, BookingStatus.WL)


_STATIONS = [
    {"code": "HWH", "name": "HOWRAH JN", "departure": "15:50"},
    {"code": "BWN", "name": "BARDDHAMAN", "arrival": "17:03", "distanceKm": 95},
]
Csv = Annotated[
    str, About("CSV with a header, a line for each passenger.", longest=MOST_TEXT_BYTES)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The reservation list that a run is loaded from. chart.py checks it."""

    train_no: TrainNo
    train_name: TrainName
    start_date: StartDate
    zone: RailwayZone | None = None
    timezone: Zone = "Asia/Kolkata"
    policy: Policy = Policy.OFFER
    boarding: Boarding = Boarding.VERIFY
    min_upgrade_km: Annotated[int, About("The shortest journey that is upgraded, in km.")] = 70
    offer_seconds: Annotated[
        int,
        About("How long an offer stays open.", least=OFFER_SECONDS[0], most=OFFER_SECONDS[-1]),
    ] = 300
    lower_first: Annotated[
        bool,
        About(
            "Whether passengers from 60, women from 45, and passengers with a `need` get a lower "
            "berth before others that fit, and are asked for one if they are confirmed higher up."
        ),
    ] = True
    waiting_list: Annotated[
        WaitingList,
        About("Who of the waiting list gets berths: all, those on partly confirmed PNRs, or none."),
    ] = WaitingList.PARTLY
    waiting_kinds: Annotated[
        tuple[WaitingKind, ...],
        About("The kinds of waiting list in their turn. Other kinds come last.", most=MOST_KINDS),
    ] = ("GN", "RL", "PQ", "RS", "TQ")
    give_unbooked: Annotated[
        bool,
        About(
            "Whether berths that no passenger booked are vacant for those who wait, once the train "
            "has left a station."
        ),
    ] = False
    check_minutes: Annotated[
        int | None,
        About(
            "How long after a departure a berth waits for a passenger with a better number who is "
            "due and not checked; null for not at all.",
            least=CHECK_MINUTES[0],
            most=CHECK_MINUTES[-1],
        ),
    ] = 30
    undo_minutes: Annotated[
        int | None,
        About(
            "How long a no-show can be undone; without it, as long as the berth is free.",
            least=UNDO_MINUTES[0],
            most=UNDO_MINUTES[-1],
        ),
    ] = None
    stations: Annotated[
        tuple[Station, ...],
        About("The stops, in running order.", least=2, most=MOST_STATIONS, example=_STATIONS),
    ]
    coaches: Annotated[
        tuple[Coach, ...], About(most=MOST_COACHES, given=tuple[GivenCoach, ...] | None)
    ] = ()
    passengers: Annotated[
        tuple[Booking, ...],
        About(
            "A list, or one text in CSV with a header.",
            most=MOST_PASSENGERS,
            given=tuple[Booking, ...] | Csv | None,
        ),
    ] = ()

    @property
    def run(self) -> RunKey:
        return run_key(self.train_no, self.start_date)

    def amended(self, coaches: tuple[Coach, ...], bookings: Iterable[Booking]) -> "Chart":
        """Return the chart with these coaches and bookings: corrected in place, or at the end."""
        new = {booking.person: booking for booking in bookings}
        passengers = [new.pop(each.person, each) for each in self.passengers]
        return replace(self, coaches=coaches, passengers=(*passengers, *new.values()))


class ChartSource(StrEnum):
    """Where an amendment comes from: a later chart, booking on the way, a TTE, or a correction."""

    SECOND = "SECOND"
    REMOTE = "REMOTE"
    CURRENT = "CURRENT"
    EFT = "EFT"
    CORRECTION = "CORRECTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRef:
    """A person of the chart."""

    pnr: Pnr
    index: PersonIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What a chart gets in addition, corrected or removed while its run is on."""

    source: ChartSource
    coaches: Annotated[
        tuple[Coach, ...],
        About(
            "Coaches to add, or to correct if the train has the code and class.",
            most=MOST_COACHES,
            given=tuple[GivenCoach, ...] | None,
        ),
    ] = ()
    passengers: Annotated[
        tuple[Booking, ...],
        About(
            "People to add, or to correct if the chart has the PNR and index: a list, or CSV.",
            most=MOST_PASSENGERS,
            given=tuple[Booking, ...] | Csv | None,
        ),
    ] = ()
    remove_coaches: Annotated[
        tuple[CoachCode, ...], About("Coaches to remove, without passengers.", most=MOST_COACHES)
    ] = ()
    remove_passengers: Annotated[
        tuple[PersonRef, ...],
        About("People to take off: those who are DUE.", most=MOST_PASSENGERS),
    ] = ()


def run_key(train_no: str, start_date: date) -> RunKey:
    return RunKey(f"{train_no}/{start_date.isoformat()}")


def number_of(train_no: str) -> str:
    """Return the train's number, without the part that tells its runs of one date apart."""
    return train_no.partition("-")[0]


def person_key(pnr: str, index: int) -> PersonKey:
    return PersonKey(f"{pnr}/{index}")


def stop_codes(stations: Iterable[Station]) -> list[str]:
    """Return the code of each stop: the station's, and with its index where it is there twice."""
    codes = [station.code for station in stations]
    often = Counter(codes)
    return [code if often[code] == 1 else f"{code}@{at}" for at, code in enumerate(codes)]


def berth_key(coach: str, berth: int) -> BerthKey:
    return BerthKey(f"{coach}-{berth}")
