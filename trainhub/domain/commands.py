"""What somebody asks of a run, as values. `COMMANDS` is the table of them by message type.

Each names its train; without `start_date` it is the run that is meant (which_run.py).
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from trainhub.domain.model import Chart, Level


@dataclass(frozen=True, kw_only=True)
class Command:
    train_no: str
    start_date: date | None = None


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A line of a chart that was left out: its number in the list or file, and why."""

    line: int
    pnr: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RegisterTrain(Command):
    chart: Chart
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StartJourney(Command):
    pass


@dataclass(frozen=True, kw_only=True)
class Arrive(Command):
    station_code: str
    at: datetime | None = None
    platform: str | None = None


@dataclass(frozen=True, kw_only=True)
class Depart(Command):
    station_code: str
    at: datetime | None = None
    platform: str | None = None


@dataclass(frozen=True, kw_only=True)
class SkipStation(Command):
    station_code: str


@dataclass(frozen=True, kw_only=True)
class SetDelay(Command):
    delay_minutes: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class SetPlatform(Command):
    station_code: str
    platform: str
    confirmed: bool = True


@dataclass(frozen=True, kw_only=True)
class CancelTrain(Command):
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class PersonCommand(Command):
    """A command on one person: the index-th on a PNR."""

    pnr: str
    index: int


@dataclass(frozen=True, kw_only=True)
class MarkBoarded(PersonCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class MarkNoShow(PersonCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class UndoNoShow(PersonCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class CancelJourney(PersonCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class ChangeBoarding(PersonCommand):
    station_code: str


class MarkKind(StrEnum):
    BOARDED = "BOARDED"
    NO_SHOW = "NO_SHOW"
    UNDO_NO_SHOW = "UNDO_NO_SHOW"


@dataclass(frozen=True, kw_only=True)
class Mark:
    mark: MarkKind
    pnr: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Batch(Command):
    """Many marks in one message; each is taken, or refused, by itself."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class OfferCommand(Command):
    """A command on an offer, whose id names its run too."""

    offer_id: str


@dataclass(frozen=True, kw_only=True)
class AcceptOffer(OfferCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class DenyOffer(OfferCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class ApproveOffer(OfferCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class WithdrawOffer(OfferCommand):
    pass


@dataclass(frozen=True, kw_only=True)
class ExpireOffers(Command):
    """Closes the offers whose time is over; the hub's own timer gives it, nobody else."""


@dataclass(frozen=True, kw_only=True)
class AcknowledgeOffer(OfferCommand):
    """Notes that an offer has arrived on a device; the hub gives it when an app says so (ACK)."""


@dataclass(frozen=True, kw_only=True)
class CorrectClock(Command):
    """Tell the run that the hub's clock was set; only the hub itself gives this command."""

    by_seconds: int


class To(StrEnum):
    """Whom an announcement is for."""

    EVERYONE = "EVERYONE"
    STAFF = "STAFF"
    USER = "USER"


@dataclass(frozen=True, kw_only=True)
class Announce(Command):
    """`user` (an irctcId) is named with `to: USER`, and only then."""

    text: str
    level: Level = Level.INFO
    to: To = To.EVERYONE
    user: str | None = None


COMMANDS: dict[str, type[Command]] = {
    "REGISTER_TRAIN": RegisterTrain,
    "START_JOURNEY": StartJourney,
    "CANCEL_TRAIN": CancelTrain,
    "ARRIVE": Arrive,
    "DEPART": Depart,
    "SKIP_STATION": SkipStation,
    "SET_DELAY": SetDelay,
    "SET_PLATFORM": SetPlatform,
    "MARK_BOARDED": MarkBoarded,
    "MARK_NO_SHOW": MarkNoShow,
    "UNDO_NO_SHOW": UndoNoShow,
    "CANCEL_JOURNEY": CancelJourney,
    "CHANGE_BOARDING": ChangeBoarding,
    "ACCEPT_OFFER": AcceptOffer,
    "DENY_OFFER": DenyOffer,
    "APPROVE_OFFER": ApproveOffer,
    "WITHDRAW_OFFER": WithdrawOffer,
    "ANNOUNCE": Announce,
    "BATCH": Batch,
}
MARKS: dict[MarkKind, type[PersonCommand]] = {
    MarkKind.BOARDED: MarkBoarded,
    MarkKind.NO_SHOW: MarkNoShow,
    MarkKind.UNDO_NO_SHOW: UndoNoShow,
}
