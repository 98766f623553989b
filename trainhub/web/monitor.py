"""The figures of the monitor page, and a watchdog's questions: alive, ready, which version."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trainhub import __version__
from trainhub.core.codec import dump
from trainhub.core.errors import Unavailable
from trainhub.core.follower import Follower
from trainhub.core.notifications import Channel, Notifications
from trainhub.core.wire import encode
from trainhub.core.write_buffer import WriteBuffer
from trainhub.hub.figures import (
    AuditFigures,
    ChannelFigures,
    ClientFigures,
    HubFigures,
    Loop,
    NotificationFigures,
    Readiness,
    WriteBufferFigures,
)
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import moment_text
from trainhub.process.health import Health
from trainhub.process.loop_watch import LoopWatch
from trainhub.process.timers import Timers
from trainhub.web.base import Api, Edge, Web
from trainhub.web.shared import SharedBody
from trainhub.web.websocket import TrainSocket

# Seconds for which all clients get the same report.
REPORT_SECONDS = 0.9
# The page may load only its own script, style, pictures and figures.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; "
    "base-uri 'none'"
)


@dataclass(frozen=True)
class Parts:
    """The parts of the hub that a report reads."""

    hub: Hub
    queues: Mapping[Channel, Notifications]
    write_buffer: WriteBuffer
    followers: Sequence[Follower]
    health: Health
    timers: Timers
    demo: bool
    loop: LoopWatch = field(default_factory=LoopWatch)


class Monitor:
    """The hub's report: figures only, and no person's name."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._web: Web | None = None
        self._started = time.monotonic()
        self.report = SharedBody(self._encoded, self._made_at)
        self._fresh_since = -REPORT_SECONDS
        parts.hub.fleet.hub_figures = self.figures

    def watch(self, web: Web) -> None:
        """Include this edge in the report."""
        self._web = web

    def _made_at(self) -> float:
        """Return the time of the report, which changes at most once in REPORT_SECONDS."""
        now = time.monotonic()
        if now - self._fresh_since >= REPORT_SECONDS:
            self._fresh_since = now
        return self._fresh_since

    def readiness(self) -> Readiness:
        """Return what is degraded, and the figures behind that.

        `timers` has the seconds since each timer last finished a call. `late` has the seconds that
        the oldest record waits for each reader of the log.
        """
        parts = self._parts
        timers = {name: round(ago, 1) for name, ago in parts.timers.last_runs().items()}
        late = {each.shown: round(each.late.seconds, 1) for each in parts.followers}
        return {
            "degraded": parts.health.complaints(),
            "timers": timers,
            "late": late,
            "loop": self._loop(),
        }

    async def _encoded(self) -> bytes:
        lines = await self._parts.hub.fleet.encoded()
        return b'%b,"trains":[%b]}' % (encode(self.figures())[:-1], b",".join(lines))

    def figures(self) -> HubFigures:
        """Return the hub's figures as they are now."""
        parts, hub = self._parts, self._parts.hub
        return {
            "version": __version__,
            "serverTime": moment_text(datetime.now(UTC)),
            "hubTime": dump(hub.now().replace(microsecond=0)),
            "uptimeSeconds": round(time.monotonic() - self._started, 1),
            "epoch": hub.epoch,
            "demo": parts.demo,
            "sockets": len(TrainSocket.sockets),
            "notifications": self._notifications(),
            "writeBuffer": self._write_buffer(),
            "journal": {
                "records": hub.log.last,
                "bytes": hub.log.size,
                "limit": hub.log.limit,
                "lastCommitMillis": round(hub.log.last_commit_seconds * 1000, 2),
            },
            "audit": self._audit(),
            "loop": self._loop(),
            "clients": self._clients(),
            "degraded": parts.health.complaints(),
        }

    def _behind(self, name: str) -> int:
        (follower,) = (each for each in self._parts.followers if each.name == name)
        return follower.reader.behind

    def _loop(self) -> Loop:
        loop = self._parts.loop
        return {"held": loop.held, "longestMillis": round(loop.longest * 1000, 1)}

    def _notifications(self) -> NotificationFigures:
        queues = self._parts.queues.values()
        return {
            "depth": sum(each.depth for each in queues),
            "capacity": sum(each.capacity for each in queues),
            "sent": sum(each.sent for each in queues),
            "failed": sum(each.failed for each in queues),
            "retried": sum(each.retried for each in queues),
            "setAside": sum(each.set_aside for each in queues),
            "failing": next((said for each in queues for said in each.complaints()), None),
            "behind": max(
                each.reader.behind
                for each in self._parts.followers
                if each.shown.upper() in self._parts.queues
            ),
            "channels": {
                channel.value: _channel(queue) for channel, queue in self._parts.queues.items()
            },
        }

    def _write_buffer(self) -> WriteBufferFigures:
        buffer = self._parts.write_buffer
        last = buffer.last_flush
        return {
            "depth": buffer.depth,
            "capacity": buffer.capacity,
            "flushed": buffer.flushed,
            "lastFlush": None
            if last is None
            else {
                "at": moment_text(datetime.fromtimestamp(last.at, UTC)),
                "documents": last.documents,
                "millis": round(last.seconds * 1000, 1),
            },
            "refused": buffer.refused,
            "failing": next(iter(buffer.complaints()), None),
            "behind": self._behind("flushed"),
            "refills": buffer.refills,
        }

    def _audit(self) -> AuditFigures:
        audit = self._parts.hub.audit
        return {
            "refusals": audit.kept,
            "leftOut": audit.left_out,
            "unidentified": audit.unidentified,
        }

    def _clients(self) -> ClientFigures:
        assert self._web is not None
        held, askers = self._web.held, self._web.askers
        return {
            "heldBytes": held.total,
            "heldLimit": held.most,
            "cutOff": held.cut_off,
            "tooOften": askers.refused,
        }


def _channel(queue: Notifications) -> ChannelFigures:
    return {
        "depth": queue.depth,
        "sentLastMinute": queue.rate,
        "oldestSeconds": queue.oldest_seconds,
        "sent": queue.sent,
        "cancelled": queue.cancelled,
        "expired": queue.expired,
        "failed": queue.failed,
        "refused": queue.refused,
        "lastError": queue.last_error or None,
    }


class MonitorHandler(Api):
    def initialize(self, web: Web, monitor: Monitor) -> None:  # type: ignore[override]
        super().initialize(web)
        self._monitor = monitor

    async def get(self) -> None:
        await self.send_shared(await self._monitor.report.get())


class ReadyHandler(MonitorHandler):
    """200 with what is degraded while the hub serves clients, 503 before that and when it stops."""

    def admit(self) -> None:
        self.hub.check()
        if self.web.drain.begun:
            raise Unavailable("the hub is stopping: try again in a moment")

    async def get(self) -> None:
        self.send_json({"ready": True, **self._monitor.readiness()})


class HealthHandler(Api):
    """200 as long as the process answers. Nothing else is checked, and no rate is limited."""

    def admit(self) -> None:
        pass

    def get(self) -> None:
        self.send_json({"ok": True})


class VersionHandler(HealthHandler):
    def admit(self) -> None:
        self.count()

    def get(self) -> None:
        self.send_json({"version": __version__})


class PageHandler(Edge):
    """A page, or the service worker of one, at an address outside /static/."""

    def initialize(self, web: Web, pages: Mapping[str, bytes]) -> None:
        self.web = web
        self._pages = pages

    def prepare(self) -> None:
        self.count()
        self.compress()

    def get(self) -> None:
        name = self.request.path.lstrip("/") or "monitor.html"
        kind = "text/javascript" if name.endswith(".js") else "text/html"
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Content-Security-Policy", PAGE_POLICY)
        self.finish(self._pages[name])
