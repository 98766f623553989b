"""The hub over HTTP: an address for each command and for each thing to read."""

from collections.abc import Callable, Collection
from dataclasses import astuple, dataclass
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, Literal, TypedDict
from zoneinfo import ZoneInfo

import tornado.web

from trainhub.core.about import About
from trainhub.core.answers import check_key
from trainhub.core.audience import Standing
from trainhub.core.codec import clean_text, dump, read_date, read_moment
from trainhub.core.cost import LONG_WORK, aside, in_slices
from trainhub.core.errors import BadMessage, HubError
from trainhub.core.journal import Record
from trainhub.domain import commands as c
from trainhub.domain import normal
from trainhub.domain.board import board_line
from trainhub.domain.decisions import Decisions
from trainhub.domain.errors import UnknownPassenger, UnknownStation
from trainhub.domain.events import ChartAmended, TrainRegistered
from trainhub.domain.fields import Moment
from trainhub.domain.handover import handover
from trainhub.domain.model import (
    BookingStatus,
    OfferState,
    PersonState,
    Role,
    RunKey,
    run_key,
)
from trainhub.domain.offers import offer_seq
from trainhub.domain.report import captaincy_report, report_csv
from trainhub.domain.run_state import Passenger, RunState, Stop
from trainhub.domain.schedule import local
from trainhub.domain.shapes import StationNamed
from trainhub.domain.views import (
    berth_places,
    berth_plan,
    offer_view,
    person_view,
    run_view,
    station_named,
    visible_offers,
    visible_on_pnr,
    visible_people,
)
from trainhub.hub.audit import deed_of_kind
from trainhub.hub.documents import stamp
from trainhub.hub.permissions import MAY, require_role, require_run
from trainhub.hub.protocol import read_command
from trainhub.hub.subscriptions import told
from trainhub.web.base import Api, Large, Web

# The most entries of the audit trail in one answer.
MOST_ENTRIES = 1_000
# The most offers in one answer: each has a reason to be worded, and the loop waits meanwhile.
MOST_OFFERS = 500
# How far the board of a station looks ahead, and the most trains on it.
MOST_BOARD_HOURS = 24
MOST_BOARD_LINES = 200

View = Callable[[RunState], list[dict[str, Any]]]


class CommandHandler(Api):
    """One command: its fields come from the path, `?date=` and the body."""

    def initialize(  # type: ignore[override]
        self, web: Web, command: type[c.Command], method: str
    ) -> None:
        super().initialize(web)
        self._command, self._method = command, method

    @property
    def allowed(self) -> list[str]:
        return [self._method]

    async def post(self, **path: str) -> None:
        await self._give("POST", path)

    async def put(self, **path: str) -> None:
        await self._give("PUT", path)

    async def _give(self, method: str, path: dict[str, str]) -> None:
        if method != self._method:
            raise tornado.web.HTTPError(405, reason=f"this is asked with {self._method}")
        key = self.request.headers.get("Idempotency-Key")
        checked = None if key is None else check_key(key)
        command = await self._read(path)
        address = self.request.remote_ip
        self.answer(await self.hub.execute(command, self.identity, checked, address))

    async def _read(self, path: dict[str, str]) -> c.Command:
        return self._command_of(path)

    def _command_of(self, path: dict[str, str]) -> c.Command:
        fields: dict[str, Any] = {**self.read_body(), **path}
        if "index" in path:
            fields["index"] = _number(path["index"])
        day = self.parameter("date")
        if day is not None:
            fields["startDate"] = day
        return read_command(self._command, fields)


class TrainsHandler(Large, CommandHandler):
    """The list of the runs, and the registration of a chart."""

    async def _read(self, path: dict[str, str]) -> c.Command:
        # The chart of a full train takes a fifth of a second to read.
        return await aside(self._command_of, path)

    def admit(self) -> None:
        super().admit()
        if self.request.method == "POST":  # ask before 8 MB of JSON are read
            try:
                require_role(self.identity, MAY[self._command])
            except HubError as error:
                deed = deed_of_kind(self._command, self.identity, self.request.remote_ip)
                self.hub.audit.refused(deed, None, error, self.hub.now())
                raise

    @property
    def allowed(self) -> list[str]:
        return ["GET", "HEAD", *super().allowed]

    async def get(self) -> None:
        self.check_anonymous()
        await self.send_shared(await self.web.trains.get())


class ChartCheck(TypedDict):
    """What an amendment of a chart would do."""

    added: Annotated[int, About("How many passengers would be new.", least=0, example=2)]
    corrected: Annotated[int, About("How many would be corrected.", least=0, example=1)]
    removed: Annotated[int, About("How many would be taken off.", least=0, example=0)]
    rejected: Annotated[tuple[c.Rejected, ...], About("The lines that would be left out.")]
    warnings: Annotated[tuple[c.Warned, ...], About("What would not be used of other lines.")]


class ChartCheckHandler(Large, Api):
    """Decide an amendment of a chart as the command would, and change nothing."""

    async def post(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.staffs_run(trainNo)
        fields = {**self.read_body(), "trainNo": trainNo}
        command = await aside(read_command, c.AmendChart, fields)
        assert isinstance(command, c.AmendChart)
        events = state.decide(command, self.hub.now())
        amended = next((each for each in events if isinstance(each, ChartAmended)), None)
        answer: ChartCheck = {
            "added": amended.added if amended else 0,
            "corrected": amended.corrected if amended else 0,
            "removed": amended.removed if amended else 0,
            "rejected": amended.rejected if amended else command.rejected,
            "warnings": command.warnings,
        }
        self.answer(dump(answer))


class TrainHandler(Api):
    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        standing = self.identity.standing(state.run)
        now = self.hub.now()
        self.answer(await self.hub.read(lambda: run_view(state, standing.role, standing.user, now)))


@dataclass(frozen=True, kw_only=True)
class PassengersQuery:
    """What a list of passengers is narrowed by."""

    status: Annotated[BookingStatus | None, About("Only passengers of this status.")] = None
    state: Annotated[PersonState | None, About("Only passengers of this state.")] = None
    coach: Annotated[str | None, About("Only passengers of this coach.", example="S1")] = None
    q: Annotated[str | None, About("A part of the name or of the PNR.", example="RAO")] = None


class PassengersHandler(Api):
    """The people of a run that the reader may see."""

    query = PassengersQuery

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        standing = self.identity.standing(state.run)
        wanted = {
            name: normal.code(value)
            for name in ("status", "state", "coach")
            if (value := self.parameter(name)) is not None
        }
        text = self.parameter("q", "").casefold()

        def wanted_view(person: Passenger) -> dict[str, Any] | None:
            view = person_view(person)
            matches = all(view[name] == value for name, value in wanted.items()) and (
                text in view["name"].casefold() or text in view["pnr"].casefold()
            )
            return view if matches else None

        people = visible_people(state, standing.role, standing.user) or ()
        await self.answer_list(list(people), wanted_view)


class PnrHandler(Api):
    async def get(self, trainNo: str, pnr: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        role, user = astuple(self.identity.standing(state.run))

        def view() -> list[dict[str, Any]]:
            return [
                person_view(each) for each in visible_on_pnr(state, normal.pnr(pnr), role, user)
            ]

        self.answer(await self.hub.read(view))


class Completeness(TypedDict):
    """How much of the history there is."""

    complete: Annotated[
        bool,
        About(
            "False if the run's oldest events were trimmed, and MongoDB lacks them. Then berths "
            "that were not for this person are missing where no reason names them."
        ),
    ]
    standing: Annotated[
        str | None,
        About(
            "Why the person has no offer now, or their berth; null if the history is not complete.",
            example="no berth of the class is free",
        ),
    ]


class HistoryHandler(Api):
    """Each decision about a person, and why: for the run's staff, and for the person's user."""

    async def get(self, trainNo: str, pnr: str, index: str) -> None:  # noqa: N803
        state = self.find(trainNo)
        role, user = astuple(self.identity.standing(state.run))
        number = _number(index)
        people = visible_on_pnr(state, str(normal.pnr(pnr)), role, user)
        if number not in (each.booking.index for each in people):
            raise UnknownPassenger(f"{state.run} has no such person")
        await self.hub.read(lambda: None)
        records = await self.hub.subscriptions.kept(state)
        decisions = Decisions(state.run, str(normal.pnr(pnr)), number)
        async with LONG_WORK.turn():
            self.bill.check()
            async for record in in_slices(records):
                if isinstance(record.event, TrainRegistered | ChartAmended):
                    # A chart of thousands is one step, of tens of milliseconds.
                    await aside(decisions.add, record.seq, record.event)
                else:
                    decisions.add(record.seq, record.event)
        standing = decisions.standing(self.hub.now()) if decisions.complete else None
        more = {"complete": decisions.complete, "standing": standing}
        await self.answer_list(decisions.found, lambda line: line, **more)


class StaffHandler(Api):
    """A list that only the run's staff may read. `view` makes it of the run."""

    def initialize(  # type: ignore[override]
        self, web: Web, view: View, roles: Collection[Role]
    ) -> None:
        super().initialize(web, roles)
        self._view = view

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.staffs_run(trainNo)
        await self.answer_list(self._view(state), lambda line: line)


@dataclass(frozen=True, kw_only=True)
class OffersQuery:
    """What a list of offers is narrowed by."""

    state: Annotated[OfferState | None, About("Only offers of this state.")] = None
    before: Annotated[
        str | None,
        About(
            "The id of an offer: only offers that were made before it.",
            example="12345.2026-11-23.17",
        ),
    ] = None
    limit: Annotated[
        int,
        About("The most offers; the oldest of them comes first.", least=1, most=MOST_OFFERS),
    ] = 200


class OffersHandler(Api):
    """The run's newest offers; passengers see their own."""

    query = OffersQuery

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        role, user = astuple(self.identity.standing(state.run))
        wanted, before = self.parameter("state"), self.parameter("before")
        last = None if before is None else offer_seq(before)
        limit = _limit(self, "limit", OffersQuery.limit, MOST_OFFERS)
        offers = [
            each
            for each in visible_offers(state, role, user)
            if wanted in (None, each.state) and (last is None or offer_seq(each.id) < last)
        ]
        page = reversed(offers[:limit])
        views = [offer_view(each, role) for each in page]
        await self.hub.read(lambda: None)
        self.answer(views)


class CoachHandler(Api):
    """A coach's berth plan, by segment."""

    async def get(self, trainNo: str, coach: str) -> None:  # noqa: N803 (named by the path)
        state = self.staffs_run(trainNo)
        found = state.coach(normal.code(coach))
        self.answer(await self.hub.read(lambda: berth_plan(state, found)))


class LayoutHandler(Api):
    """A coach's berths, without who has them."""

    async def get(self, trainNo: str, coach: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        found = state.coach(normal.code(coach))
        self.answer(await self.hub.read(lambda: berth_places(state, found)))


class HandoverHandler(Api):
    """The list that a TTE hands over to the next one."""

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.staffs_run(trainNo)
        self.answer(await self.hub.read(lambda: handover(state)))


@dataclass(frozen=True, kw_only=True)
class ReportQuery:
    """The form of a report."""

    format: Annotated[Literal["json", "csv"], About("The form of the answer.")] = "json"


class ReportHandler(Api):
    """The captaincy report, as JSON or CSV."""

    query = ReportQuery

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        form = self.parameter("format", ReportQuery.format)
        if form not in ("json", "csv"):
            raise BadMessage("format is json or csv")
        state = self.staffs_run(trainNo)
        report = await self.hub.read(lambda: captaincy_report(state))
        if form == "json":
            self.answer(report)
            return
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        name = f"captaincy-{state.run.replace('/', '-')}.csv"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(report_csv(report))


@dataclass(frozen=True, kw_only=True)
class EventsQuery:
    """The page of events that is asked for."""

    after: Annotated[
        int, About("The last seq that you know, or the `next` of the page before.", least=0)
    ] = 0


class EventsHandler(Api):
    """A page of the run's events, those that the reader may be told.

    `next` is the `after` of the next page; the last page has none.
    """

    query = EventsQuery

    async def get(self, trainNo: str) -> None:  # noqa: N803 (named by the path)
        state = self.find(trainNo)
        after = _number(self.parameter("after", EventsQuery.after))
        standing = self.identity.standing(state.run)
        await self.hub.read(lambda: None)
        records = await self.hub.subscriptions.page(state, after)
        if records is None:
            raise tornado.web.HTTPError(
                410, reason="events that old are not held: read the train as it is now"
            )
        more = {"next": records[-1].seq} if records and records[-1].seq < state.seq else {}
        await self.answer_list(records, partial(_event, standing), **more)


def _event(standing: Standing, record: Record) -> dict[str, Any] | None:
    return next(iter(told((record,), standing)), None)


@dataclass(frozen=True, kw_only=True)
class BoardQuery:
    """How far the board of a station looks ahead."""

    hours: Annotated[
        int, About("Trains that are due within these hours.", least=1, most=MOST_BOARD_HOURS)
    ] = 4


class BoardOf(TypedDict):
    """The station of a board, and its time."""

    station: StationNamed
    at: Annotated[Moment, About("The hub's time, in the station's zone.")]


class BoardHandler(Api):
    """The trains that are due at a station, the next one first."""

    query = BoardQuery

    async def get(self, code: str) -> None:
        self.check_anonymous()
        hours = _limit(self, "hours", BoardQuery.hours, MOST_BOARD_HOURS)
        code = str(normal.code(code))
        stop, zone = self._first(code)
        now, within = self.hub.now(), timedelta(hours=hours)
        runs = list(self.hub.runs.all())
        lines = in_slices(
            board_line(state, stop, now, within) for state in runs for stop in state.stops_at(code)
        )
        due = sorted([line async for line in lines if line is not None], key=itemgetter(0))
        at = dump(local(now.replace(microsecond=0), zone))
        more = {"station": station_named(stop), "at": at}
        await self.answer_list(due[:MOST_BOARD_LINES], itemgetter(1), **more)

    def _first(self, code: str) -> tuple[Stop, ZoneInfo]:
        """Return the first run's stop at a station, and its zone. Raises UnknownStation."""
        for state in self.hub.runs.all():
            for stop in state.stops_at(code):
                return stop, state.zone_of(stop)
        raise UnknownStation("no run here has that station: check its code")


class MeHandler(Api):
    def get(self) -> None:
        trains = sorted(self.identity.trains)
        self.answer({"user": self.identity.user, "role": self.identity.role, "trains": trains})


@dataclass(frozen=True, kw_only=True)
class AuditQuery:
    """What the audit trail is narrowed by."""

    run: Annotated[str | None, About("Only this run.", example="12345/2026-11-23")] = None
    user: Annotated[str | None, About("Only this user.", example="T17")] = None
    before: Annotated[
        str | None,
        About(
            "A time with its offset, or the id of the last entry that you know.",
            example="2026-11-23T17:05:00+05:30",
        ),
    ] = None
    limit: Annotated[int, About("The most entries.", least=1, most=MOST_ENTRIES)] = 100


class AuditHandler(Api):
    """The audit trail of the runs that the token covers, the newest entry first."""

    query = AuditQuery

    async def get(self) -> None:
        run, user, before = map(self.parameter, ("run", "user", "before"))
        limit = _limit(self, "limit", AuditQuery.limit, MOST_ENTRIES)
        entries = await self.hub.audit.read(
            self.identity,
            None if run is None else self._covered(run),
            None if user is None else clean_text(user, "user"),
            None if before is None else _before(before),
            limit,
        )
        self.answer(entries)

    def _covered(self, text: str) -> RunKey:
        run = _run(text)
        require_run(self.identity, run)
        return run


def _run(text: str) -> RunKey:
    train_no, slash, day = text.partition("/")
    if not train_no or not slash:
        raise BadMessage("run is a train number and a date like 12345/2026-11-23")
    return run_key(str(normal.train_no(clean_text(train_no, "run"))), read_date(day, "run's date"))


def _before(text: str) -> str:
    """Return the id below which all wanted entries are: an entry's id begins with its time."""
    time, slash, rest = clean_text(text, "before").partition("/")
    return f"{stamp(read_moment(time, 'before'))}{slash}{rest}"


def _limit(handler: Api, name: str, usual: int, most: int) -> int:
    """Return the parameter, from 1 to `most`; `usual` if it is missing."""
    limit = _number(handler.parameter(name, usual))
    if not 1 <= limit <= most:
        raise BadMessage(f"{name} is a whole number from 1 to {most}")
    return limit


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise BadMessage(f"{text[:20]!a} is not a whole number")
    return int(text)
