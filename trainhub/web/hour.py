"""The hub's figures of the last hour, for the charts of the monitor page. No person is in them."""

import os
import resource
import sys
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypedDict

from trainhub.core.about import About
from trainhub.core.wire import encode
from trainhub.domain.fields import Moment
from trainhub.domain.shapes import Count
from trainhub.hub.figures import SocketCounts
from trainhub.hub.train_rooms import socket_counts
from trainhub.web.base import Api, Web
from trainhub.web.monitor import Monitor
from trainhub.web.shared import SharedBody
from trainhub.web.websocket import TrainSocket

# Seconds between two samples.
SAMPLE_SECONDS = 10
# Samples of an hour.
MOST_SAMPLES = 3600 // SAMPLE_SECONDS


class Sample(TypedDict):
    """The figures of a moment. Those that count go on from the hub's start."""

    at: Moment
    sockets: SocketCounts
    rooms: Annotated[int, About("Runs that a socket follows.", least=0, example=36)]
    records: Annotated[int, About("Records in the journal so far.", least=0, example=3505)]
    sent: Annotated[int, About("Notifications sent so far.", least=0, example=949)]
    commitMillis: Annotated[float, About("The last commit to the journal.", least=0)]
    flushMillis: Annotated[float, About("The last bulk write to MongoDB.", least=0)]
    loopMillis: Annotated[
        float, About("The longest turn of the loop over 20 ms within the last minute.", least=0)
    ]
    memoryBytes: Count


class LastHour(TypedDict):
    """The samples of the last hour, the oldest first."""

    seconds: Annotated[int, About("Seconds between two samples.", least=1, example=10)]
    samples: list[Sample]


class Hour:
    """The samples of the last hour, one for each call of `take`."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self.answer = SharedBody(self._encoded, lambda: self._samples and self._samples[-1]["at"])

    def take(self) -> None:
        figures = self._monitor.figures()
        flush = figures["writeBuffer"]["lastFlush"]
        roles: Counter[str | None] = Counter(each.identity.role for each in TrainSocket.sockets)
        self._samples.append(
            {
                "at": figures["serverTime"],
                "sockets": socket_counts(roles),
                "rooms": len(TrainSocket.rooms),
                "records": figures["journal"]["records"],
                "sent": figures["notifications"]["sent"],
                "commitMillis": figures["journal"]["lastCommitMillis"],
                "flushMillis": 0.0 if flush is None else flush["millis"],
                "loopMillis": figures["loop"]["longestMillis"],
                "memoryBytes": memory_bytes(),
            }
        )

    async def _encoded(self) -> bytes:
        hour: LastHour = {"seconds": SAMPLE_SECONDS, "samples": list(self._samples)}
        return encode({"result": hour})


def memory_bytes() -> int:
    """Return the memory of this process; where the system does not tell it, the most so far."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class HourHandler(Api):
    """For the monitor page, which asks every few seconds."""

    def initialize(self, web: Web, hour: Hour) -> None:  # type: ignore[override]
        super().initialize(web)
        self._hour = hour

    async def get(self) -> None:
        await self.send_shared(await self._hour.answer.get())
