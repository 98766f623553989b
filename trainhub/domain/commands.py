"""The commands that a run can be given. `COMMANDS` is their table by message type.

The contract quotes the docstrings and the notes on fields.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from trainhub.core.about import About
from trainhub.domain import normal
from trainhub.domain.fields import (
    MOST_COACHES,
    TIME,
    BerthNumber,
    CoachCode,
    Note,
    Platform,
    RemarkText,
    SetMinutes,
    StartDate,
    StationName,
    StopCode,
    TrainNo,
)
from trainhub.domain.model import (
    AlightReason,
    AllotReason,
    Amendment,
    BlockReason,
    Chart,
    Level,
    StationReport,
)

PersonPnr = Annotated[
    str, About("The PNR of the person.", example="4512345602", given=str | int, normal=normal.pnr)
]
PersonPlace = Annotated[int, About("The person's number on the PNR, from 1.", example=1)]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command for one run of a train. Without a date, hub/which_run.py tells the run.

    `answer` is the type of the event whose data the answer has. The answer to an `idempotent`
    command may be `unchanged` instead.
    """

    train_no: TrainNo
    start_date: StartDate | None = None

    answer: ClassVar[str] = ""
    idempotent: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class StationCommand(Command):
    """A command on one station of the run."""

    station_code: StopCode


@dataclass(frozen=True, kw_only=True)
class PersonCommand(Command):
    """A command on one person: the index-th on a PNR."""

    pnr: PersonPnr
    index: PersonPlace

    idempotent = True


@dataclass(frozen=True, kw_only=True)
class OfferCommand(Command):
    """A command on an offer. The offer's id names the run too."""

    train_no: TrainNo = ""
    offer_id: Annotated[str, About("The id from UPGRADE_OFFER.", example="12345.2026-11-23.17")]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A passenger who was left out of the run, and why."""

    line: Annotated[int, About("The entry from 1, or the line of the CSV.", least=1, example=2)]
    pnr: Annotated[
        str,
        About(
            "The PNR; empty if the line has none.", pattern="[0-9A-Z]{0,20}", example="4512345602"
        ),
    ]
    reason: Annotated[str, About("What is wrong with the line.", example="to is missing")]


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A line that loads, and what of it cannot be used."""

    line: Annotated[int, About("The entry from 1, or the line of the CSV.", least=1, example=2)]
    pnr: Annotated[
        str, About("The PNR; empty if the warning is about a column.", example="4512345602")
    ]
    reason: Annotated[str, About("What cannot be used.", example="the column remarks is not used")]


@dataclass(frozen=True, kw_only=True)
class RegisterTrain(Command):
    """Load a run from its chart."""

    chart: Chart
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AmendChart(Command):
    """Add, correct and remove bookings and coaches of a run that has not ended.

    `lines` has the line of each passenger of the amendment.
    """

    amendment: Amendment
    lines: tuple[int, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[Warned, ...] = ()

    answer = "CHART_AMENDED"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class StartJourney(Command):
    """Start the journey at the first station, or at a later one: boarding begins there."""

    station_code: (
        Annotated[StopCode, About("Where the train starts, if not at the first station it serves.")]
        | None
    ) = None

    answer = "JOURNEY_STARTED"


@dataclass(frozen=True, kw_only=True)
class CancelTrain(Command):
    """Cancel the run. It ends where the train is."""

    reason: Note | None = None

    answer = "TRAIN_CANCELLED"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class ReinstateTrain(Command):
    """Undo that a run was cancelled or closed: it is SCHEDULED or RUNNING again, as before."""

    answer = "TRAIN_REINSTATED"
    idempotent = True


HaltTime = Annotated[
    str,
    About(
        "HH:MM by the clock of the stop before it.",
        pattern=TIME,
        example="17:03",
        normal=normal.clock,
    ),
]
ReportedAt = Annotated[
    datetime,
    About(
        "When it happened; the hub's time if left out. Not in the future, and not before the "
        "last report.",
        example="2026-11-23T17:05:00+05:30",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Arrive(StationCommand):
    """Report that the train has arrived at the next station."""

    at: ReportedAt | None = None
    platform: Platform | None = None

    answer = "STATION_ARRIVAL"


@dataclass(frozen=True, kw_only=True)
class Depart(StationCommand):
    """Report that the train has left the station where it stood."""

    at: ReportedAt | None = None
    platform: Platform | None = None

    answer = "STATION_DEPARTURE"


@dataclass(frozen=True, kw_only=True)
class UndoReport(StationCommand):
    """Undo the last arrival or departure that was reported, within ten minutes."""

    report: Annotated[StationReport, About("Which report of the station.", example="ARRIVAL")]

    answer = "REPORT_UNDONE"


@dataclass(frozen=True, kw_only=True)
class SkipStation(StationCommand):
    """Skip a station ahead, or the first one before the start: the train will not stop there."""

    answer = "STATION_SKIPPED"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class UndoSkip(StationCommand):
    """Serve a station after all that was skipped or lies after an early end of the run."""

    answer = "SKIP_UNDONE"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class AddHalt(StationCommand):
    """Stop also at a station ahead that is not on the chart, as on a diversion."""

    name: StationName
    after: Annotated[
        str, About("The stop of the chart before it.", example="BWN", normal=normal.code)
    ]
    arrival: HaltTime
    departure: HaltTime
    distance_km: Annotated[
        int | None,
        About("Kilometres from the first station; null means those of the stop before.", least=0),
    ] = None
    platform: Platform | None = None

    answer = "HALT_ADDED"


@dataclass(frozen=True, kw_only=True)
class ShortTerminate(StationCommand):
    """End the run at a station before the terminus, where the train is or which is ahead."""

    reason: Note | None = None

    answer = "SHORT_TERMINATED"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class SetDelay(Command):
    """Set the train's delay."""

    delay_minutes: SetMinutes
    reason: Note | None = None

    answer = "DELAY_UPDATE"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class SetPlatform(StationCommand):
    """Set the platform of a station ahead, or of the station where the train stands."""

    platform: Platform
    confirmed: Annotated[bool, About("True if the platform is certain.")] = True

    answer = "PLATFORM_CHANGE"
    idempotent = True


MarkedAt = Annotated[
    datetime,
    About(
        "When the mark was made or undone, for a device that was offline; the hub's time if left "
        "out. It lets a mark through after the journey, and an undo only undoes an older mark.",
        example="2026-11-23T09:05:00+05:30",
    ),
]


@dataclass(frozen=True, kw_only=True)
class MarkCommand(PersonCommand):
    """A mark of one person or its undo, which may reach the hub long after it was made."""

    at: MarkedAt | None = None


@dataclass(frozen=True, kw_only=True)
class MarkBoarded(MarkCommand):
    """Mark a passenger as boarded (O), also one who was NT."""

    answer = "PASSENGER_BOARDED"


@dataclass(frozen=True, kw_only=True)
class UndoBoarded(MarkCommand):
    """Undo O: the passenger is due again."""

    answer = "BOARDED_UNDONE"


@dataclass(frozen=True, kw_only=True)
class MarkNoShow(MarkCommand):
    """Mark a passenger as not turned up (NT). The berth is free from here on."""

    answer = "NO_SHOW"


@dataclass(frozen=True, kw_only=True)
class UndoNoShow(MarkCommand):
    """Undo NT, as long as the berth is free and the chart's `undoMinutes` are not over."""

    answer = "NO_SHOW_UNDONE"


@dataclass(frozen=True, kw_only=True)
class Alight(MarkCommand):
    """Mark a passenger who has left the train early. The berth is free from here on."""

    reason: Annotated[AlightReason, About("Why.", example="MEDICAL")]

    answer = "PASSENGER_ALIGHTED"


@dataclass(frozen=True, kw_only=True)
class CheckCoach(Command):
    """Say that a coach is checked: those still due there do not hold up the turn any more."""

    coach: CoachCode

    answer = "COACH_CHECKED"
    idempotent = True


@dataclass(frozen=True, kw_only=True)
class DutyCommand(Command):
    """A command on a TTE's duty. The hub fills in the caller as `tte` if it is left out."""

    tte: (
        Annotated[
            str,
            About("The TTE's user; the caller if left out.", example="T17", normal=normal.text),
        ]
        | None
    ) = None

    idempotent = True


@dataclass(frozen=True, kw_only=True)
class BerthsCommand(Command):
    """A command on a berth, or on all berths of a coach."""

    coach: CoachCode
    berth: Annotated[
        int | None, About("The berth; without it, all berths of the coach.", least=1, example=7)
    ] = None

    idempotent = True


@dataclass(frozen=True, kw_only=True)
class SignOn(DutyCommand):
    """Make a TTE responsible for exactly these coaches, until SIGN_OFF or another TTE's SIGN_ON."""

    coaches: Annotated[
        tuple[CoachCode, ...], About("The coaches.", least=1, most=MOST_COACHES, example=["S1"])
    ]

    answer = "SIGNED_ON"


@dataclass(frozen=True, kw_only=True)
class SignOff(DutyCommand):
    """End a TTE's duty."""

    answer = "SIGNED_OFF"


@dataclass(frozen=True, kw_only=True)
class Remark(Command):
    """Write a remark into the captaincy report."""

    text: RemarkText
    coach: Annotated[CoachCode, About("The coach, if it is about one.")] | None = None

    answer = "REMARKED"


@dataclass(frozen=True, kw_only=True)
class BlockBerth(BerthsCommand):
    """Block a berth, or a coach, from here on. Its passengers are first in turn for another."""

    reason: Annotated[BlockReason, About("Why.", example="BROKEN")]

    answer = "BERTHS_BLOCKED"


@dataclass(frozen=True, kw_only=True)
class UnblockBerth(BerthsCommand):
    """Unblock a berth, or a coach: it is free from here on."""

    answer = "BERTHS_UNBLOCKED"


@dataclass(frozen=True, kw_only=True)
class AllotBerth(PersonCommand):
    """Give a vacant berth to a passenger, also out of turn. The passenger is confirmed in it."""

    coach: CoachCode
    berth: BerthNumber
    reason: Annotated[AllotReason, About("Why.", example="FAMILY")]
    note: Note | None = None

    answer = "BERTH_ALLOTTED"


@dataclass(frozen=True, kw_only=True)
class SwapBerths(PersonCommand):
    """Exchange the berths of two passengers. Both are confirmed, or both are on RAC."""

    other_pnr: PersonPnr
    other_index: PersonPlace
    note: Note | None = None

    answer = "BERTH_ALLOTTED"
    idempotent = False


@dataclass(frozen=True, kw_only=True)
class CancelJourney(PersonCommand):
    """Cancel the journey of a passenger who has not boarded."""

    answer = "PASSENGER_CANCELLED"


@dataclass(frozen=True, kw_only=True)
class ChangeBoarding(PersonCommand):
    """Change where a passenger boards: once, to one of the next three stations."""

    station_code: StopCode

    answer = "BOARDING_CHANGED"


class MarkKind(StrEnum):
    """What a TTE marks."""

    BOARDED = "BOARDED"
    NO_SHOW = "NO_SHOW"
    UNDO_BOARDED = "UNDO_BOARDED"
    UNDO_NO_SHOW = "UNDO_NO_SHOW"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A mark of a batch."""

    mark: MarkKind
    pnr: PersonPnr
    index: PersonPlace
    at: MarkedAt | None = None


@dataclass(frozen=True, kw_only=True)
class Batch(Command):
    """Make many marks in one message. Each is accepted or refused by itself."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class AcceptOffer(OfferCommand):
    """Accept an offer: the passenger gets the berth."""

    answer = "UPGRADE_CONFIRMED"


@dataclass(frozen=True, kw_only=True)
class DenyOffer(OfferCommand):
    """Deny an offer: the hub asks the next passenger."""

    answer = "UPGRADE_CLOSED"


@dataclass(frozen=True, kw_only=True)
class ApproveOffer(OfferCommand):
    """Approve an offer under policy APPROVAL: the passenger gets the berth."""

    answer = "UPGRADE_CONFIRMED"


@dataclass(frozen=True, kw_only=True)
class WithdrawOffer(OfferCommand):
    """Withdraw an offer."""

    answer = "UPGRADE_CLOSED"


class To(StrEnum):
    """The audience of an announcement. USER needs `user`."""

    EVERYONE = "EVERYONE"
    STAFF = "STAFF"
    USER = "USER"


@dataclass(frozen=True, kw_only=True)
class Announce(Command):
    """Send an announcement to everyone on the run, to the staff, or to one passenger."""

    text: Annotated[str, About("What to announce.", example="Tea is served in S1.")]
    level: Level = Level.INFO
    to: To = To.EVERYONE
    user: (
        Annotated[
            str, About("The passenger's irctcId; with `to: USER`, and only then.", example="IR_10")
        ]
        | None
    ) = None

    answer = "ANNOUNCEMENT"


@dataclass(frozen=True, kw_only=True)
class ExpireOffers(Command):
    """Close the offers whose time is over. Only the hub's own timer gives this command."""


@dataclass(frozen=True, kw_only=True)
class CloseRun(Command):
    """Close a run whose end was never reported. Only the hub's own timer gives this command."""


@dataclass(frozen=True, kw_only=True)
class AcknowledgeOffer(OfferCommand):
    """Note that an offer has arrived on a device. The hub gives this command upon an ACK."""


@dataclass(frozen=True, kw_only=True)
class CorrectClock(Command):
    """Tell the run that the hub's clock was set. Only the hub itself gives this command."""

    by_seconds: int


COMMANDS: dict[str, type[Command]] = {
    "REGISTER_TRAIN": RegisterTrain,
    "AMEND_CHART": AmendChart,
    "START_JOURNEY": StartJourney,
    "CANCEL_TRAIN": CancelTrain,
    "REINSTATE_TRAIN": ReinstateTrain,
    "ARRIVE": Arrive,
    "DEPART": Depart,
    "UNDO_REPORT": UndoReport,
    "SKIP_STATION": SkipStation,
    "UNDO_SKIP": UndoSkip,
    "ADD_HALT": AddHalt,
    "SHORT_TERMINATE": ShortTerminate,
    "SET_DELAY": SetDelay,
    "SET_PLATFORM": SetPlatform,
    "MARK_BOARDED": MarkBoarded,
    "MARK_NO_SHOW": MarkNoShow,
    "UNDO_BOARDED": UndoBoarded,
    "UNDO_NO_SHOW": UndoNoShow,
    "ALIGHT": Alight,
    "CHECK_COACH": CheckCoach,
    "SIGN_ON": SignOn,
    "SIGN_OFF": SignOff,
    "REMARK": Remark,
    "BLOCK_BERTH": BlockBerth,
    "UNBLOCK_BERTH": UnblockBerth,
    "ALLOT_BERTH": AllotBerth,
    "SWAP_BERTHS": SwapBerths,
    "CANCEL_JOURNEY": CancelJourney,
    "CHANGE_BOARDING": ChangeBoarding,
    "ACCEPT_OFFER": AcceptOffer,
    "DENY_OFFER": DenyOffer,
    "APPROVE_OFFER": ApproveOffer,
    "WITHDRAW_OFFER": WithdrawOffer,
    "ANNOUNCE": Announce,
    "BATCH": Batch,
}
MARKS: dict[MarkKind, type[MarkCommand]] = {
    MarkKind.BOARDED: MarkBoarded,
    MarkKind.NO_SHOW: MarkNoShow,
    MarkKind.UNDO_BOARDED: UndoBoarded,
    MarkKind.UNDO_NO_SHOW: UndoNoShow,
}
