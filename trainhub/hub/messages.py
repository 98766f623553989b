"""The messages of the hub apart from events: answers, figures and results."""

from typing import Annotated, Final, Literal, NotRequired, TypedDict

from trainhub.core import errors as core_errors
from trainhub.core.about import About
from trainhub.core.answers import LONGEST_KEY
from trainhub.core.codec import LARGEST_INT
from trainhub.core.wire import LONGEST_ID
from trainhub.domain import errors
from trainhub.domain.commands import MarkKind, PersonPlace, PersonPnr, Rejected, Warned
from trainhub.domain.fields import (
    BerthNumber,
    CoachCode,
    Moment,
    PersonName,
    Seq,
    StartDate,
    StationCode,
    TrainNo,
    UserId,
)
from trainhub.domain.model import OfferState, PersonState, Role, RunStatus
from trainhub.domain.shapes import Figures, Leg, RunView
from trainhub.hub.figures import Epoch, HubNews, RunKeyText, RunNews, SocketCounts

PROTOCOL_VERSION: Final = 1

MessageId = Annotated[
    Annotated[str, About(pattern=f".{{0,{LONGEST_ID}}}")]
    | Annotated[int, About(least=-LARGEST_INT, most=LARGEST_INT)],
    About("Your own id of a message. Its answer has the same one.", example=7),
]
IdempotencyKey = Annotated[
    str,
    About(
        "An idempotency key of your choice. A repeat within 24 hours gets the first answer and has "
        "no second effect.",
        pattern=f"[ -~]{{1,{LONGEST_KEY}}}",
        example="a7",
    ),
]
RetryAfterMs = Annotated[
    int, About("Milliseconds to wait before the next try.", least=0, example=3000)
]
Trains = Annotated[
    list[str], About('Train numbers, runs like 12345/2026-11-23, or "*".', example=["12345"])
]


# Code → class of each error of the protocol.
CODES: dict[str, type[core_errors.HubError]] = {
    cls.code: cls
    for module in (core_errors, errors)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, core_errors.HubError) and "code" in vars(cls)
}
ErrorCode = Annotated[
    str, About("What is wrong, for a program.", choices=tuple(CODES), example="CONFLICT")
]


class PresenceFigure(TypedDict):
    """The TTEs and sockets of a run."""

    ttes: Annotated[int, About("TTEs online, each counted once.", least=0, example=2)]
    sockets: SocketCounts


class RunFields(TypedDict):
    """The run that a message is about."""

    trainNo: TrainNo
    startDate: StartDate


class Marked(TypedDict):
    """A passenger with a mark."""

    pnr: PersonPnr
    index: PersonPlace


class Upgraded(Marked):
    """A passenger with a new berth."""

    coach: CoachCode
    berth: BerthNumber


class Holder(Leg):
    """A passenger who has a berth, and for which way."""

    pnr: PersonPnr
    index: PersonPlace
    name: PersonName


class ErrorDetails(TypedDict, total=False):
    """More about an error, for programs. The code decides which fields are there."""

    next: Annotated[StationCode, About("CONFLICT: the station whose turn it is.")]
    status: RunStatus
    state: PersonState
    seq: Seq
    berth: Annotated[str, About("CONFLICT: the berth that another passenger has.", example="S1-15")]
    holders: Annotated[list[Holder], About("CONFLICT: the passengers who have the berth.")]
    last: Annotated[StationCode, About("CONFLICT: the station of the last report.")]
    upgraded: Annotated[
        list[Upgraded], About("CONFLICT: the passengers who were upgraded since the report.")
    ]
    marked: Annotated[
        list[Marked], About("CONFLICT: the passengers who were marked since the report.")
    ]
    boardsAt: StationCode
    markedBy: Annotated[UserId | None, About("CONFLICT: who made the mark that stands.")]
    markedAt: Annotated[Moment | None, About("CONFLICT: when that mark was made.")]
    rejected: Annotated[
        list[Rejected], About("BAD_MESSAGE: the lines of a chart that do not load, and why.")
    ]
    outcome: OfferState
    stations: Annotated[list[StationCode], About("The stations that would do.")]
    startDates: Annotated[list[StartDate], About("AMBIGUOUS_RUN: the dates to choose from.")]
    runs: Annotated[
        list[RunFields],
        About("AMBIGUOUS_RUN: the runs to choose from, if the number runs twice on a date."),
    ]


class ErrorFields(TypedDict):
    """What was wrong. A command that failed has changed nothing."""

    code: ErrorCode
    message: Annotated[
        str, About("What is wrong and what to do.", example="the next station is BWN, not BHP")
    ]
    details: NotRequired[ErrorDetails]
    retryAfterMs: NotRequired[RetryAfterMs]


class Answered(TypedDict):
    """An answer has the id of its message, if that had one."""

    id: NotRequired[MessageId]


class Welcome(TypedDict):
    """The first message on a connection."""

    type: Literal["WELCOME"]
    clientId: Annotated[str, About("The socket's name in the hub's log.", example="3f0c9d2b7a61e8")]
    protocol: Literal[1]
    serverTime: Moment
    heartbeatSeconds: Annotated[
        int,
        About(
            "The hub pings at this interval. It closes a socket that is silent for two.",
            least=1,
            example=25,
        ),
    ]


class Goodbye(TypedDict):
    """The last message before a planned close."""

    type: Literal["GOODBYE"]
    reason: Annotated[str, About("Why the hub closes.", example="the hub is stopping")]
    retryAfterMs: RetryAfterMs


class Identified(Answered):
    """The hub has accepted your token."""

    type: Literal["IDENTIFIED"]
    role: Role
    user: UserId
    trains: Trains
    expiresAt: NotRequired[
        Annotated[
            Moment,
            About(
                "When the token ends. Half a minute later the hub closes the socket with 4403, "
                "unless you identify with another token."
            ),
        ]
    ]


class LoggedOut(Answered):
    """You have no token now."""

    type: Literal["LOGGED_OUT"]


class Subscribed(Answered, RunFields):
    """The socket is in the run's room."""

    type: Literal["SUBSCRIBED"]
    epoch: Epoch
    seq: Seq
    recovered: Annotated[
        bool,
        About(
            "True: exactly the events that you missed follow. False: a SNAPSHOT follows, which "
            "replaces everything before."
        ),
    ]


class Unsubscribed(Answered, RunFields):
    """The socket is not in the run's room."""

    type: Literal["UNSUBSCRIBED"]


class FleetSubscribed(Answered):
    """FLEET comes from now on, and the first one has all."""

    type: Literal["FLEET_SUBSCRIBED"]


class FleetUnsubscribed(Answered):
    """FLEET comes no more."""

    type: Literal["FLEET_UNSUBSCRIBED"]


class Pong(Answered):
    """The hub is there."""

    type: Literal["PONG"]
    serverTime: Moment


class Done(Answered):
    """The command's events are on disk."""

    type: Literal["DONE"]
    result: Annotated[dict[str, object], About("The run's seq, and what happened.")]


class Error(Answered, ErrorFields):
    """What was wrong with a message. The message has changed nothing, and the socket stays open."""

    type: Literal["ERROR"]


class Snapshot(RunFields):
    """The run as you may see it, at `seq`."""

    type: Literal["SNAPSHOT"]
    epoch: Epoch
    seq: Seq
    run: RunView


class BoardingUpdate(RunFields):
    """The newest figures of a run: on subscribing, and at most once a second after changes."""

    type: Literal["BOARDING_UPDATE"]
    data: Figures


class PresenceUpdate(RunFields):
    """The sockets of a run, for its staff: at most once a second after changes."""

    type: Literal["PRESENCE"]
    data: PresenceFigure


class Fleet(TypedDict):
    """What is new in the figures of the hub and of all runs since the FLEET before it.

    It comes at most once a second. A client that reads slowly gets fewer of them, and each has all
    that is new since the one before.
    """

    type: Literal["FLEET"]
    whole: Annotated[bool, About("True: this has all, and replaces everything before.")]
    hub: HubNews
    trains: list[RunNews]
    gone: Annotated[list[RunKeyText], About("The runs that have left the hub.", example=[])]


class NextRun(RunFields):
    """The train number means another, later run by now: `data`.

    It comes once for each later run, to clients that subscribed without a date. You stay in the
    room that you are in.
    """

    type: Literal["NEXT_RUN"]
    data: RunFields


MESSAGES = (
    *(Welcome, Goodbye, Identified, LoggedOut, Subscribed, Unsubscribed, Pong, Done, Error),
    *(Snapshot, BoardingUpdate, PresenceUpdate, NextRun, FleetSubscribed, FleetUnsubscribed, Fleet),
)


class Result(RunFields):
    """What a command has brought about."""

    seq: Annotated[Seq, About("The seq of the run's last event.")]


class Unchanged(Result):
    """The run was so already. Nothing has changed."""

    unchanged: Literal[True]


class Registered(Result):
    """The run is loaded."""

    stations: Annotated[int, About("The number of stations.", least=2, example=12)]
    passengers: Annotated[int, About("The number of passengers.", least=0, example=1700)]
    rejected: Annotated[list[Rejected], About("The passengers who were left out.")]
    warnings: Annotated[list[Warned], About("What was not used of the lines that load.")]


class MarkRefused(TypedDict):
    """A mark that was refused. The other marks are not affected."""

    mark: MarkKind
    pnr: PersonPnr
    index: PersonPlace
    error: ErrorFields


class MarkDone(TypedDict):
    """A mark that was accepted."""

    mark: MarkKind
    pnr: PersonPnr
    index: PersonPlace
    result: Annotated[dict[str, object], About("As the answer to the mark's own command.")]


class BatchDone(TypedDict):
    """Each mark, in the order of the message."""

    marks: list[MarkDone | MarkRefused]


class Me(TypedDict):
    """Who your token says you are."""

    user: UserId
    role: Role
    trains: Trains


class AuditEntry(TypedDict):
    """A command, who gave it, and what became of it."""

    id: Annotated[
        str,
        About("Ids are ordered by time.", example="2026-11-23T11:35:12.000Z/9f2c6a1e/12345/17"),
    ]
    at: Moment
    user: Annotated[str, About("The user who gave the command.", example="T17")]
    role: Role
    address: Annotated[
        str | None,
        About("The client's address; null for the hub's own commands.", example="10.0.0.7"),
    ]
    command: Annotated[
        str, About("The command's type, or CLOSE_CONNECTION.", example="MARK_NO_SHOW")
    ]
    run: Annotated[
        str | None,
        About(
            "The run; null if a refused command named no run that is here.",
            example="12345/2026-11-23",
        ),
    ]
    about: Annotated[
        str | None,
        About(
            "The PNR and index, the offer, the station, user or connection that it named.",
            example="4512345602/1",
        ),
    ]
    seq: Annotated[int | None, About("The command's first event; null without one.", example=17)]
    result: Annotated[str, About("DONE, or the error's code.", example="DONE")]
