"""What happened on a run, as values, each with its audience. `EVENTS` is the table by type.

An event holds all that `TrainState.evolve` needs; `told` is the part that its audience reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from trainhub.core.audience import EVERYONE, Audience, Roles, User
from trainhub.core.codec import dump
from trainhub.domain.commands import To
from trainhub.domain.model import (
    STAFF,
    BookingStatus,
    Chart,
    Level,
    OfferState,
    PersonKey,
    Role,
    person_key,
)
from trainhub.domain.reasons import NAMED, Considered, PassedOver, shorten

TO_STAFF: Audience = (Roles(STAFF),)


def to_passenger(user: str) -> Audience:
    return (User(user, Role.PASSENGER),)


def user_and_staff(user: str) -> Audience:
    return (*to_passenger(user), *TO_STAFF)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A station as events name it."""

    code: str
    name: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Ahead(Place):
    """A station still to come, and when the train should be there."""

    expected: datetime


@dataclass(frozen=True, kw_only=True)
class Event:
    at: datetime

    # Fields that the fold needs and the audience does not read.
    untold: ClassVar[frozenset[str]] = frozenset({"at"})

    @property
    def audience(self) -> Audience:
        return EVERYONE

    @property
    def persons(self) -> Iterable[PersonKey]:
        """The people whose state this event changes."""
        return ()

    @property
    def offers(self) -> Iterable[str]:
        """The ids of the offers whose state this event changes."""
        return ()

    @property
    def told(self) -> dict[str, Any]:
        """The event's data as its audience reads it, JSON-ready."""
        return {name: value for name, value in dump(self).items() if name not in self.untold}


@dataclass(frozen=True, kw_only=True)
class TrainRegistered(Event):
    chart: Chart

    @property
    def persons(self) -> Iterable[PersonKey]:
        return (booking.person for booking in self.chart.passengers)

    @property
    def told(self) -> dict[str, Any]:
        return {
            "trainName": self.chart.train_name,
            "timezone": self.chart.timezone,
            "stations": dump(self.chart.stations),
        }


@dataclass(frozen=True, kw_only=True)
class JourneyStarted(Event):
    station: Place
    next: Ahead


@dataclass(frozen=True, kw_only=True)
class StationArrival(Event):
    """`delay_minutes` may be negative; `alighted` counts those who reached their destination."""

    station: Place
    scheduled: datetime
    expected: datetime
    actual: datetime
    delay_minutes: int
    platform: str | None
    next: Ahead | None
    alighted: int


@dataclass(frozen=True, kw_only=True)
class StationDeparture(Event):
    station: Place
    scheduled: datetime
    expected: datetime
    actual: datetime
    delay_minutes: int
    platform: str | None
    next: Ahead | None


@dataclass(frozen=True, kw_only=True)
class StationSkipped(Event):
    station: Place
    next: Ahead | None


@dataclass(frozen=True, kw_only=True)
class JourneyCompleted(Event):
    station: Place


@dataclass(frozen=True, kw_only=True)
class TrainCancelled(Event):
    station: Place
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class DelayUpdate(Event):
    """The delay as it is now expected; the later stops' expected times move with it."""

    delay_minutes: int
    reason: str | None
    next: Ahead | None


@dataclass(frozen=True, kw_only=True)
class PlatformChange(Event):
    station: Place
    platform: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class UserEvent(Event):
    """Something that concerns one person, and that the person's user alone is told."""

    user: str
    pnr: str
    index: int

    untold = frozenset({"at", "user"})

    @property
    def audience(self) -> Audience:
        return to_passenger(self.user)

    @property
    def person(self) -> PersonKey:
        return person_key(self.pnr, self.index)


@dataclass(frozen=True, kw_only=True)
class PersonEvent(UserEvent):
    """Something that happened to one person; that person's user and the staff are told."""

    name: str
    coach: str | None
    berth: int | None
    from_: str
    to: str

    @property
    def audience(self) -> Audience:
        return user_and_staff(self.user)

    @property
    def persons(self) -> Iterable[PersonKey]:
        return (self.person,)


@dataclass(frozen=True, kw_only=True)
class PassengerBoarded(PersonEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class PassengerAlighted(PersonEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class NoShow(PersonEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class NoShowUndone(PersonEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class PassengerCancelled(PersonEvent):
    pass


@dataclass(frozen=True, kw_only=True)
class BoardingChanged(PersonEvent):
    """`from_` is where the passenger boards now, `old_from` where they were to board."""

    old_from: str


class Cause(StrEnum):
    """Why a berth is free."""

    NO_SHOW = "NO_SHOW"
    ALIGHTED = "ALIGHTED"
    CANCELLED = "CANCELLED"
    UPGRADED = "UPGRADED"


@dataclass(frozen=True, kw_only=True)
class BerthVacated(Event):
    """A berth, or half a side lower, is free from `from_` to `to`; `cause` says why."""

    coach: str
    berth: int
    class_: str
    from_: str
    to: str
    cause: Cause

    @property
    def audience(self) -> Audience:
        return TO_STAFF


@dataclass(frozen=True, kw_only=True)
class Justified:
    """An event with the reason why a berth is for one passenger and not for those before.

    `reason` names some of them, and the chosen one at its end; `passed_over` has the others.
    """

    reason: tuple[Considered, ...]
    passed_over: tuple[PassedOver, ...] = ()

    def __post_init__(self) -> None:
        """Bound the reason of an event that an older hub wrote."""
        if len(self.reason) > NAMED + 1:
            reason, passed_over = shorten(self.reason)
            object.__setattr__(self, "reason", reason)
            object.__setattr__(self, "passed_over", passed_over)


@dataclass(frozen=True, kw_only=True)
class UpgradePending(Justified, Event):
    """A berth is held for a passenger: the staff's side of an offer, with its reason."""

    offer_id: str
    user: str
    pnr: str
    index: int
    name: str
    status: BookingStatus
    number: int | None
    coach: str
    berth: int
    berth_type: str
    old_coach: str | None
    old_berth: int | None
    from_: str
    to: str
    cause: Cause
    expires_at: datetime

    @property
    def audience(self) -> Audience:
        return TO_STAFF

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class UpgradeOffer(UserEvent):
    """A berth is held for a passenger, who is asked: the passenger's side of an offer."""

    offer_id: str
    coach: str
    berth: int
    berth_type: str
    to: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class UpgradeDelivered(Event):
    """An offer has arrived on one more of the passenger's devices; on `devices` of them by now."""

    offer_id: str
    pnr: str
    index: int
    devices: int

    @property
    def audience(self) -> Audience:
        return TO_STAFF

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class UpgradeConfirmed(Justified, PersonEvent):
    """A passenger on RAC or WL has a berth of their own: `coach` and `berth` are the new one.

    It is theirs from `from_`, where the train is, or which it left last.
    `offer_id` is None under policy AUTO. The reason names others, and is for the staff to read.
    """

    offer_id: str | None
    status: BookingStatus
    number: int | None
    old_coach: str | None
    old_berth: int | None
    cause: Cause
    answered_by: Role | None = None

    untold = frozenset({"at", "user", "reason", "passedOver", "answeredBy"})

    @property
    def offers(self) -> tuple[str, ...]:
        return () if self.offer_id is None else (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class UpgradeClosed(UserEvent):
    """An offer ended without an upgrade: DENIED, EXPIRED or WITHDRAWN.

    `answered_by` is the role of who denied or withdrew it. None: the clock or the rules ended it.
    """

    offer_id: str
    outcome: OfferState
    answered_by: Role | None = None

    untold = frozenset({"at", "user", "answeredBy"})

    @property
    def audience(self) -> Audience:
        return user_and_staff(self.user)

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class CoPassengerChanged(UserEvent):
    """Whoever shared this passenger's side lower has moved: it is the passenger's alone."""

    coach: str
    berth: int


@dataclass(frozen=True, kw_only=True)
class ClockCorrected(Event):
    """The hub's clock was set forward, or back if `by_seconds` is negative.

    What was counting down keeps the time that it had left: `moved` are the ids of the offers whose
    `expiresAt` changes with it. Events before this one carry times of the clock as it was.
    """

    by_seconds: int
    moved: tuple[str, ...]

    untold = frozenset({"at", "moved"})

    @property
    def offers(self) -> tuple[str, ...]:
        return self.moved


@dataclass(frozen=True, kw_only=True)
class Announcement(Event):
    text: str
    level: Level
    audience_: To
    user: str | None = None

    untold = frozenset({"at", "audience", "user"})

    @property
    def audience(self) -> Audience:
        if self.audience_ is To.USER:
            return to_passenger(self.user or "")
        return TO_STAFF if self.audience_ is To.STAFF else EVERYONE


EVENTS: dict[str, type[Event]] = {
    "TRAIN_REGISTERED": TrainRegistered,
    "JOURNEY_STARTED": JourneyStarted,
    "JOURNEY_COMPLETED": JourneyCompleted,
    "TRAIN_CANCELLED": TrainCancelled,
    "STATION_ARRIVAL": StationArrival,
    "STATION_DEPARTURE": StationDeparture,
    "STATION_SKIPPED": StationSkipped,
    "DELAY_UPDATE": DelayUpdate,
    "PLATFORM_CHANGE": PlatformChange,
    "PASSENGER_BOARDED": PassengerBoarded,
    "PASSENGER_ALIGHTED": PassengerAlighted,
    "PASSENGER_CANCELLED": PassengerCancelled,
    "BOARDING_CHANGED": BoardingChanged,
    "NO_SHOW": NoShow,
    "NO_SHOW_UNDONE": NoShowUndone,
    "BERTH_VACATED": BerthVacated,
    "UPGRADE_PENDING": UpgradePending,
    "UPGRADE_OFFER": UpgradeOffer,
    "UPGRADE_DELIVERED": UpgradeDelivered,
    "UPGRADE_CONFIRMED": UpgradeConfirmed,
    "UPGRADE_CLOSED": UpgradeClosed,
    "CO_PASSENGER_CHANGED": CoPassengerChanged,
    "CLOCK_CORRECTED": ClockCorrected,
    "ANNOUNCEMENT": Announcement,
}
TYPES: dict[type[Event], str] = {cls: name for name, cls in EVENTS.items()}
