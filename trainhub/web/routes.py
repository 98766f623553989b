"""The table of addresses, from which the app and docs/openapi.yaml are built."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, TypedDict

from trainhub.core.about import About
from trainhub.domain import commands as c
from trainhub.domain.model import STAFF, Amendment, Role
from trainhub.domain.shapes import (
    BerthPlace,
    BerthPlan,
    BoardLine,
    Decision,
    Handover,
    OfferView,
    Person,
    Report,
    RunView,
    Summary,
    VacancyView,
    Waiting,
)
from trainhub.domain.views import rac_view, vacancies_view
from trainhub.hub.figures import Alive, MonitorFigures, Ready, Version
from trainhub.hub.messages import AuditEntry, Me
from trainhub.hub.permissions import MAY
from trainhub.web import people, rest
from trainhub.web.attention import Attention, AttentionHandler
from trainhub.web.base import Api, Edge, Web
from trainhub.web.connections import (
    Closed,
    Connected,
    Connection,
    ConnectionHandler,
    ConnectionsHandler,
    RoomNow,
    RoomsHandler,
    RoomsOpen,
)
from trainhub.web.hour import HourHandler, LastHour
from trainhub.web.monitor import (
    HealthHandler,
    MonitorHandler,
    PageHandler,
    ReadyHandler,
    VersionHandler,
)
from trainhub.web.static_files import StaticFiles
from trainhub.web.websocket import TrainSocket

READERS = frozenset({Role.TTE, Role.ADMIN, Role.PASSENGER})
AUDITORS = frozenset({Role.ADMIN})

# The meaning of each status. The protocol's errors say more.
STATUSES = {
    101: "The socket is open.",
    200: "OK",
    304: "The file has not changed.",
    400: "The request is not well formed.",
    401: "A valid token is needed.",
    403: "The token does not allow it, or a page of another site asks.",
    404: "There is no such address, train, station, passenger, coach or offer.",
    405: "The address has other methods; Allow names them.",
    409: "It is not possible as things stand.",
    410: "Events that old are not held any more: read the train as it is now.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    421: "The hub does not have the name in Host.",
    426: "The version of WebSocket is not 13.",
    429: "Too many requests: try again after Retry-After.",
    500: "The hub failed at this request; its log has the reason.",
    503: "The hub is starting or stopping, its journal is full or failed, or MongoDB is away.",
}
_EVERY = {405, 421, 500}
_API = _EVERY | {400, 401, 413, 429, 503}


@dataclass(frozen=True, kw_only=True)
class Route:
    """An address and method, with its handler, its answer, and the roles that may ask.

    `roles` None means everyone, with or without a token. The rules of a `command` are in
    permissions.py. `answer` is the type of `result`, or of the whole body if `bare`. `extra` has
    the fields next to `result`, and `body` is the type of the request's body. `needs` names the
    arguments that the app gives to the handler.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: type[Edge]
    answer: Any = None
    extra: type | None = None
    bare: bool = False
    roles: frozenset[Role] | None = None
    command: type[c.Command] | None = None
    body: type | None = None
    open: bool = False
    statuses: frozenset[int] = frozenset()
    kinds: tuple[str, ...] = ("application/json",)
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """Return the path as tornado's pattern. Only `{file}` may contain slashes."""
        found = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path)
        return found.replace("(?P<file>[^/]+)", "(?P<path>.*)")


def _read(
    path: str,
    name: str,
    handler: type[Api],
    summary: str,
    answer: Any,
    roles: frozenset[Role] | None = None,
    more: Iterable[int] = (),
    **fields: Any,
) -> Route:
    """Make a route that reads from the API."""
    statuses = {200, *_API, *more}
    if "{trainNo}" in path:
        statuses |= {400, 404, 409}
    if handler.query is not None:
        statuses |= {400}
    if roles is not None:
        statuses |= {403}
    return Route(
        method="GET",
        path=path,
        name=name,
        handler=handler,
        summary=summary,
        answer=answer,
        roles=roles,
        statuses=frozenset(statuses),
        **fields,
    )


def _open(
    path: str, name: str, handler: type[Edge], summary: str, more: Iterable[int], **fields: Any
) -> Route:
    """Make a route that is open to everyone and reads no token."""
    found = frozenset({*_EVERY, *more})
    fields = {"method": "GET", "open": True, **fields}
    return Route(path=path, name=name, handler=handler, summary=summary, statuses=found, **fields)


def _own(
    method: str, what: str, name: str, summary: str, answer: Any, body: type | None = None
) -> Route:
    """Make a route for data of the token's own user."""
    return Route(
        method=method,
        path=f"/api/me/{what}",
        name=name,
        handler=people.PreferencesHandler if what == "preferences" else people.DevicesHandler,
        summary=summary,
        answer=answer,
        body=body,
        roles=frozenset(Role),
        statuses=frozenset({200, 403, *_API, *(() if body is None else (415,))}),
    )


def _order(method: str, path: str, command: type[c.Command]) -> Route:
    """Make a route for a command."""
    name = command.__name__[0].lower() + command.__name__[1:]
    handler = rest.TrainsHandler if command is c.RegisterTrain else rest.CommandHandler
    return Route(
        method=method,
        path=path,
        name=name,
        summary=(command.__doc__ or "").strip(),
        handler=handler,
        command=command,
        statuses=frozenset({200, 400, 403, 404, 409, 415, *_API}),
        options={"command": command, "method": method},
    )


class _Page(TypedDict):
    next: NotRequired[
        Annotated[int, About("The `after` of the next page. The last page has none.", least=1)]
    ]


SOCKET = "/ws"
_TRAIN = "/api/trains/{trainNo}"
_PERSON_PATH = _TRAIN + "/passengers/{pnr}/{index}"
_OFFER = "/api/offers/{offerId}"
ROUTES: tuple[Route, ...] = (
    _order("POST", "/api/trains", c.RegisterTrain),
    _order("POST", _TRAIN + "/chart", c.AmendChart),
    _order("POST", _TRAIN + "/start", c.StartJourney),
    _order("POST", _TRAIN + "/cancel", c.CancelTrain),
    _order("POST", _TRAIN + "/reinstate", c.ReinstateTrain),
    _order("POST", _TRAIN + "/undo-report", c.UndoReport),
    _order("POST", _TRAIN + "/arrivals", c.Arrive),
    _order("POST", _TRAIN + "/departures", c.Depart),
    _order("POST", _TRAIN + "/skips", c.SkipStation),
    _order("POST", _TRAIN + "/halts", c.AddHalt),
    _order("POST", _TRAIN + "/undo-skip", c.UndoSkip),
    _order("POST", _TRAIN + "/short-terminate", c.ShortTerminate),
    _order("PUT", _TRAIN + "/delay", c.SetDelay),
    _order("PUT", _TRAIN + "/platform", c.SetPlatform),
    _order("POST", _TRAIN + "/announcements", c.Announce),
    _order("POST", _TRAIN + "/marks", c.Batch),
    _order("POST", _TRAIN + "/coaches/{coach}/check", c.CheckCoach),
    _order("POST", _TRAIN + "/sign-on", c.SignOn),
    _order("POST", _TRAIN + "/sign-off", c.SignOff),
    _order("POST", _TRAIN + "/remarks", c.Remark),
    _order("POST", _TRAIN + "/coaches/{coach}/block", c.BlockBerth),
    _order("POST", _TRAIN + "/coaches/{coach}/unblock", c.UnblockBerth),
    _order("POST", _PERSON_PATH + "/board", c.MarkBoarded),
    _order("POST", _PERSON_PATH + "/no-show", c.MarkNoShow),
    _order("POST", _PERSON_PATH + "/undo-board", c.UndoBoarded),
    _order("POST", _PERSON_PATH + "/undo-no-show", c.UndoNoShow),
    _order("POST", _PERSON_PATH + "/alight", c.Alight),
    _order("POST", _PERSON_PATH + "/berth", c.AllotBerth),
    _order("POST", _PERSON_PATH + "/swap", c.SwapBerths),
    _order("POST", _PERSON_PATH + "/cancel", c.CancelJourney),
    _order("POST", _PERSON_PATH + "/boarding-station", c.ChangeBoarding),
    _order("POST", _OFFER + "/accept", c.AcceptOffer),
    _order("POST", _OFFER + "/deny", c.DenyOffer),
    _order("POST", _OFFER + "/approve", c.ApproveOffer),
    _order("POST", _OFFER + "/withdraw", c.WithdrawOffer),
    Route(
        method="POST",
        path=_TRAIN + "/chart/check",
        name="checkChart",
        handler=rest.ChartCheckHandler,
        summary="Ask what an amendment of a chart would do, line by line. Nothing changes.",
        answer=rest.ChartCheck,
        body=Amendment,
        roles=frozenset(MAY[c.AmendChart]),
        statuses=frozenset({200, 403, 404, 409, 415, *_API}),
    ),
    _read(
        "/api/trains",
        "listTrains",
        rest.TrainsHandler,
        "List every run in a few fields.",
        list[Summary],
    ),
    _read(_TRAIN, "readTrain", rest.TrainHandler, "Read a run as you may see it.", RunView),
    _read(
        _TRAIN + "/passengers",
        "listPassengers",
        rest.PassengersHandler,
        "List a run's passengers: all for its staff, their own for passengers.",
        list[Person],
        READERS,
    ),
    _read(
        _TRAIN + "/passengers/{pnr}",
        "readPnr",
        rest.PnrHandler,
        "List the passengers on a PNR.",
        list[Person],
        READERS,
    ),
    _read(
        _PERSON_PATH + "/history",
        "readHistory",
        rest.HistoryHandler,
        "Read every decision about a person, and why; also why the person was not asked.",
        list[Decision],
        READERS,
        extra=rest.Completeness,
    ),
    _read(
        _TRAIN + "/events",
        "listEvents",
        rest.EventsHandler,
        "List a page of the events that you may be told.",
        list[Any],
        more=[410],
        extra=_Page,
    ),
    _read(
        _TRAIN + "/offers",
        "listOffers",
        rest.OffersHandler,
        "List a run's newest offers: all for its staff, their own for passengers.",
        list[OfferView],
        READERS,
    ),
    _read(
        _TRAIN + "/rac",
        "listWaiting",
        rest.StaffHandler,
        "List the passengers on RAC and WL, in the order in which they get a berth.",
        list[Waiting],
        STAFF,
        options={"view": rac_view},
    ),
    _read(
        _TRAIN + "/vacancies",
        "listVacancies",
        rest.StaffHandler,
        "List the berths that are free on the coming leg.",
        list[VacancyView],
        STAFF,
        options={"view": vacancies_view},
    ),
    _read(
        _TRAIN + "/coaches/{coach}",
        "readCoach",
        rest.CoachHandler,
        "Read a coach's berths, and who has each between which stations.",
        list[BerthPlan],
        STAFF,
    ),
    _read(
        _TRAIN + "/coaches/{coach}/layout",
        "readLayout",
        rest.LayoutHandler,
        "Read the berths of a coach and their types, to draw it.",
        list[BerthPlace],
    ),
    _read(
        _TRAIN + "/handover",
        "readHandover",
        rest.HandoverHandler,
        "Read what the next TTE must know, coach by coach.",
        Handover,
        STAFF,
    ),
    _read(
        _TRAIN + "/report",
        "readReport",
        rest.ReportHandler,
        "Read the captaincy report.",
        Report,
        STAFF,
        kinds=("application/json", "text/csv"),
    ),
    _read(
        "/api/stations/{code}",
        "readStation",
        rest.BoardHandler,
        "List the trains that are due at a station in the next hours, the next one first.",
        list[BoardLine],
        more=[404],
        extra=rest.BoardOf,
    ),
    _read(
        "/api/me",
        "readMe",
        rest.MeHandler,
        "Read who your token says you are.",
        Me,
        frozenset(Role),
    ),
    _open(
        "/api/push/key",
        "readPushKey",
        people.PushKeyHandler,
        "Read the public key with which a browser subscribes to pushes.",
        (200, 400, 401, 413, 429, 503),
        answer=people.PushKey,
    ),
    _own("GET", "preferences", "readPreferences", "Read how you want to be told.", people.Chosen),
    _own(
        "PUT",
        "preferences",
        "setPreferences",
        "Choose how you want to be told.",
        people.Chosen,
        people.Chosen,
    ),
    _own(
        "GET",
        "devices",
        "listDevices",
        "List the browsers that take your pushes.",
        list[people.Endpoint],
    ),
    _own(
        "POST",
        "devices",
        "addDevice",
        "Let a browser take your pushes.",
        people.Endpoint,
        people.Subscription,
    ),
    _own(
        "DELETE",
        "devices",
        "removeDevice",
        "Let a browser take no more pushes.",
        people.Endpoint,
        people.Endpoint,
    ),
    _read(
        _TRAIN + "/notifications",
        "listLetters",
        people.LettersHandler,
        "List the letters of a run, the newest first, and what became of each.",
        list[people.Letter],
        STAFF,
    ),
    Route(
        method="POST",
        path="/api/notifications/retry",
        name="retryLetters",
        handler=people.RetryHandler,
        summary="Try the letters again that could not be sent, as far as they are still true.",
        answer=people.Retried,
        roles=AUDITORS,
        statuses=frozenset({200, 403, *_API}),
    ),
    _read(
        "/api/audit",
        "readAudit",
        rest.AuditHandler,
        "List the commands on the runs that your token covers, the newest first.",
        list[AuditEntry],
        AUDITORS,
    ),
    _read(
        "/api/connections",
        "listConnections",
        ConnectionsHandler,
        "List open sockets, the furthest behind first: at most 200. For a token of all trains.",
        list[Connection],
        AUDITORS,
        extra=Connected,
    ),
    _read(
        "/api/rooms",
        "listRooms",
        RoomsHandler,
        "List the rooms of runs, the slowest first: at most 20. For a token of all trains.",
        list[RoomNow],
        AUDITORS,
        extra=RoomsOpen,
    ),
    Route(
        method="DELETE",
        path="/api/connections/{clientId}",
        name="closeConnection",
        handler=ConnectionHandler,
        summary="Close a socket. Its client may connect again. For a token of all trains.",
        answer=Closed,
        roles=AUDITORS,
        statuses=frozenset({200, 403, *_API}),
    ),
    _read(
        "/api/monitor",
        "readMonitor",
        MonitorHandler,
        "Read the hub's figures, as the monitor page shows them.",
        MonitorFigures,
        bare=True,
        needs=("monitor",),
    ),
    _read(
        "/api/hour",
        "readHour",
        HourHandler,
        "Read the hub's figures of the last hour, in samples.",
        LastHour,
        needs=("hour",),
    ),
    _read(
        "/api/attention",
        "readAttention",
        AttentionHandler,
        "Read what needs attention on the runs that your token covers.",
        Attention,
        STAFF,
        needs=("monitor",),
    ),
    _open(
        "/readyz",
        "readReady",
        ReadyHandler,
        "Ask whether the runs and charts are loaded, and what is degraded.",
        (200, 413, 503),
        answer=Ready,
        bare=True,
        needs=("monitor",),
    ),
    _open(
        "/healthz",
        "readHealth",
        HealthHandler,
        "Ask whether the process answers.",
        (200, 413),
        answer=Alive,
        bare=True,
    ),
    _open(
        "/version",
        "readVersion",
        VersionHandler,
        "Read the hub's version.",
        (200, 413, 429),
        answer=Version,
        bare=True,
    ),
    _open(
        "/",
        "readPage",
        PageHandler,
        "Load the monitor page.",
        (200, 429),
        kinds=("text/html",),
        needs=("pages",),
    ),
    _open(
        "/passenger.html",
        "readPassengerPage",
        PageHandler,
        "Load the passenger page.",
        (200, 429),
        kinds=("text/html",),
        needs=("pages",),
    ),
    _open(
        "/tte.html",
        "readTtePage",
        PageHandler,
        "Load the page of the ticket examiners (TTEs).",
        (200, 429),
        kinds=("text/html",),
        needs=("pages",),
    ),
    _open(
        "/sw.js",
        "readServiceWorker",
        PageHandler,
        "Load the service worker: it shows pushes, and opens pages without a network.",
        (200, 429),
        kinds=("text/javascript",),
        needs=("pages",),
    ),
    _open(
        "/static/{file}",
        "readFile",
        StaticFiles,
        "Load a file of the pages, or the JavaScript client.",
        (200, 304, 403, 404, 429),
        kinds=("*/*",),
        needs=("path",),
    ),
    _open(
        SOCKET,
        "openSocket",
        TrainSocket,
        "Open a WebSocket; asyncapi.yaml has its messages.",
        (101, 400, 401, 403, 426, 429, 503),
        open=False,
        kinds=(),
    ),
)


def route_of(command: type[c.Command]) -> Route:
    """Return a command's route."""
    return next(route for route in ROUTES if route.command is command)


def rules(web: Web, **given: Any) -> list[tuple[str, type[Edge], dict[str, Any]]]:
    """Return tornado's rules, one for each path. `given` has the arguments named in `needs`.

    Tornado tries one after the other. The socket's is the first: a whole train may come at once.
    """
    found: dict[str, tuple[str, type[Edge], dict[str, Any]]] = {}
    for route in ROUTES:
        options = {"web": web, **route.options, **{name: given[name] for name in route.needs}}
        if route.roles is not None:
            options["roles"] = route.roles
        _, _, known = found.get(route.path, (None, None, {}))
        found[route.path] = (route.pattern, route.handler, {**known, **options})
    return [found.pop(SOCKET), *found.values()]
