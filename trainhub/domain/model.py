"""The nouns of the railway: runs, stations, coaches, bookings, roles. Values, without rules."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NewType

from trainhub.core.stream import Stream

# "12345/2026-11-23": one journey of a train, and the name of its stream in the log and of its room.
# Two runs of one number may be live at once.
RunKey = Stream
# "4512345678/1": one person, the index-th on a PNR.
PersonKey = NewType("PersonKey", str)
# "S1-15": a berth of a coach.
BerthKey = NewType("BerthKey", str)


class Role(StrEnum):
    PASSENGER = "PASSENGER"
    TTE = "TTE"
    ADMIN = "ADMIN"
    SERVICE = "SERVICE"


# The run's staff: they may read its people. SERVICE is a machine feed and may not.
STAFF = frozenset({Role.TTE, Role.ADMIN})


class RunStatus(StrEnum):
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class BookingStatus(StrEnum):
    CNF = "CNF"
    RAC = "RAC"
    WL = "WL"


class PersonState(StrEnum):
    DUE = "DUE"
    ABOARD = "ABOARD"
    NT = "NT"
    ALIGHTED = "ALIGHTED"
    CANCELLED = "CANCELLED"


class Policy(StrEnum):
    """How a vacancy reaches the passenger on RAC."""

    AUTO = "AUTO"
    OFFER = "OFFER"
    APPROVAL = "APPROVAL"


class OfferState(StrEnum):
    OPEN = "OPEN"
    ACCEPTED = "ACCEPTED"
    DENIED = "DENIED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


class Boarding(StrEnum):
    """Whether those due are taken as boarded on departure, or wait for a TTE's mark."""

    AUTO = "auto"
    VERIFY = "verify"


class Level(StrEnum):
    INFO = "INFO"
    WARNING = "WARNING"
    EMERGENCY = "EMERGENCY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A stop of the chart. Times are "HH:MM" in the run's zone; `day` counts from 1."""

    code: str
    name: str
    arrival: str | None = None
    departure: str | None = None
    day: int = 1
    distance_km: int = 0
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coach:
    """A coach of the chart; `layout` names each berth's type where the class's own is not meant."""

    code: str
    class_: str
    berths: int
    layout: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """One person of the chart, as booked."""

    pnr: str
    index: int
    irctc_id: str
    name: str
    from_: str
    to: str
    class_: str
    status: BookingStatus
    number: int | None = None
    coach: str | None = None
    berth: int | None = None
    age: int | None = None
    gender: str | None = None
    phone: str | None = None
    email: str | None = None

    @property
    def person(self) -> PersonKey:
        return person_key(self.pnr, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The reservation list a run is loaded from, checked (see chart.py)."""

    train_no: str
    train_name: str
    start_date: date
    timezone: str = "Asia/Kolkata"
    policy: Policy = Policy.OFFER
    boarding: Boarding = Boarding.VERIFY
    min_upgrade_km: int = 70
    offer_seconds: int = 300
    stations: tuple[Station, ...]
    coaches: tuple[Coach, ...] = ()
    passengers: tuple[Booking, ...] = ()

    @property
    def run(self) -> RunKey:
        return run_key(self.train_no, self.start_date)


def run_key(train_no: str, start_date: date) -> RunKey:
    return RunKey(f"{train_no}/{start_date.isoformat()}")


def person_key(pnr: str, index: int) -> PersonKey:
    return PersonKey(f"{pnr}/{index}")


def berth_key(coach: str, berth: int) -> BerthKey:
    return BerthKey(f"{coach}-{berth}")


def normal_train_no(value: object) -> object:
    """12345, "12345" and " 12345 " are the same train: "12345". Anything else stays as it is."""
    if isinstance(value, str) or type(value) is int:
        return str(value).strip().upper()
    return value
