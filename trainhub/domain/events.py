"""The events of a run, as values, each with its audience. `EVENTS` is the table by type.

An event holds all that `RunState.evolve` needs; `told` is the part that its audience reads.
The contract quotes the docstrings and the notes on fields.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypedDict

from trainhub.core.about import About
from trainhub.core.audience import EVERYONE, Audience, Roles, User
from trainhub.core.codec import dump
from trainhub.domain.commands import Rejected, To, Warned
from trainhub.domain.fields import (
    BerthNumber,
    ClassCode,
    CoachCode,
    DelayMinutes,
    Destination,
    Moment,
    Note,
    Number,
    OfferId,
    Origin,
    PersonIndex,
    PersonName,
    Platform,
    Pnr,
    RemarkText,
    SetMinutes,
    StationCode,
    StationIndex,
    StationName,
    StopCode,
    TrainName,
    TteUser,
    UserId,
    Zone,
)
from trainhub.domain.model import (
    STAFF,
    AlightReason,
    AllotReason,
    BerthType,
    BlockReason,
    Booking,
    BookingStatus,
    Chart,
    ChartSource,
    Coach,
    Level,
    OfferState,
    PersonKey,
    PersonState,
    Role,
    RunStatus,
    Station,
    StationReport,
    person_key,
)
from trainhub.domain.reasons import NAMED, Considered, PassedOver, shorten

TO_STAFF: Audience = (Roles(STAFF),)


def to_passenger(user: str | None) -> Audience:
    """Return the person's user; empty for a ticket without a user, bought at a counter."""
    return () if user is None else (User(user, Role.PASSENGER),)


def user_and_staff(user: str | None) -> Audience:
    return (*to_passenger(user), *TO_STAFF)


@dataclass(frozen=True, kw_only=True)
class StationRef:
    """A station of the run."""

    code: StationCode
    name: StationName
    index: StationIndex


@dataclass(frozen=True, kw_only=True)
class Ahead(StationRef):
    """A station still to come, and when the train is expected there."""

    expected: Moment


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened on a run, at the hub's time `at`."""

    at: datetime

    # Fields that `RunState.evolve` needs and the audience does not read.
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
    def told(self) -> Mapping[str, Any]:
        """The event's data as its audience reads it, JSON-ready."""
        return {name: value for name, value in dump(self).items() if name not in self.untold}


class TrainTold(TypedDict):
    """What everyone reads of a chart."""

    trainName: TrainName
    timezone: Zone
    stations: tuple[Station, ...]


@dataclass(frozen=True, kw_only=True)
class TrainRegistered(Event):
    """The run was loaded from its chart, in place of an earlier one if there was one.

    `gone` are the people of the earlier chart who are not on this one.
    """

    chart: Chart
    gone: tuple[str, ...] = ()

    @property
    def persons(self) -> Iterable[PersonKey]:
        yield from (booking.person for booking in self.chart.passengers)
        yield from map(PersonKey, self.gone)

    @property
    def told(self) -> TrainTold:
        return {
            "trainName": self.chart.train_name,
            "timezone": self.chart.timezone,
            "stations": dump(self.chart.stations),
        }


Lines = Annotated[int, About(least=0, example=2)]


@dataclass(frozen=True, kw_only=True)
class ChartAmended(Event):
    """The chart has got bookings or coaches, or they were corrected or removed.

    `seated` are those of `passengers` whose journey or berth is new, and `coaches` all coaches.
    """

    source: ChartSource
    passengers: tuple[Booking, ...]
    seated: tuple[str, ...]
    coaches: tuple[Coach, ...]
    added: Annotated[Lines, About("How many passengers are new.")]
    corrected: Annotated[Lines, About("How many passengers were corrected.")]
    removed: Annotated[Lines, About("How many passengers were taken off.")]
    rejected: Annotated[tuple[Rejected, ...], About("The lines that were left out.")] = ()
    warnings: Annotated[tuple[Warned, ...], About("What was not used of the lines that load.")] = ()

    untold = frozenset({"at", "passengers", "seated", "coaches"})

    @property
    def audience(self) -> Audience:
        return TO_STAFF

    @property
    def persons(self) -> Iterable[PersonKey]:
        return (booking.person for booking in self.passengers)


@dataclass(frozen=True, kw_only=True)
class JourneyStarted(Event):
    """The train stands at the station where it starts, and boarding begins."""

    station: StationRef
    next: Ahead


@dataclass(frozen=True, kw_only=True)
class StationArrival(Event):
    """The train has arrived at a station."""

    station: StationRef
    scheduled: Moment
    expected: Moment
    actual: Moment
    delay_minutes: DelayMinutes
    platform: Platform | None
    next: Ahead | None
    platform_confirmed: Annotated[
        bool | None, About("False if the platform is only planned; null from an older hub.")
    ] = None
    alighted: Annotated[
        int, About("Passengers who reached their destination here.", least=0, example=12)
    ]


@dataclass(frozen=True, kw_only=True)
class StationDeparture(Event):
    """The train has left a station."""

    station: StationRef
    scheduled: Moment
    expected: Moment
    actual: Moment
    delay_minutes: DelayMinutes
    platform: Platform | None
    next: Ahead | None


@dataclass(frozen=True, kw_only=True)
class StationSkipped(Event):
    """The train will not stop at a station ahead."""

    station: StationRef
    next: Ahead | None


@dataclass(frozen=True, kw_only=True)
class HaltAdded(Event):
    """The train will also stop at a station that was not on the chart.

    It is `station` now, and the index of each stop after it is one higher.
    """

    station: StationRef
    halt: Annotated[Station, About("The halt as a stop of the chart.")]
    next: Ahead


@dataclass(frozen=True, kw_only=True)
class SkipUndone(Event):
    """The train will stop at a station after all."""

    station: StationRef
    next: Ahead


@dataclass(frozen=True, kw_only=True)
class ShortTerminated(Event):
    """The train ends at this station, before its terminus, and serves no station after it."""

    station: StationRef
    not_served: Annotated[tuple[StopCode, ...], About("The stops that it does not serve any more.")]
    reason: Note | None


@dataclass(frozen=True, kw_only=True)
class JourneyCompleted(Event):
    """The train has reached the last station that it serves."""

    station: StationRef


@dataclass(frozen=True, kw_only=True)
class TrainCancelled(Event):
    """The run was cancelled. It ends where the train is."""

    station: StationRef
    reason: Note | None


@dataclass(frozen=True, kw_only=True)
class RunClosed(Event):
    """The end of the run was never reported and is long past. It ends where it was last."""

    station: StationRef


@dataclass(frozen=True, kw_only=True)
class TrainReinstated(Event):
    """The run was cancelled by mistake, or closed too early, and is as before."""

    station: StationRef
    status: RunStatus
    next: Ahead


@dataclass(frozen=True, kw_only=True)
class ReportUndone(Event):
    """The last arrival or departure was reported by mistake: the train is where it was before."""

    station: StationRef
    report: StationReport
    next: Ahead


@dataclass(frozen=True, kw_only=True)
class DelayUpdate(Event):
    """The train's delay was set. The expected times of the stops ahead move with it."""

    delay_minutes: SetMinutes
    reason: Note | None
    next: Ahead | None


@dataclass(frozen=True, kw_only=True)
class PlatformChange(Event):
    """The platform of a station was set."""

    station: StationRef
    platform: Platform
    confirmed: Annotated[bool, About("True if the platform is certain.")]


@dataclass(frozen=True, kw_only=True)
class UserEvent(Event):
    """An event that concerns one person and is told to that person's user, if there is one."""

    user: UserId | None
    pnr: Pnr
    index: PersonIndex

    untold = frozenset({"at", "user"})

    @property
    def audience(self) -> Audience:
        return to_passenger(self.user)

    @property
    def person(self) -> PersonKey:
        return person_key(self.pnr, self.index)


@dataclass(frozen=True, kw_only=True)
class PersonEvent(UserEvent):
    """An event that happened to one person and is told to that person's user and the staff."""

    name: PersonName
    coach: CoachCode | None
    berth: BerthNumber | None
    from_: Origin
    to: Destination

    @property
    def audience(self) -> Audience:
        return user_and_staff(self.user)

    @property
    def persons(self) -> Iterable[PersonKey]:
        return (self.person,)


@dataclass(frozen=True, kw_only=True)
class MarkEvent(PersonEvent):
    """What a TTE found of a person. `marked_by` is the TTE's user, which only the hub reads."""

    marked_at: Annotated[
        Moment | None, About("When the TTE made the mark, if the device said so.")
    ] = None
    marked_by: UserId | None = None

    untold = frozenset({"at", "user", "markedBy"})


@dataclass(frozen=True, kw_only=True)
class PassengerBoarded(MarkEvent):
    """The passenger is aboard."""

    assumed: Annotated[
        bool, About("True if no TTE said so, and `boarding` is auto.", example=False)
    ] = False


@dataclass(frozen=True, kw_only=True)
class BoardedUndone(PersonEvent):
    """The passenger was marked as boarded by mistake, and is due again."""


@dataclass(frozen=True, kw_only=True)
class PassengerAlighted(MarkEvent):
    """The passenger has left the train: at the destination, or earlier for a reason."""

    left: Annotated[
        AlightReason | None, About("Why before the destination; null at the destination.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class PassengerRestored(PersonEvent):
    """The passenger's journey goes on: its end, or the train's, was reported by mistake."""

    state: Annotated[PersonState, About("As before.", choices=("ABOARD", "DUE"))]


@dataclass(frozen=True, kw_only=True)
class PassengerUnchecked(PersonEvent):
    """The passenger's journey is over, and the passenger was never marked."""


@dataclass(frozen=True, kw_only=True)
class NoShow(MarkEvent):
    """The passenger has not turned up."""


@dataclass(frozen=True, kw_only=True)
class NoShowUndone(PersonEvent):
    """The passenger was marked NT, and is due again."""


@dataclass(frozen=True, kw_only=True)
class BerthLost(PersonEvent):
    """The passenger has no berth any more, and is first in turn for the next free one.

    It was given to another before the passenger came, or was blocked. `coach` and `berth` name it.
    """

    blocked: Annotated[
        BlockReason | None, About("Why the berth was blocked; null if another passenger has it.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class BlockEvent(Event):
    """An event about berths that a TTE blocks or unblocks."""

    station: StationRef
    coach: CoachCode
    berths: Annotated[tuple[BerthNumber, ...], About("The berths.", example=[7])]

    @property
    def audience(self) -> Audience:
        return TO_STAFF


@dataclass(frozen=True, kw_only=True)
class BerthsBlocked(BlockEvent):
    """Berths are not given to passengers from here on."""

    reason: BlockReason


@dataclass(frozen=True, kw_only=True)
class BerthsUnblocked(BlockEvent):
    """Berths that were blocked are free from here on."""


@dataclass(frozen=True, kw_only=True)
class CoachChecked(Event):
    """A TTE has checked everyone in a coach who was to board up to this station."""

    station: StationRef
    coach: CoachCode

    @property
    def audience(self) -> Audience:
        return TO_STAFF


@dataclass(frozen=True, kw_only=True)
class DutyEvent(Event):
    """A change of a TTE's duty."""

    station: StationRef
    tte: TteUser
    coaches: Annotated[tuple[CoachCode, ...], About("The coaches that it is about.")]

    @property
    def audience(self) -> Audience:
        return TO_STAFF


@dataclass(frozen=True, kw_only=True)
class SignedOn(DutyEvent):
    """A TTE is responsible for these coaches now, and for no others."""


@dataclass(frozen=True, kw_only=True)
class SignedOff(DutyEvent):
    """A TTE is not responsible for these coaches any more, and for no others either."""


@dataclass(frozen=True, kw_only=True)
class Remarked(Event):
    """The staff remarked something for the captaincy report."""

    station: StationRef
    coach: CoachCode | None
    text: RemarkText
    tte: Annotated[TteUser | None, About("The user who wrote it.")] = None

    @property
    def audience(self) -> Audience:
        return TO_STAFF


@dataclass(frozen=True, kw_only=True)
class PassengerCancelled(PersonEvent):
    """The passenger has cancelled the journey before boarding."""


@dataclass(frozen=True, kw_only=True)
class BoardingChanged(PersonEvent):
    """The passenger boards at another station, `from`."""

    old_from: Annotated[StopCode, About("Where the passenger was to board before.")]


@dataclass(frozen=True, kw_only=True)
class BookingChanged(PersonEvent):
    """The chart was amended: the passenger is new there, or has another journey or berth."""

    status: BookingStatus
    number: Number | None


@dataclass(frozen=True, kw_only=True)
class BookingCorrected(UserEvent):
    """The chart has another name or contact of the passenger, or another user of the booking.

    The user who had the booking before is told too. A fresh SNAPSHOT shows it.
    """


class Cause(StrEnum):
    """Why a berth is free."""

    NO_SHOW = "NO_SHOW"
    ALIGHTED = "ALIGHTED"
    CANCELLED = "CANCELLED"
    UPGRADED = "UPGRADED"
    ALLOTTED = "ALLOTTED"
    BOARDING_CHANGED = "BOARDING_CHANGED"
    AMENDED = "AMENDED"
    UNBLOCKED = "UNBLOCKED"
    UNBOOKED = "UNBOOKED"


@dataclass(frozen=True, kw_only=True)
class BerthVacated(Event):
    """A berth, or half of a side lower, is free from one station to another."""

    coach: CoachCode
    berth: BerthNumber
    class_: ClassCode
    from_: Origin
    to: Destination
    cause: Cause
    ladies: Annotated[bool, About("True for a berth of the ladies' quota.")] = False

    @property
    def audience(self) -> Audience:
        return TO_STAFF


AnsweredBy = Annotated[
    Role, About("The role of the user who answered it; null if the clock or the rules ended it.")
]
Reasons = Annotated[
    tuple[Considered, ...],
    About("The first passengers who were considered, in order, and the chosen one last."),
]
Others = Annotated[tuple[PassedOver, ...], About("The other passengers who came before.")]


@dataclass(frozen=True, kw_only=True)
class Justified:
    """An event with the reason why a berth is for one passenger and not for those before."""

    reason: Reasons
    passed_over: Others = ()

    def __post_init__(self) -> None:
        """Shorten the reason of an event that an older hub wrote."""
        if len(self.reason) > NAMED + 1:
            reason, passed_over = shorten(self.reason)
            object.__setattr__(self, "reason", reason)
            object.__setattr__(self, "passed_over", passed_over)


@dataclass(frozen=True, kw_only=True)
class UpgradePending(Justified, Event):
    """A berth is held for a passenger: the staff's side of an offer, with the reason."""

    offer_id: OfferId
    user: UserId | None
    pnr: Pnr
    index: PersonIndex
    name: PersonName
    status: BookingStatus
    number: Number | None
    coach: CoachCode
    berth: BerthNumber
    berth_type: BerthType
    old_coach: CoachCode | None
    old_berth: BerthNumber | None
    from_: Origin
    to: Destination
    cause: Cause
    expires_at: Moment

    @property
    def audience(self) -> Audience:
        return TO_STAFF

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class UpgradeOffer(UserEvent):
    """A berth is held for a passenger, who may accept or deny it until the offer expires."""

    offer_id: OfferId
    coach: CoachCode
    berth: BerthNumber
    berth_type: BerthType
    from_: Annotated[
        str | None, About("From where the berth would be theirs; null from an older hub.")
    ] = None
    to: Destination
    expires_at: Moment


@dataclass(frozen=True, kw_only=True)
class UpgradeDelivered(Event):
    """An offer has arrived on one more of the passenger's devices (ACK)."""

    offer_id: OfferId
    pnr: Pnr
    index: PersonIndex
    devices: Annotated[
        int, About("The devices on which it has arrived; counted up to 16.", least=1, example=1)
    ]

    @property
    def audience(self) -> Audience:
        return TO_STAFF

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.offer_id,)


UpgradedFrom = Annotated[
    str,
    About("The place on RAC or WL of a passenger who was upgraded since.", example="RAC 4"),
]


@dataclass(frozen=True, kw_only=True)
class UpgradeConfirmed(Justified, PersonEvent):
    """A passenger on RAC or WL has a berth: `coach` and `berth` are the new one.

    The berth is the passenger's from `from_`, where the train is, or which it left last.
    `offer_id` is None under policy AUTO. The reason names others and is for the staff only.
    `upgraded_from` follows from the status and the number.
    """

    coach: CoachCode
    berth: BerthNumber
    offer_id: OfferId | None
    status: BookingStatus
    number: Number | None
    old_coach: CoachCode | None
    old_berth: BerthNumber | None
    cause: Cause
    answered_by: AnsweredBy | None = None
    upgraded_from: UpgradedFrom | None = None

    untold = frozenset({"at", "user", "reason", "passedOver", "answeredBy"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status is not BookingStatus.CNF:
            number = "" if self.number is None else f" {self.number}"
            object.__setattr__(self, "upgraded_from", f"{self.status}{number}")

    @property
    def offers(self) -> tuple[str, ...]:
        return () if self.offer_id is None else (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class BerthAllotted(Justified, PersonEvent):
    """A TTE has given the passenger another berth, `coach` and `berth`, from `from_` on.

    `allotted_for` is None if two passengers exchange their berths. `status` is the passenger's from
    now on. The reason names those who waited before, and is for the staff only, as the note is.
    """

    coach: CoachCode
    berth: BerthNumber
    status: BookingStatus
    old_coach: CoachCode | None
    old_berth: BerthNumber | None
    allotted_for: Annotated[
        AllotReason | None, About("Why the TTE gave it; null if two exchange their berths.")
    ] = None
    note: Note | None = None
    reason: Reasons = ()
    upgraded_from: UpgradedFrom | None = None

    untold = frozenset({"at", "user", "reason", "passedOver", "note"})


@dataclass(frozen=True, kw_only=True)
class UpgradeClosed(UserEvent):
    """An offer ended without an upgrade: DENIED, EXPIRED or WITHDRAWN."""

    offer_id: OfferId
    outcome: Annotated[
        OfferState, About("How it ended.", choices=("DENIED", "EXPIRED", "WITHDRAWN"))
    ]
    answered_by: AnsweredBy | None = None

    untold = frozenset({"at", "user", "answeredBy"})

    @property
    def audience(self) -> Audience:
        return user_and_staff(self.user)

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.offer_id,)


@dataclass(frozen=True, kw_only=True)
class CoPassengerChanged(UserEvent):
    """The other holder of a side lower has moved: the berth is this passenger's alone."""

    coach: CoachCode
    berth: BerthNumber


@dataclass(frozen=True, kw_only=True)
class ClockCorrected(Event):
    """The hub's clock was set. `expiresAt` of each open offer of the run moves by `bySeconds`.

    `moved` are the ids of these offers: each keeps the time that it had left. Events before this
    one carry times of the clock as it was.
    """

    by_seconds: Annotated[
        int, About("Seconds that the clock was set forward; negative if back.", example=60)
    ]
    moved: tuple[str, ...]

    untold = frozenset({"at", "moved"})

    @property
    def offers(self) -> tuple[str, ...]:
        return self.moved


@dataclass(frozen=True, kw_only=True)
class Announcement(Event):
    """The staff or a machine feed announces something."""

    text: Annotated[str, About("The announcement.", example="Tea is served in S1.")]
    level: Level
    audience_: To
    user: UserId | None = None

    untold = frozenset({"at", "audience", "user"})

    @property
    def audience(self) -> Audience:
        if self.audience_ is To.USER:
            return to_passenger(self.user)
        return TO_STAFF if self.audience_ is To.STAFF else EVERYONE


Events = list[Event]

EVENTS: dict[str, type[Event]] = {
    "TRAIN_REGISTERED": TrainRegistered,
    "CHART_AMENDED": ChartAmended,
    "BOOKING_CHANGED": BookingChanged,
    "BOOKING_CORRECTED": BookingCorrected,
    "JOURNEY_STARTED": JourneyStarted,
    "JOURNEY_COMPLETED": JourneyCompleted,
    "TRAIN_CANCELLED": TrainCancelled,
    "RUN_CLOSED": RunClosed,
    "TRAIN_REINSTATED": TrainReinstated,
    "REPORT_UNDONE": ReportUndone,
    "STATION_ARRIVAL": StationArrival,
    "STATION_DEPARTURE": StationDeparture,
    "STATION_SKIPPED": StationSkipped,
    "SKIP_UNDONE": SkipUndone,
    "HALT_ADDED": HaltAdded,
    "SHORT_TERMINATED": ShortTerminated,
    "DELAY_UPDATE": DelayUpdate,
    "PLATFORM_CHANGE": PlatformChange,
    "PASSENGER_BOARDED": PassengerBoarded,
    "BOARDED_UNDONE": BoardedUndone,
    "PASSENGER_ALIGHTED": PassengerAlighted,
    "PASSENGER_UNCHECKED": PassengerUnchecked,
    "PASSENGER_RESTORED": PassengerRestored,
    "PASSENGER_CANCELLED": PassengerCancelled,
    "BOARDING_CHANGED": BoardingChanged,
    "NO_SHOW": NoShow,
    "NO_SHOW_UNDONE": NoShowUndone,
    "BERTH_LOST": BerthLost,
    "BERTHS_BLOCKED": BerthsBlocked,
    "BERTHS_UNBLOCKED": BerthsUnblocked,
    "COACH_CHECKED": CoachChecked,
    "SIGNED_ON": SignedOn,
    "SIGNED_OFF": SignedOff,
    "REMARKED": Remarked,
    "BERTH_VACATED": BerthVacated,
    "BERTH_ALLOTTED": BerthAllotted,
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
