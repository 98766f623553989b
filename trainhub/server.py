"""The composition root: builds the hub, starts its timers, and stops it all in order."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tornado.netutil import bind_sockets

from trainhub import admin, demo, diagnostics, letters
from trainhub.adapters.data_folder import BadDataFolder, DataFolder
from trainhub.adapters.dead_letters import DeadLetters
from trainhub.adapters.embedded_mongod import EmbeddedMongod, MongodFailed, MongodMissing
from trainhub.adapters.mongo import BadUri, MongoStore
from trainhub.adapters.outbox import Outbox
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.charts import load_charts
from trainhub.documents import INDEXES, LASTING, UNIQUE, changes
from trainhub.domain.errors import Unavailable
from trainhub.domain.model import Role
from trainhub.health import Health
from trainhub.hub import Clock, Hub
from trainhub.identity import ALL_TRAINS, Identity, Tokens, TrustFiles
from trainhub.journal import Batch, JournalFailed, Place, Record
from trainhub.keys import BadKeys
from trainhub.log import Reader
from trainhub.notifications import Job, Notifications
from trainhub.rooms import Rooms
from trainhub.settings import BadSettings, Settings, read_settings
from trainhub.timers import PATIENCE_SECONDS, Call, Timers
from trainhub.timetable import TimetableError
from trainhub.web.app import make_app, make_server
from trainhub.web.base import Web
from trainhub.web.door import Door, raise_file_limit
from trainhub.web.drain import Drain
from trainhub.web.hosts import AllowedHosts
from trainhub.web.limits import Askers, Limits
from trainhub.web.monitor import Monitor, Parts
from trainhub.web.proxies import Proxies
from trainhub.web.tls import BadCertificate, Certificate
from trainhub.web.websocket import (
    GOING_AWAY,
    JOURNAL_FAILED,
    TrainSocket,
    text_frame,
)
from trainhub.write_buffer import StoreAway, TooNew, WriteBuffer

log = logging.getLogger("trainhub.server")

OK, BAD_START, JOURNAL_LOST = 0, 2, 3

# Seconds between the calls of a timer.
DRAIN_SECONDS = 0.2
FLUSH_SECONDS = 0.1
SAVE_PLACES_SECONDS = 0.2
FIGURES_SECONDS = 1.0
EXPIRE_SECONDS = 1.0
TIDY_SECONDS = 1.0
RETIRE_SECONDS = 60.0
FORGET_SECONDS = 600.0
IDLERS_SECONDS = 0.5
TRUST_SECONDS = 1.0
CERTIFICATE_SECONDS = 1.0
# These timers wait for other programs, which have time limits and complaints of their own.
OUTSIDE = ("notify", "flush")
OUTSIDE_PATIENCE = 30.0
# The log's readers beside the rooms, by the names under which the journal keeps their places.
NOTIFIED, FLUSHED = "notified", "flushed"
# Seconds at the end for what is still to be written; the rest waits in the journal.
LAST_FLUSH = 1.5

# The hub's own hand: charts at the start, and the demo.
OPERATOR = Identity("operator", Role.ADMIN, frozenset({ALL_TRAINS}))

# What a start can fail with that is the operator's to mend: one line, no traceback.
BAD_STARTS = (
    BadSettings,
    BadCertificate,
    BadDataFolder,
    BadUri,
    TooNew,
    MongodFailed,
    MongodMissing,
    TimetableError,
    BadKeys,
    OSError,
)


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; returns the exit code."""
    try:
        order = admin.ORDERS.get(arguments[0]) if arguments else None
        if order is not None:
            return OK if order(arguments[1:]) else JOURNAL_LOST
        asked = read_settings(arguments)
        os.umask(0o077)  # what the hub writes is its owner's
        diagnostics.start(asked.log_format)
        return asyncio.run(Server(asked).run())
    except JournalFailed as error:
        print(f"trainhub: {error}", file=sys.stderr)
        return JOURNAL_LOST
    except BAD_STARTS as error:
        print(f"trainhub: {error}", file=sys.stderr)
        return BAD_START


class Server:
    """One hub with all its parts. `run` goes from start to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._clock: Clock = lambda: datetime.now(UTC)
        self._certificate: Certificate | None = None
        self._timers = Timers()
        self._health = Health()
        self.hub: Hub
        self.port = 0

    async def run(self) -> int:
        """Start, serve until asked to stop, stop. Returns the exit code; raises BAD_STARTS."""
        loop = asyncio.get_running_loop()
        self._health.watch(self._timers.complaints)
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._stopping.set)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(self._start(stack))
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()  # asked to stop before it was up
                await asyncio.wait((starting,))
            elif starting.exception() is None:
                await stopping
            stopping.cancel()
        if self._failure is not None:
            log.critical("the journal failed, the hub has stopped: %s", self._failure)
            return JOURNAL_LOST
        if not starting.cancelled():
            starting.result()
        return OK

    # --- starting: each part pushes what stops it, and is stopped in the reverse order --------

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificate = Certificate(settings.tls_cert, settings.tls_key)
        folder = DataFolder(settings.data_dir)
        folder.hold()
        stack.callback(folder.release)
        trust = TrustFiles(folder.path, settings.public_keys)
        tokens = Tokens(
            *trust.read(), audience=settings.token_audience, issuer=settings.token_issuer
        )
        journal = await SqliteJournal.open(folder.path / "journal.db")
        stack.push_async_callback(journal.close)
        if settings.demo:
            fast = demo.Clock(await _last_moment(journal), settings.demo_speed)
            self._clock = fast
        rooms = Rooms(TrainSocket.rooms, text_frame)
        limit = settings.journal_limit << 20
        store = await self._store(stack, folder.path)
        self.hub = hub = Hub(
            *(journal, rooms, self._clock, self._journal_failed, limit),
            archive=store,
            entries=store,
        )
        notify, notified = self._notifications(journal, folder.path / "outbox")
        buffer, written = self._write_buffer(journal, store, folder.path)
        self._health.watch(buffer.complaints, hub.log.complaints)
        parts = Parts(
            hub, notify, buffer, notified, written, self._health, self._timers, settings.demo
        )
        stack.push_async_callback(self._finish, parts)
        self._listen(stack, tokens, Monitor(parts))

        gc.disable()  # millions of objects are made now, and none is garbage
        await hub.load()
        if journal.head == 0:
            await self._restore(journal, store)
        else:
            await store.check()
        notify.resume((await notified.open()).ahead)
        await written.open()
        hub.follow(notified, written)
        # So that a hub that dies young, time and again, starts no slower each time.
        await hub.tidy()
        hub.loaded = True
        await hub.expire_offers()
        self._start_timers(stack, parts, partial(trust.renew, tokens))
        if settings.charts is not None:
            await load_charts(hub, OPERATOR, settings.charts)
        spare_the_loop()
        scheme = "http" if self._certificate is None else "https"
        print(f"trainhub listening on {scheme}://{settings.address}:{self.port}", flush=True)
        if settings.demo:
            await self._start_demo(stack, fast, tokens)

    def _notifications(self, journal: SqliteJournal, outbox: Path) -> tuple[Notifications, Reader]:
        def jobs(record: Record) -> list[Job]:
            return list(letters.jobs(self.hub.state(record.run), record))

        notify = Notifications(Outbox(outbox), jobs)
        return notify, Reader(NOTIFIED, journal, notify)

    async def _store(self, stack: AsyncExitStack, folder: Path) -> MongoStore:
        uri = self._settings.mongodb_uri
        if uri is None:
            mongod = EmbeddedMongod(folder / "mongodb")
            await mongod.start()
            stack.push_async_callback(mongod.stop, 2.0)
            uri = mongod.uri
        store = MongoStore(uri, self._settings.database, INDEXES, LASTING, UNIQUE)
        stack.callback(store.close)
        return store

    def _write_buffer(
        self, journal: SqliteJournal, store: MongoStore, folder: Path
    ) -> tuple[WriteBuffer, Reader]:
        hub = self.hub
        buffer = WriteBuffer(
            store,
            lambda record: changes(hub.state(record.run), record, hub.epoch),
            lambda: hub.log.append(),
            DeadLetters(folder / "dead_letters.jsonl", store),
        )
        hub.audit.write_to(buffer.add)
        return buffer, Reader(FLUSHED, journal, buffer)

    def _listen(self, stack: AsyncExitStack, tokens: Tokens, monitor: Monitor) -> None:
        settings = self._settings
        try:
            sockets = bind_sockets(settings.port, settings.address, backlog=4096)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadSettings(
                f"cannot listen on {settings.address}:{settings.port} ({reason}): "
                "choose another with --port or --address"
            ) from error
        self.port = sockets[0].getsockname()[1]
        proxies = Proxies(settings.trusted_proxies)
        web = Web(
            *(self.hub, tokens, settings.anonymous, settings.max_connections, _limits(settings)),
            hosts=AllowedHosts((settings.address, *settings.allowed_hosts)),
            origins=frozenset(settings.trusted_origins),
            own_are_free=not proxies.trusts("127.0.0.1"),
        )
        self._health.watch(web.held.complaints)
        files = raise_file_limit(settings.max_connections)
        comers = Askers(web.limits, web.own_are_free)
        server = make_server(make_app(web, monitor), files, proxies, comers)
        if self._certificate is not None:
            self._show_certificate(stack, server, self._certificate)
        server.add_sockets(sockets)
        stack.push_async_callback(server.close_all_connections)
        stack.callback(server.stop)
        stack.push_async_callback(self._dismiss, web.drain)

    def _show_certificate(
        self, stack: AsyncExitStack, server: Door, certificate: Certificate
    ) -> None:
        """Speak TLS, with the files as they are: those who are connected keep what they have."""

        def look() -> None:
            if certificate.renewed():
                server.ssl_options = certificate.context

        server.ssl_options = certificate.context
        self._timers.every(CERTIFICATE_SECONDS, "certificate", look)
        stack.callback(self._timers.stop)

    async def _restore(self, journal: SqliteJournal, store: MongoStore) -> None:
        """Take up the live runs that an earlier data folder has left in MongoDB."""
        try:
            runs = {run: events async for run, events in store.live_runs()}
        except TooNew:
            raise
        except StoreAway as error:
            log.warning("MongoDB does not answer, so this new journal starts empty: %s", error)
            return
        await self.hub.restore(runs)
        # What they were notified of, they were by the hub that wrote it.
        await self.hub.log.keep(Batch(places=[Place(NOTIFIED, journal.head, {})]))
        if runs:
            log.info("%d runs taken from MongoDB into a new journal", len(runs))

    def _start_timers(
        self, stack: AsyncExitStack, parts: Parts, renew_trust: Callable[[], None]
    ) -> None:
        timers: tuple[tuple[str, float, Call], ...] = (
            ("notify", DRAIN_SECONDS, partial(_turn, parts.notified, parts.notifications.drain)),
            ("flush", FLUSH_SECONDS, partial(_turn, parts.written, parts.write_buffer.flush)),
            ("save places", SAVE_PLACES_SECONDS, self.hub.save_places),
            ("figures", FIGURES_SECONDS, self.hub.send_figures),
            ("expire offers", EXPIRE_SECONDS, self.hub.expire_offers),
            ("tidy", TIDY_SECONDS, self.hub.tidy),
            ("retire", RETIRE_SECONDS, self.hub.retire),
            ("forget", FORGET_SECONDS, self.hub.forget),
            ("idlers", IDLERS_SECONDS, TrainSocket.dismiss_idlers),
            ("trust", TRUST_SECONDS, renew_trust),
            ("refused tokens", TRUST_SECONDS, TrainSocket.dismiss_refused),
            ("heartbeat", self._settings.heartbeat_seconds, TrainSocket.beat_all),
        )
        for name, seconds, call in timers:
            patience = OUTSIDE_PATIENCE if name in OUTSIDE else PATIENCE_SECONDS
            self._timers.every(seconds, name, partial(self._on_timer, call), patience)
        stack.callback(self._timers.stop)

    async def _on_timer(self, call: Call) -> None:
        try:
            waits = call()
            if waits is not None:
                await waits
        except JournalFailed as error:
            self.hub.log.fail(error)
        except Unavailable:
            pass  # the journal has failed, and the hub is stopping

    async def _start_demo(self, stack: AsyncExitStack, clock: demo.Clock, tokens: Tokens) -> None:
        settings = self._settings
        show = demo.Demo(self.hub, clock, OPERATOR, settings.timetable, settings.demo_seed)
        await show.start()
        stack.push_async_callback(show.stop)
        await show.open_sockets(f"ws://{settings.address}:{self.port}/ws", tokens)
        print(show.invitation(tokens), flush=True)

    # --- stopping ---------------------------------------------------------------------------

    def _journal_failed(self, error: BaseException) -> None:
        self._failure = error
        self._stopping.set()

    async def _dismiss(self, drain: Drain) -> None:
        """Tell every socket that the hub goes, and whether it will be back."""
        code = GOING_AWAY if self._failure is None else JOURNAL_FAILED
        reason = "the hub is stopping" if self._failure is None else "the journal failed"
        await drain.run(TrainSocket.sockets, code, reason)

    async def _finish(self, parts: Parts) -> None:
        """Write what is left, for a short while; what stays waits in the journal."""
        if self._failure is not None:
            return
        buffer, notify = parts.write_buffer, parts.notifications
        with suppress(Unavailable):
            await self.hub.log.append()
        try:
            async with asyncio.timeout(LAST_FLUSH):
                await asyncio.gather(buffer.flush_now(), notify.drain())
        except TimeoutError:
            log.warning("stopped before all was written: the next start goes on from the journal")
        with suppress(Unavailable):
            await self.hub.save_places()
        log.info("stopped; %d documents and %d jobs wait", buffer.depth, notify.depth)


def spare_the_loop() -> None:
    """Have the garbage collector leave alone what is there, and come round seldom.

    A railway in memory is millions of objects: to look through them all holds the loop for up to a
    second. Almost nothing here is garbage that only the collector finds.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


async def _turn(reader: Reader, work: Callable[[], Awaitable[None]]) -> None:
    """Let a reader take the records that wait for it, and work them off."""
    await reader.catch_up()
    await work()


def _limits(settings: Settings) -> Limits:
    """The edge's limits: each is the setting of its name."""
    return Limits(**{each.name: getattr(settings, each.name) for each in fields(Limits)})


async def _last_moment(journal: SqliteJournal) -> datetime:
    """Where the demo's clock goes on: now, or later if it had got further."""
    now = datetime.now(UTC)
    last = await journal.read(journal.head - 1, 1) if journal.head else []
    return max([now, *(record.event.at for record in last)])
