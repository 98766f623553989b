"""The hub's figures, field by field: what the monitor page and a watchdog read. No person."""

from typing import Annotated, Any, Literal, TypedDict

from trainhub.core.about import About, Joined
from trainhub.domain.fields import Moment
from trainhub.domain.shapes import Count, Summary

Epoch = Annotated[
    str, About("The name of the run's history. Keep it with the last seq.", example="9f2c6a1e")
]
RunKeyText = Annotated[str, About("The run's key.", example="12345/2026-11-23")]
Seconds = Annotated[float, About(least=0, example=0.4)]
Millis = Annotated[float, About(least=0, example=2.5)]
Failing = Annotated[str | None, About("What fails at present, in a sentence.")]
Behind = Annotated[int, About("Records of the journal that wait for it.", least=0, example=0)]
Degraded = Annotated[list[str], About("What does not work at present, a sentence for each fault.")]


Sockets = Annotated[int, About(least=0, example=2)]


class SocketCounts(TypedDict):
    """The sockets in a room, by role."""

    total: Annotated[int, About("All sockets.", least=0, example=8)]
    passengers: Sockets
    ttes: Sockets
    admins: Sockets
    others: Sockets


class Loop(TypedDict):
    """The turns of the hub's event loop. All clients wait while one lasts."""

    held: Annotated[int, About("Turns of over 20 ms since the start.", least=0, example=3)]
    longestMillis: Annotated[
        float, About("The longest of them within the last minute.", least=0, example=31.5)
    ]


class ChannelFigures(TypedDict):
    """The queue of one channel."""

    depth: Annotated[int, About("Letters that wait.", least=0, example=4)]
    sentLastMinute: Count
    oldestSeconds: Annotated[
        float | None, About("The age of the oldest letter that waits; null if none does.", least=0)
    ]
    sent: Count
    cancelled: Annotated[
        int, About("Not sent, as a device acknowledged the event first.", least=0, example=12)
    ]
    expired: Count
    failed: Count
    refused: Annotated[int, About("Not taken, as the queue was full.", least=0, example=0)]
    lastError: Annotated[str | None, About("The last failure, in words that name no person.")]


class NotificationFigures(TypedDict):
    """Push notifications and e-mails."""

    depth: Annotated[int, About("Letters that wait.", least=0, example=4)]
    capacity: Count
    sent: Count
    failed: Annotated[
        int, About("Given up since the start. Each is kept as a dead letter.", least=0, example=1)
    ]
    retried: Annotated[
        int, About("Tries that failed and are followed by another one.", least=0, example=2)
    ]
    setAside: Annotated[
        int, About("Kept in a file after long failure, and tried again.", least=0, example=0)
    ]
    failing: Failing
    behind: Behind
    channels: Annotated[dict[str, ChannelFigures], About("Each channel by its name.")]


class Flush(TypedDict):
    """A bulk write to MongoDB."""

    at: Moment
    documents: Count
    millis: Millis


class WriteBufferFigures(TypedDict):
    """What is on its way to MongoDB."""

    depth: Annotated[int, About("Documents that wait.", least=0, example=40)]
    capacity: Count
    flushed: Count
    lastFlush: Flush | None
    refused: Annotated[int, About("Documents that MongoDB refused.", least=0, example=0)]
    failing: Failing
    behind: Behind
    refills: Annotated[
        int,
        About("Times that MongoDB was written again from the journal.", least=0, example=0),
    ]


class JournalFigures(TypedDict):
    """The journal on disk."""

    records: Count
    bytes: Count
    limit: Annotated[int, About("Bytes at which the hub takes no more.", least=0, example=1 << 30)]
    lastCommitMillis: Millis


class AuditFigures(TypedDict):
    """Refused commands since the start."""

    refusals: Annotated[int, About("In the audit trail.", least=0, example=5)]
    leftOut: Annotated[int, About("Not in it, as there were too many.", least=0, example=0)]
    unidentified: Annotated[
        int, About("Of clients without a token, which are only counted.", least=0, example=2)
    ]


class ClientFigures(TypedDict):
    """What clients cost the hub, beyond their commands."""

    heldBytes: Annotated[
        int, About("Bytes that clients have not read, or not sent to the end.", least=0, example=0)
    ]
    heldLimit: Annotated[
        int, About("Above it the connections furthest behind are closed.", least=0, example=1 << 27)
    ]
    cutOff: Annotated[int, About("Connections that were closed so.", least=0, example=0)]
    tooOften: Annotated[
        int, About("HTTP requests that were refused with RATE_LIMITED.", least=0, example=0)
    ]


class RunFigures(Summary):
    """A run in a few fields, with its passengers and sockets as figures."""

    run: RunKeyText
    reportDue: Annotated[
        Moment | None,
        About("When the next departure or arrival should be reported; null once the run is over."),
    ]
    booked: Count
    aboard: Count
    noShow: Count
    sockets: SocketCounts


class HubFigures(TypedDict):
    """The hub's figures, without its runs."""

    version: Annotated[str, About("The hub's version.", example="0.1.0")]
    serverTime: Moment
    hubTime: Annotated[Moment, About("The time by which the hub goes; the demo runs faster.")]
    uptimeSeconds: Seconds
    epoch: Epoch
    demo: bool
    sockets: Count
    notifications: NotificationFigures
    writeBuffer: WriteBufferFigures
    journal: JournalFigures
    audit: AuditFigures
    loop: Loop
    clients: ClientFigures
    degraded: Degraded


HubNews = Annotated[
    dict[str, Any],
    Joined((HubFigures,), always=()),
    About("Those of the hub's figures that are new."),
]
RunNews = Annotated[
    dict[str, Any],
    Joined((RunFigures,), always=("run",)),
    About("A run, with those of its figures that are new."),
]


class MonitorFigures(HubFigures):
    """The hub's figures. No person is in them."""

    trains: list[RunFigures]


class Readiness(TypedDict):
    """What is degraded, and the figures by which that is judged."""

    degraded: Degraded
    timers: Annotated[dict[str, Seconds], About("Seconds since each timer last finished a call.")]
    late: Annotated[
        dict[str, Seconds],
        About("Seconds that the oldest record waits for each reader of the journal."),
    ]
    loop: Loop


class Ready(Readiness):
    """The hub has loaded its runs and charts."""

    ready: Literal[True]


class Alive(TypedDict):
    """The process answers."""

    ok: Literal[True]


class Version(TypedDict):
    """The hub's version."""

    version: Annotated[str, About(example="0.1.0")]
