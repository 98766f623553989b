"""What somebody asks of a run, as values. `COMMANDS` is the table of them by message type.

Each names its train; `start_date` may be left out where only one run of it is in service.
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
    "ARRIVE": Arrive,
    "DEPART": Depart,
    "MARK_BOARDED": MarkBoarded,
    "MARK_NO_SHOW": MarkNoShow,
    "UNDO_NO_SHOW": UndoNoShow,
    "ANNOUNCE": Announce,
}
