"""The composition root: builds the hub, starts its timers, and stops it all in order."""

import asyncio
import gc
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import fields
from datetime import datetime
from functools import partial
from pathlib import Path

from tornado.netutil import bind_sockets

from trainhub import __version__, admin
from trainhub.access.identity import ALL_TRAINS, Identity, Tokens, TrustFiles
from trainhub.access.keys import BadKeys
from trainhub.adapters.contacts_file import ContactsFile
from trainhub.adapters.data_folder import BadDataFolder, DataFolder
from trainhub.adapters.dead_letters import DeadLettersFile
from trainhub.adapters.disk_watch import DiskWatch
from trainhub.adapters.embedded_mongod import EmbeddedMongod, MongodFailed, MongodMissing
from trainhub.adapters.mongo import BadUri, MongoStore
from trainhub.adapters.mongo_lease import MongoLease
from trainhub.adapters.sqlite_journal import SqliteJournal
from trainhub.adapters.undelivered import UndeliveredFile
from trainhub.build import Built, build
from trainhub.channels import push_key, senders
from trainhub.core.errors import Unavailable
from trainhub.core.journal import Commit, JournalFailed, ReaderPlace
from trainhub.core.lease import RENEW_SECONDS, RivalHub
from trainhub.core.push_hosts import PushHosts
from trainhub.core.rooms import OneByOne
from trainhub.core.stores import Stores
from trainhub.core.write_buffer import StoreAway, TooNew
from trainhub.demo import demo
from trainhub.demo.browser import open_pages
from trainhub.demo.timetable import TimetableError
from trainhub.domain.model import Role
from trainhub.hub.charts import load_charts
from trainhub.hub.documents import INDEXES, LASTING, LIVE, UNIQUE
from trainhub.hub.hub import Clock, Hub
from trainhub.hub.vocabulary import RAILWAY
from trainhub.process.clock import WallClock
from trainhub.process.diagnostics import Diagnostics, complain
from trainhub.process.health import Health
from trainhub.process.loop_watch import LoopWatch
from trainhub.process.signals import Ending, end_at_signals
from trainhub.process.timers import Call, Timers
from trainhub.settings import (
    BadSettings,
    Settings,
    check_paths,
    in_force,
    log_format_of,
    read_settings,
    without_password,
)
from trainhub.web.app import make_app, make_server
from trainhub.web.base import Web
from trainhub.web.close_codes import GOING_AWAY, JOURNAL_FAILED
from trainhub.web.door import Door, raise_file_limit
from trainhub.web.drain import Drain
from trainhub.web.frames import text_frame
from trainhub.web.hosts import AllowedHosts
from trainhub.web.hour import SAMPLE_SECONDS, Hour
from trainhub.web.limits import Askers, Limits
from trainhub.web.listener import listen
from trainhub.web.monitor import Monitor, Parts
from trainhub.web.proxies import Proxies
from trainhub.web.ring import best_delivery
from trainhub.web.tls import BadCertificate, Certificate
from trainhub.web.websocket import (
    TrainSocket,
)

logger = logging.getLogger("trainhub.server")

OK = 0
BAD_START = 2
JOURNAL_LOST = 3

# Seconds between two calls of each timer.
SAVE_PLACES_SECONDS = 0.2
FIGURES_SECONDS = 1.0
EXPIRE_SECONDS = 1.0
CLOCK_SECONDS = 0.5
TIDY_SECONDS = 1.0
RETIRE_SECONDS = 60.0
CLOSE_SECONDS = 60.0
PRUNE_SECONDS = 600.0
IDLERS_SECONDS = 0.5
TRUST_SECONDS = 1.0
CERTIFICATE_SECONDS = 1.0
HEALTH_SECONDS = 1.0
DISK_SECONDS = 30.0
# Seconds that the start waits for the first measure of the disk.
FIRST_LOOK_SECONDS = 2.0
SUMMARY_SECONDS = 60.0
NEXT_RUN_SECONDS = 5.0
JOURNAL_FILE_SECONDS = 1.0
# Seconds after which the lease's timer counts as overdue: one call may refill many runs.
LEASE_PATIENCE = 30.0
# Seconds for the last writes of a stop; the rest waits in the journal.
LAST_FLUSH = 1.5

WAITS = "the hub's data folder is empty, and it waits for MongoDB, which may have its runs"
# The identity of the hub itself, for the charts at the start and for the demo.
OPERATOR = Identity("operator", Role.ADMIN, frozenset({ALL_TRAINS}))

# Errors of a start that the operator can correct: one line, no traceback.
BAD_STARTS = (
    BadSettings,
    BadCertificate,
    BadDataFolder,
    BadUri,
    RivalHub,
    TooNew,
    MongodFailed,
    MongodMissing,
    TimetableError,
    BadKeys,
    OSError,
)


def main(arguments: list[str]) -> int:
    """Run what the command line asks for, and return the exit code."""
    form = log_format_of(arguments)
    try:
        order = admin.ORDERS.get(arguments[0]) if arguments else None
        if order is not None:
            end_at_signals(BAD_START)
            return OK if order(arguments[1:]) else JOURNAL_LOST
        asked = read_settings(arguments)
        check_paths(asked)
        os.umask(0o077)  # only the hub's owner can read its files
        watch = LoopWatch()
        with asyncio.Runner(loop_factory=watch.make_loop) as runner:
            form = asked.log_format
            diagnostics = Diagnostics(form, asked.log_level)
            return runner.run(Server(asked, watch, diagnostics).run())
    except SystemExit as asked_for:  # --help, --version
        return OK if asked_for.code is None else int(asked_for.code)
    except JournalFailed as error:
        complain(str(error), form)
        return JOURNAL_LOST
    except BAD_STARTS as error:
        complain(str(error), form)
        return BAD_START


class Server:
    """One hub with all its parts. `run` goes from start to stop."""

    def __init__(self, settings: Settings, watch: LoopWatch, diagnostics: Diagnostics) -> None:
        """Prepare a hub. `watch` watches the loop on which `run` is called."""
        self._settings = settings
        self._watch = watch
        self._diagnostics = diagnostics
        self._failure: BaseException | None = None
        self._ending = Ending(lambda: OK if self._failure is None else JOURNAL_LOST)
        self._wall: WallClock
        self._clock: Clock
        self._certificate: Certificate | None = None
        self._timers = Timers()
        self._health = Health()
        self.hub: Hub
        self._built: Built
        self._contacts: ContactsFile
        self._undelivered: UndeliveredFile
        self._folder: Path
        self.port = 0
        self._said = False

    async def run(self) -> int:
        """Start, serve until asked to stop, then stop. Return the exit code. Raises BAD_STARTS."""
        self._health.watch(
            self._timers.complaints, self._watch.complaints, self._diagnostics.complaints
        )
        self._ending.listen()
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(self._start(stack))
            stopping = asyncio.create_task(self._ending.asked.wait())
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()  # the stop was asked for during the start
                await asyncio.wait((starting,))
            elif starting.exception() is None:
                await stopping
            stopping.cancel()
        if isinstance(self._failure, JournalFailed):
            logger.critical("the journal failed, the hub has stopped: %s", self._failure)
            return JOURNAL_LOST
        if self._failure is not None:
            logger.critical(
                "an error of the hub itself has stopped it, and the journal is sound: %r; start it "
                "again, and report the traceback above",
                self._failure,
            )
            return JOURNAL_LOST
        if not starting.cancelled():
            starting.result()
        return OK

    # --- starting: each part pushes what stops it, and is stopped in the reverse order --------

    def _introduce(self) -> None:
        """Log what starts here, and with which settings."""
        python = ".".join(map(str, sys.version_info[:3]))
        logger.info("trainhub %s, process %d, Python %s", __version__, os.getpid(), python)
        given: list[str] = []
        default: list[str] = []
        for flag, value, source in in_force(self._settings):
            if source == "default":
                default.append(f"{flag} {value}".rstrip())
            else:
                given.append(f"{flag} {value} ({source})")
        logger.info("settings: %s", ", ".join([*given, f"the other {len(default)} by default"]))
        logger.debug("settings by default: %s", ", ".join(default))
        for sentence in self._settings.unused:
            logger.warning("%s", sentence)

    def _describe_parts(self, journal: SqliteJournal) -> None:
        """Log which data this hub uses."""
        folder, uri = self._folder.resolve(), self._settings.mongodb_uri
        logger.info("data folder %s: %d records, epoch %s", folder, journal.head, journal.epoch)
        server = "embedded" if uri is None else without_password(uri)
        logger.info("MongoDB: %s, database %s", server, self._settings.database)

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        self._introduce()
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificate = Certificate(settings.tls_cert, settings.tls_key)
        folder = DataFolder(settings.data_dir)
        folder.hold()
        stack.callback(folder.release)
        self._wall = wall = WallClock(folder.path / "clock.json")
        self._clock = wall
        self._health.watch(wall.complaints)
        trust = TrustFiles(folder.path, settings.public_keys)
        self._health.watch(trust.complaints)
        tokens = Tokens(
            *trust.read(),
            audience=settings.token_audience,
            issuer=settings.token_issuer,
            clock=wall,
        )
        journal = await SqliteJournal.open(folder.path / "journal.db", RAILWAY)
        stack.push_async_callback(journal.close)
        if settings.demo:
            fast = demo.DemoClock(await _last_moment(journal, wall()), settings.demo_speed)
            self._clock = fast
        store = await self._store(stack, folder.path)
        alone = settings.mongodb_uri is None
        stores = Stores(journal, store, MongoLease(store), folder.path, alone=alone)
        stack.push_async_callback(self._ending.unless_hurried, stores.release)
        await stores.open()
        self._undelivered = undelivered = UndeliveredFile(folder.path)
        self._contacts = contacts = ContactsFile(folder.path)
        self._folder = folder.path
        self._describe_parts(journal)
        stack.callback(contacts.close)
        built = build(
            settings,
            journal=journal,
            store=stores,
            senders=senders(settings, contacts, folder.path, self._clock, self._health.watch),
            contacts=contacts,
            undelivered=undelivered,
            set_aside=undelivered.jobs,
            dead_letters=DeadLettersFile(folder.path / "dead_letters.jsonl", stores),
            clock=self._clock,
            rooms=TrainSocket.rooms,
            frame=text_frame,
            delivery=best_delivery() if settings.io_uring else OneByOne(),
            on_failure=self._journal_failed,
            archive=store,
            health=self._health,
        )
        self._built = built
        self.hub = hub = built.hub
        stores.follow(hub.log, built.write_buffer, built.flushed, self._begin_epoch)
        disk = DiskWatch(folder.path)
        self._health.watch(stores.complaints, disk.complaints)
        parts = Parts(
            hub,
            built.queues,
            built.write_buffer,
            built.followers,
            self._health,
            self._timers,
            settings.demo,
            self._watch,
        )
        stack.callback(self._summarize)
        stack.push_async_callback(self._finish, built)
        self._listen(stack, tokens, Monitor(parts))
        stack.callback(self._timers.stop)

        gc.disable()  # the load makes millions of objects that stay
        await hub.upkeep.load()
        await built.flushed.open()
        renew = partial(self._on_timer, stores.renew)
        self._timers.every(RENEW_SECONDS, "lease", renew, LEASE_PATIENCE)
        if journal.head == 0 and not settings.new:
            await stores.wait(self._say_that_it_waits)
            await self._restore(journal, store, stores)
        else:
            await self._meet(stores)
        await built.open()
        built.follow()
        # Otherwise a hub that dies soon after each start would start more slowly each time.
        await hub.upkeep.tidy()
        if not settings.demo:
            wall.go_on_from((await _last_moment(journal, wall())).timestamp())
        await self._look_at_clock()
        await hub.executor.expire_offers()
        self._start_timers(built, journal, partial(trust.renew, tokens))
        self._timers.every(HEALTH_SECONDS, "health", self._health.note)
        self._timers.every(DISK_SECONDS, "disk", disk.look)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await disk.look()
        if settings.charts is not None:
            await load_charts(hub, OPERATOR, settings.charts)
        show = await self._start_demo(stack, fast) if settings.demo else None
        # Only now: until the charts are loaded a missing train is UNAVAILABLE, not UNKNOWN_TRAIN.
        hub.loaded = True
        spare_the_loop()
        self._watch.start()
        stack.callback(self._watch.stop)
        self._say_where_it_listens()
        if show is not None:
            sockets = f"ws://{settings.address}:{self.port}/ws"
            show.start_listeners(partial(listen, sockets), tokens)
            links = show.links(self._url, tokens)
            self._diagnostics.say(show.invitation(links))
            # A browser's command line is seen by others: it gets no token of staff.
            open_pages(list(links.values())[:2])

    def _say_where_it_listens(self) -> None:
        if not self._said:
            self._said = True
            self._diagnostics.say(f"trainhub listening on {self._url}")
            states = Counter(state.status.value for state in self.hub.runs.all())
            runs = ", ".join(f"{count} {status}" for status, count in states.items())
            logger.info(
                "listening on %s with %d runs: %s", self._url, states.total(), runs or "none"
            )

    @property
    def _url(self) -> str:
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://{self._settings.address}:{self.port}"

    async def _store(self, stack: AsyncExitStack, folder: Path) -> MongoStore:
        uri = self._settings.mongodb_uri
        if uri is None:
            mongod = EmbeddedMongod(folder / "mongodb")
            await mongod.start()
            stack.push_async_callback(self._ending.unless_hurried, mongod.stop, 2.0)
            uri = mongod.uri
        store = MongoStore(uri, self._settings.database, INDEXES, LASTING, UNIQUE, RAILWAY)
        stack.callback(store.close)
        return store

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
            self.hub,
            tokens,
            settings.anonymous,
            settings.max_connections,
            _limits(settings),
            hosts=AllowedHosts((settings.address, *settings.allowed_hosts)),
            origins=frozenset(settings.trusted_origins),
            own_are_free=not proxies.trusts("127.0.0.1"),
            contacts=self._contacts,
            push_key=push_key(settings, self._folder),
            retry_letters=self._retry_letters,
            push_hosts=PushHosts(settings.push_hosts),
        )
        self._health.watch(web.held.complaints)
        files = raise_file_limit(settings.max_connections)
        comers = Askers(web.limits, web.own_are_free)
        hour = Hour(monitor)
        self._timers.every(SAMPLE_SECONDS, "hour", hour.take)
        server = make_server(make_app(web, monitor, hour), files, proxies, comers)
        hour.take()  # a chart needs two samples
        if self._certificate is not None:
            self._show_certificate(server, self._certificate)
        server.add_sockets(sockets)
        unless_hurried = self._ending.unless_hurried
        stack.push_async_callback(unless_hurried, server.close_all_connections)
        stack.callback(server.stop)
        stack.push_async_callback(unless_hurried, self._dismiss, web.drain)

    def _show_certificate(self, server: Door, certificate: Certificate) -> None:
        """Speak TLS, and use renewed files for new connections."""

        def look() -> None:
            if certificate.renewed():
                server.ssl_options = certificate.context

        server.ssl_options = certificate.context
        self._health.watch(certificate.complaints)
        self._timers.every(CERTIFICATE_SECONDS, "certificate", look)

    async def _meet(self, stores: Stores) -> None:
        """Compare MongoDB with the journal. If MongoDB is away, the start goes on without it."""
        try:
            await stores.meet()
        except TooNew:
            raise
        except StoreAway as error:
            logger.warning("MongoDB does not answer at the start: %s", error)
        if self._settings.new:
            await stores.succeed()

    def _say_that_it_waits(self, reason: str) -> None:
        """Log once that the hub listens but is not ready, as MongoDB may have its runs."""
        if not self.hub.starting.startswith(WAITS):
            self.hub.starting = f"{WAITS}: try again in a moment"
            logger.warning("%s (%s); --new would start without them", WAITS, reason)
            self._say_where_it_listens()

    async def _restore(self, journal: SqliteJournal, store: MongoStore, stores: Stores) -> None:
        """Load the live runs of an earlier data folder from MongoDB."""
        while True:
            try:
                runs = {run: events async for run, events in store.runs(LIVE)}
                break
            except TooNew:
                raise
            except StoreAway as error:
                self._say_that_it_waits(str(error))
                await stores.wait(self._say_that_it_waits)
        await stores.succeed()
        restored = self.hub.upkeep.restore(runs)
        # The earlier hub has sent the notifications of these records.
        last = self.hub.log.last
        places = [ReaderPlace(name, last, {}) for name in self._built.notified]
        await self.hub.log.commit(Commit(places=places))
        await restored
        if runs:
            logger.info("%d runs taken from MongoDB into a new journal", len(runs))

    async def _begin_epoch(self) -> None:
        """Close all sockets, so that the clients get a snapshot of the new history."""
        self.hub.begin_epoch()
        reason = "the hub's history has begun a new epoch: connect again for a fresh snapshot"
        await Drain().run(TrainSocket.sockets, GOING_AWAY, reason)

    def _start_timers(
        self,
        built: Built,
        journal: SqliteJournal,
        renew_trust: Callable[[], None],
    ) -> None:
        close_runs = partial(self.hub.executor.close_runs, self._settings.close_hours)
        timers: tuple[tuple[str, float, Call], ...] = (
            ("save places", SAVE_PLACES_SECONDS, self.hub.save_places),
            ("figures", FIGURES_SECONDS, self.hub.send_figures),
            ("fleet", FIGURES_SECONDS, self.hub.fleet.tell),
            ("clock", CLOCK_SECONDS, self._look_at_clock),
            ("expire offers", EXPIRE_SECONDS, self.hub.executor.expire_offers),
            ("close runs", CLOSE_SECONDS, close_runs),
            ("tidy", TIDY_SECONDS, self.hub.upkeep.tidy),
            ("retire", RETIRE_SECONDS, self.hub.upkeep.retire),
            ("prune", PRUNE_SECONDS, partial(self.hub.upkeep.prune, self._wall.before)),
            ("journal file", JOURNAL_FILE_SECONDS, journal.verify),
            ("idlers", IDLERS_SECONDS, TrainSocket.dismiss_idlers),
            ("trust", TRUST_SECONDS, renew_trust),
            ("refused tokens", TRUST_SECONDS, TrainSocket.dismiss_refused),
            ("next runs", NEXT_RUN_SECONDS, partial(TrainSocket.tell_next_runs, self.hub)),
            ("log summary", SUMMARY_SECONDS, self._summarize),
            ("heartbeat", self._settings.heartbeat_seconds, TrainSocket.beat_all),
        )
        turns = ((each.timer, each.period, each.turn) for each in built.followers)
        for name, seconds, call in (*turns, *timers):
            self._timers.every(seconds, name, partial(self._on_timer, call))

    def _summarize(self) -> None:
        self.hub.activity.summarize(len(TrainSocket.sockets))
        self._diagnostics.summarize()

    async def _on_timer(self, call: Call) -> None:
        try:
            waits = call()
            if waits is not None:
                await waits
        except JournalFailed as error:
            self.hub.log.fail(error)
        except Unavailable:
            pass  # the journal has failed, and the hub stops

    async def _look_at_clock(self) -> None:
        """Follow the wall clock if it was set. Waits with that while the journal is full."""
        by = self._wall.look()
        if by is not None and not self.hub.log.full:
            self._wall.follow(by)
            if not self._settings.demo:  # the demo has its own clock
                await self.hub.executor.correct_clock(round(by))
        if self._wall.unsaved:
            await asyncio.to_thread(self._wall.save)

    async def _start_demo(self, stack: AsyncExitStack, clock: demo.DemoClock) -> demo.Demo:
        settings = self._settings
        show = demo.Demo(self.hub, clock, OPERATOR, settings.timetable, settings.demo_seed)
        await show.start()
        stack.push_async_callback(show.stop)
        return show

    # --- stopping ---------------------------------------------------------------------------

    def _journal_failed(self, error: BaseException) -> None:
        self._failure = error
        self._ending.request()

    async def _dismiss(self, drain: Drain) -> None:
        """Close every socket, with a code and reason that say why the hub stops."""
        code, reason = JOURNAL_FAILED, "the hub has failed"
        if self._failure is None:
            code, reason = GOING_AWAY, "the hub is stopping"
        elif isinstance(self._failure, JournalFailed):
            reason = "the journal failed"
        await drain.run(TrainSocket.sockets, code, reason)

    async def _retry_letters(self) -> int:
        return await self._built.retry(self._undelivered.jobs)

    async def _finish(self, built: Built) -> None:
        """Write and send what is left, for a short time. The rest waits in the journal."""
        if self._failure is not None:
            return
        with suppress(Unavailable):
            await self.hub.log.append()
        await self._ending.unless_hurried(self._last_turn, built)
        for each in built.followers:
            await each.close()
        with suppress(Unavailable):
            await self.hub.save_places()
        waiting = sum(queue.depth for queue in built.queues.values())
        depths = built.write_buffer.depth, waiting
        logger.info("stopped; %d documents and %d jobs wait", *depths)

    async def _last_turn(self, built: Built) -> None:
        try:
            async with asyncio.timeout(LAST_FLUSH):
                for each in built.followers:
                    if each.reader in self.hub.readers:  # else the start was cut short before
                        await each.reader.catch_up()
                await asyncio.gather(*(each.finish() for each in built.followers))
        except TimeoutError:
            logger.warning(
                "stopped before all was written: the next start goes on from the journal"
            )


def spare_the_loop() -> None:
    """Exclude the loaded objects from garbage collection, and collect rarely after that.

    A railway in memory has millions of objects: a full collection holds the loop up to a second.
    The hub makes almost no garbage that only the collector finds.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def _limits(settings: Settings) -> Limits:
    """Return the edge's limits, each from the setting of its name."""
    return Limits(**{each.name: getattr(settings, each.name) for each in fields(Limits)})


async def _last_moment(journal: SqliteJournal, now: datetime) -> datetime:
    """Return the moment from which the clock goes on: now, or the last record's if later."""
    last = await journal.read(journal.head - 1, 1) if journal.head else []
    moments: list[datetime] = [record.event.at for record in last]
    return max([now, *moments])
