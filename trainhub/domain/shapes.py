"""The types that views.py and report.py return: what can be read of a run, field by field."""

from typing import Annotated, Any, NotRequired, TypedDict

from trainhub.core.about import About, Joined
from trainhub.domain.events import (
    AnsweredBy,
    BerthAllotted,
    Cause,
    Others,
    Reasons,
    UpgradeConfirmed,
    UpgradedFrom,
)
from trainhub.domain.fields import (
    BerthNumber,
    CoachCode,
    DelayMinutes,
    Destination,
    DistanceKm,
    Moment,
    OfClass,
    OfferId,
    Origin,
    PersonIndex,
    PersonName,
    Platform,
    Pnr,
    RailwayZone,
    RemarkText,
    Seq,
    StartDate,
    StationCode,
    StationIndex,
    StationName,
    StopCode,
    TrainName,
    TrainNo,
    TteUser,
    Zone,
)
from trainhub.domain.model import (
    AlightReason,
    BerthType,
    BlockReason,
    Booking,
    OfferState,
    PersonState,
    Policy,
    RunStatus,
)

Count = Annotated[int, About(least=0, example=3)]
# In this form because `from` is a keyword of Python.
Leg = TypedDict("Leg", {"from": Origin, "to": Destination})
FreeCause = Annotated[
    Cause,
    About("Why the berth is free; UNBOOKED if no passenger left it vacant."),
]


class StationNamed(TypedDict):
    """A station."""

    code: StationCode
    name: StationName


class StationAhead(StationNamed):
    """The next station, and when the train is expected there."""

    index: StationIndex
    expected: Moment


class Progress(TypedDict):
    """How far a run is."""

    trainNo: TrainNo
    trainName: TrainName
    startDate: StartDate
    status: RunStatus
    seq: Annotated[int, About("The seq of the run's last event.", least=1, example=17)]
    index: Annotated[int, About("The last station reached, from 0.", least=0, example=1)]
    departed: Annotated[bool, About("True if the train has left it.")]
    station: StationNamed
    next: StationAhead | None
    delayMinutes: DelayMinutes


class Summary(Progress):
    """A run in a few fields."""

    zone: RailwayZone | None
    stations: Annotated[int, About("The number of stations.", least=2, example=12)]


class StopView(TypedDict):
    """A stop of a run. `stop` is its name in commands, and in `from` and `to`."""

    code: StationCode
    stop: StopCode
    name: StationName
    index: StationIndex
    distanceKm: DistanceKm
    platform: Platform | None
    platformConfirmed: bool
    skipped: bool
    scheduledArrival: Moment | None
    expectedArrival: Moment | None
    actualArrival: Moment | None
    scheduledDeparture: Moment | None
    expectedDeparture: Moment | None
    actualDeparture: Moment | None


class BoardLine(TypedDict):
    """A train on the board of a station."""

    trainNo: TrainNo
    trainName: TrainName
    startDate: StartDate
    status: RunStatus
    origin: Annotated[StationNamed, About("Where the run begins.")]
    terminus: Annotated[StationNamed, About("Where the run ends.")]
    station: Annotated[StationNamed, About("The last station that the train has reached.")]
    departed: Annotated[bool, About("True if the train has left that station.")]
    delayMinutes: Annotated[
        int, About("Minutes behind the timetable that are expected here.", example=2)
    ]
    stop: StopView


class Counts(TypedDict):
    """How many passengers and berths."""

    booked: Count
    aboard: Count
    due: Count
    nt: Count
    rac: Annotated[int, About("Passengers who still wait on RAC.", least=0, example=2)]
    upgraded: Count
    vacant: Annotated[
        int,
        About(
            "Berths that are free on the leg that the train is on or starts next.",
            least=0,
            example=66,
        ),
    ]


class ClassCounts(OfClass, Counts):
    """How many, in one class."""


class CoachCounts(Counts):
    """How many, in one coach."""

    coach: CoachCode


class Figures(TypedDict):
    """How many, by class and by coach. Only the staff get rows that are about one passenger."""

    classes: list[ClassCounts]
    coaches: list[CoachCounts]


class Now(TypedDict):
    """How a person's journey stands."""

    state: PersonState
    upgradedFrom: UpgradedFrom | None
    markedAt: Annotated[Moment | None, About("When the person's last mark was made.")]
    assumed: Annotated[
        bool, About("True if the person counts as aboard since the train left.", example=False)
    ]
    left: Annotated[
        AlightReason | None, About("Why the person left the train before the destination.")
    ]


class OpenOffer(TypedDict):
    """The offer that is open to a person."""

    offerId: OfferId | None


Person = Annotated[
    dict[str, Any],
    Joined((Booking, Now)),
    About("A passenger: the chart's fields; status, coach, berth and from as they are now."),
]
Waiting = Annotated[
    dict[str, Any],
    Joined((Booking, Now, OpenOffer)),
    About("A passenger on RAC or WL, and the offer that is open to them."),
]


class OfferView(Leg):
    """An offer and what became of it. Only the staff read the fields that may be missing."""

    offerId: OfferId
    state: OfferState
    pnr: Pnr
    index: PersonIndex
    coach: CoachCode
    berth: BerthNumber
    berthType: BerthType
    oldCoach: CoachCode | None
    oldBerth: BerthNumber | None
    expiresAt: Moment
    closedAt: Moment | None
    answeredBy: AnsweredBy | None
    name: NotRequired[PersonName]
    cause: NotRequired[Cause]
    reason: NotRequired[Reasons]
    passedOver: NotRequired[Others]
    delivered: NotRequired[
        Annotated[
            int, About("The devices on which it has arrived; counted up to 16.", least=0, example=1)
        ]
    ]
    deliveredAt: NotRequired[
        Annotated[Moment | None, About("When it arrived on the first device; null if on none.")]
    ]


class Decision(TypedDict):
    """An event that decided something about a person, and why."""

    seq: Seq
    at: Moment
    event: Annotated[str, About("The type of the event.", example="UPGRADE_PENDING")]
    coach: CoachCode | None
    berth: BerthNumber | None
    reason: Annotated[
        str,
        About(
            "What it means for this person. Others are named by their number only.",
            example="the berth is for RAC 4: is DUE, not aboard",
        ),
    ]


class DutyLine(TypedDict):
    """A coach, and the TTE who is responsible for it."""

    coach: CoachCode
    tte: TteUser | None
    since: Annotated[Moment | None, About("When the TTE signed on.")]
    checked: Annotated[
        StationCode | None, About("The station at which the coach was checked last (CHECK_COACH).")
    ]


class People(TypedDict, total=False):
    """What the staff read of a run beyond what everyone reads; passengers read their own."""

    passengers: list[Person]
    offers: Annotated[list[OfferView], About("The offers that are open.")]
    checked: Annotated[
        list[CoachCode],
        About("The coaches that are checked at the last station reached; for the staff."),
    ]
    duty: Annotated[
        list[DutyLine], About("Which TTE is responsible for which coach; only for the staff.")
    ]


class CommonView(Progress):
    """The part of a run that is the same for all readers."""

    timezone: Zone
    policy: Policy
    undoMinutes: Annotated[
        int | None,
        About("How long a no-show can be undone; null for as long as the berth is free."),
    ]
    stations: list[StopView]


class Overdue(TypedDict, total=False):
    """How late the next report is, by the clock. A SNAPSHOT does not have it."""

    overdueMinutes: Annotated[
        int, About("For how many minutes the next report is missing.", least=0, example=0)
    ]


class RunView(CommonView, People, Overdue):
    """A run as the reader may see it.

    The staff read all passengers and offers, a passenger their own, and others none.
    """

    figures: Figures


class VacancyView(OfClass, Leg):
    """A berth that is free on the coming leg."""

    coach: CoachCode
    berth: BerthNumber
    berthType: BerthType
    half: Annotated[bool, About("True for half of a berth that two on RAC share.")]
    cause: FreeCause
    offerId: Annotated[OfferId | None, About("The offer that holds the berth.")]


class BerthHolder(Leg):
    """A passenger who has a berth from one station to another."""

    pnr: Pnr
    index: PersonIndex
    name: PersonName
    state: PersonState
    half: Annotated[bool, About("True for half of a berth that two on RAC share.")]


class BerthPlace(OfClass):
    """A berth of a coach."""

    berth: BerthNumber
    berthType: BerthType


class BerthPlan(BerthPlace):
    """A berth and its holders."""

    blocked: Annotated[BlockReason | None, About("Why it is blocked; null if it is not.")]
    holders: list[BerthHolder]


class PersonLine(Leg):
    """A passenger in the report, and when the mark was made."""

    berth: BerthNumber | None
    pnr: Pnr
    index: PersonIndex
    name: PersonName
    markedAt: Moment | None


class LeftLine(PersonLine):
    """A passenger who left the train before the destination, and why."""

    left: AlightReason


class NotServedLine(PersonLine):
    """A passenger who was to board or alight at a station that the train did not serve."""

    coach: CoachCode | None


class VacantLine(Leg):
    """A berth that was free from one station to another."""

    berth: BerthNumber
    cause: FreeCause


class BlockedLine(Leg):
    """A berth that was blocked from one station to another."""

    berth: BerthNumber
    reason: BlockReason


UpgradeLine = Annotated[
    dict[str, Any],
    Joined((UpgradeConfirmed,), without=("user",)),
    About("An upgrade, when it took effect, and its reason."),
]


AllotmentLine = Annotated[
    dict[str, Any],
    Joined((BerthAllotted,), without=("user",)),
    About("A berth that a TTE gave or exchanged, with the reason and the note."),
]


class CoachReport(OfClass):
    """The captaincy report of one coach."""

    coach: CoachCode
    noShows: list[PersonLine]
    unchecked: Annotated[list[PersonLine], About("Passengers who were never marked.")]
    leftEarly: list[LeftLine]
    vacant: list[VacantLine]
    blocked: list[BlockedLine]
    upgrades: list[UpgradeLine]
    allotments: list[AllotmentLine]


class RemarkLine(TypedDict):
    """A remark of the staff, and where the train was."""

    at: Moment
    station: StationCode
    coach: Annotated[CoachCode | None, About("The coach that it is about, if it is about one.")]
    tte: Annotated[TteUser | None, About("The user who wrote it.")]
    text: RemarkText


class CoachHandover(DutyLine):
    """What the next TTE of a coach must know."""

    unchecked: Annotated[
        list[PersonLine], About("Passengers who are due at a station that the train has reached.")
    ]
    offers: Annotated[list[OfferView], About("The offers of its berths that are open.")]
    vacant: Annotated[list[VacancyView], About("Its berths that are free on the coming leg.")]
    remarks: list[RemarkLine]


class Handover(TypedDict):
    """The list that a TTE hands over to the next one."""

    trainNo: TrainNo
    trainName: TrainName
    startDate: StartDate
    status: RunStatus
    station: Annotated[StationNamed, About("The last station reached.")]
    departed: Annotated[bool, About("True if the train has left it.")]
    coaches: list[CoachHandover]
    uncheckedNotSeated: Annotated[
        list[PersonLine], About("Passengers without a berth who are due and not checked.")
    ]
    lateClaimants: Annotated[
        list[PersonLine],
        About("Passengers whose berth was given away, in the order in which they get another."),
    ]
    remarks: Annotated[list[RemarkLine], About("The remarks about no one coach.")]


class Report(TypedDict):
    """The captaincy report."""

    trainNo: TrainNo
    trainName: TrainName
    startDate: StartDate
    status: RunStatus
    terminus: Annotated[StopCode, About("The last station that the train serves.")]
    coaches: list[CoachReport]
    notServed: Annotated[
        list[NotServedLine],
        About("Passengers who were to board or alight at a station that the train did not serve."),
    ]
    notSeated: Annotated[
        list[PersonLine], About("Passengers who did not turn up and had no berth.")
    ]
    uncheckedNotSeated: Annotated[
        list[PersonLine], About("Passengers without a berth who were never marked.")
    ]
    remarks: Annotated[list[RemarkLine], About("What the staff remarked, in order.")]
    leftNotSeated: Annotated[
        list[LeftLine], About("Passengers without a berth who left before the destination.")
    ]
