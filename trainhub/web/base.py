"""The base of all HTTP handlers: JSON, errors, identity, limits and safe headers."""

import logging
import math
import time
from asyncio import Future
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from http.client import responses
from typing import Any, ClassVar, TypeVar, cast, overload

import tornado.web
from tornado.http1connection import HTTP1Connection

from trainhub.access.identity import ANONYMOUS, Identity, Tokens
from trainhub.core import cost, errors
from trainhub.core.codec import read_date
from trainhub.core.contacts import Contacts
from trainhub.core.cost import LONG_WORK, in_slices
from trainhub.core.push_hosts import PushHosts
from trainhub.core.wire import encode, error_fields, parse
from trainhub.domain import normal
from trainhub.domain.model import Role
from trainhub.domain.train import TrainState
from trainhub.hub.hub import Hub
from trainhub.hub.permissions import require_role, require_run
from trainhub.hub.protocol import MOST_BODY_BYTES, MOST_SOCKET_BYTES
from trainhub.web.drain import Drain
from trainhub.web.held import HeldBytes, reset_at_close
from trainhub.web.hosts import AllowedHosts
from trainhub.web.limits import SECONDS_A_BYTE, Askers, InDebt, Limits, SecondsClock, TooOften
from trainhub.web.origins import cors_headers, preflight_headers
from trainhub.web.poller import Poller, best_poller
from trainhub.web.shared import Body, SharedBody, takes_gzip
from trainhub.web.tornado_insides import WholeRequest
from trainhub.web.trains import list_of_trains

logger = logging.getLogger("trainhub.web")

T = TypeVar("T")
# Query parameters in which clients might send a token.
TOKEN_PARAMETERS = frozenset(
    {"token", "access_token", "accessToken", "jwt", "auth", "authorization", "bearer"}
)

# The nearest class of an error decides its status.
STATUS: dict[type[errors.HubError], int] = {
    errors.BadMessage: 400,
    errors.NotIdentified: 401,
    errors.BadToken: 401,
    errors.Forbidden: 403,
    errors.Unknown: 404,
    errors.Conflict: 409,
    errors.TooManyRooms: 409,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}
# The protocol's codes for requests that tornado itself refuses.
STATUS_CODES = {401: "NOT_IDENTIFIED", 403: "FORBIDDEN", 404: "UNKNOWN_TYPE", 503: "UNAVAILABLE"}
RETRY_AFTER_SECONDS = "5"
# Bytes up to which a body over the limit is still read, so that its sender sees the answer.
MOST_READ_BYTES = 4 * MOST_BODY_BYTES

HEADERS = {
    "Server": "trainhub",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
}
# Sent over TLS only: browsers then use only TLS for this name, for a year.
HSTS = "max-age=31536000"


@dataclass(frozen=True)
class Web:
    """What all handlers share: the hub, its tokens, and the limits of the edge."""

    hub: Hub
    tokens: Tokens
    anonymous: bool
    max_connections: int
    limits: Limits = field(default_factory=Limits)
    drain: Drain = field(default_factory=Drain)
    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    origins: frozenset[str] = frozenset()
    own_are_free: bool = True
    contacts: Contacts | None = None
    # The public key for pushes, None if this hub sends none.
    push_key: str | None = None
    # Tries the dead letters again, and returns how many.
    retry_letters: Callable[[], Awaitable[int]] | None = None
    push_hosts: PushHosts = field(default_factory=PushHosts)
    clock: SecondsClock = time.monotonic  # measures the limits' rates

    @cached_property
    def askers(self) -> Askers:
        return Askers(self.limits, self.own_are_free, self.clock)

    @cached_property
    def poller(self) -> Poller:
        return best_poller()

    @cached_property
    def trains(self) -> SharedBody:
        return list_of_trains(self.hub)

    @cached_property
    def held(self) -> HeldBytes:
        return HeldBytes(self.limits.max_held_bytes)


class Edge(WholeRequest):
    """Safe headers on every answer, and every error as the protocol's JSON."""

    web: Web

    async def carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the caller pay for all work of this request."""
        self.bill = cost.Bill()
        cost.open_bill(self.bill)
        await cost.paid(work)

    def flush(self, include_footers: bool = False) -> "Future[None]":
        """Write what is ready. The caller pays for the bytes, which count as held until read."""
        size = self.unflushed()
        written = super().flush(include_footers)
        self.bill.spend(size * SECONDS_A_BYTE)
        stream = cast(HTTP1Connection, self.request.connection).stream
        unsent = stream.writing()
        self.hold(size if unsent else 0)
        if unsent:
            written.add_done_callback(lambda _: self.hold(0))
        return written

    def hold(self, size: int) -> None:
        """Set how many bytes wait in memory for this client."""
        self.web.held.hold(self, self.request.remote_ip or "", size)

    def cut_off(self) -> None:
        """Close the connection at once: too many bytes wait for clients."""
        stream = cast(HTTP1Connection, self.request.connection).stream
        if not stream.closed():
            reset_at_close(stream.socket)
            stream.close()

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        if self.request.protocol == "https":
            self.set_header("Strict-Transport-Security", HSTS)
        for name, value in cors_headers(self.request.headers, self._origins).items():
            self.set_header(name, value)

    @property
    def allowed(self) -> list[str]:
        """Return the methods that this address answers."""
        own, none = type(self), Edge
        methods = self.SUPPORTED_METHODS
        return with_head(
            [m for m in methods if getattr(own, m.lower()) is not getattr(none, m.lower())]
        )

    @property
    def _origins(self) -> frozenset[str]:
        return cast("frozenset[str]", self.settings.get("trusted_origins", frozenset()))

    def check_trusted_origin(self, origin: str) -> bool:
        if super().check_trusted_origin(origin):
            return True
        raise tornado.web.HTTPError(
            403, reason="pages of other sites may not ask: allow a site with --trusted-origins"
        )

    def count(self, identity: Identity = ANONYMOUS) -> None:
        """Count the request, and let its caller pay for it. Raises TooOften."""
        account = self.web.askers.account(identity, self.request.remote_ip or "")
        self.bill.account = account
        account.admit()

    async def head(self, *args: str, **kwargs: str) -> None:
        """Answer as GET does, without the body (RFC 9110, 9.3.2)."""
        if "HEAD" not in self.allowed:
            raise tornado.web.HTTPError(405)
        answering = cast(Any, self).get(*args, **kwargs)
        if answering is not None:
            await answering

    def bearer(self) -> str | None:
        """Return the token in the Authorization header, None without one. Raises BadToken."""
        header = self.request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise errors.BadToken("Authorization has another scheme: send Bearer and a token")
        return token.strip()

    def check_query(self, known: Sequence[str]) -> None:
        """Raise BadMessage for an unknown query parameter: a misspelt filter would give too much.

        Raises BadToken for a token, as logs keep addresses.
        """
        odd = self.request.query_arguments.keys() - set(known)
        if odd & TOKEN_PARAMETERS:
            raise errors.BadToken(
                "logs keep a token in an address: send it as Authorization: Bearer, or on a "
                "socket with IDENTIFY"
            )
        if odd:
            expected = f"expected one of {', '.join(known)}" if known else "this address has none"
            raise errors.BadMessage(f"unknown parameter {min(odd)[:20]!a}; {expected}")

    def options(self, *args: str, **kwargs: str) -> None:
        headers = preflight_headers(self.request.headers, self._origins, self.allowed)
        if headers is None:
            raise tornado.web.HTTPError(405)
        for name, value in headers.items():
            self.set_header(name, value)
        self.set_status(204)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        try:
            return super().decode_argument(value, name)
        except tornado.web.HTTPError:
            raise errors.BadMessage(f"{name or 'the address'} is to be text in UTF-8") from None

    def send_json(self, body: Mapping[str, Any]) -> None:
        self.send_encoded(encode(body))

    def send_encoded(self, body: bytes) -> None:
        """Finish with JSON that is ready for the wire."""
        self._set_json()
        self.finish(body)

    def _set_json(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")

    async def send_shared(self, body: Body) -> None:
        """Finish with JSON that many callers share, compressed for callers that accept gzip."""
        self.add_header("Vary", "Accept-Encoding")
        gzipped = await body.gzipped() if takes_gzip(self.request.headers) else None
        if gzipped is not None:
            self.set_header("Content-Encoding", "gzip")
        data = body.plain if gzipped is None else gzipped
        self.set_header("Content-Length", str(len(data)))
        self._set_json()
        self.flush()  # only the head, so that all connections hold the same bytes of the body
        self.finish(data)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, errors.HubError):
            status_code = status_of(error)
            self.set_status(status_code)
            fields = error_fields(error)
            self.web.hub.activity.refused(error.code, self.request.method)
            if isinstance(error, TooOften):
                self.web.askers.refused += 1
                fields["retryAfterMs"] = math.ceil(error.seconds * 1000)
                self.set_header("Retry-After", str(math.ceil(error.seconds)))
        else:
            told = getattr(error, "reason", None) or responses[status_code]
            code = STATUS_CODES.get(
                status_code, "BAD_MESSAGE" if status_code < 500 else "UNAVAILABLE"
            )
            fields = {"code": code, "message": told}
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.allowed))
        if status_code == 503:
            self.set_header("Retry-After", RETRY_AFTER_SECONDS)
        self.send_json({"error": fields})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, errors.HubError | tornado.web.HTTPError):
            return  # these are answers, not faults of the hub
        # Tornado's own line would have the address, which may contain a PNR.
        logger.error("a request could not be answered", exc_info=(typ, value, tb))


def with_head(methods: list[str]) -> list[str]:
    """Return the methods of an address, with HEAD wherever there is GET."""
    if "GET" not in methods or "HEAD" in methods:
        return methods
    place = methods.index("GET") + 1
    return [*methods[:place], "HEAD", *methods[place:]]


@tornado.web.stream_request_body
class Api(Edge):
    """A JSON resource.

    The body is read in parts, so that the hub never holds more than the limit. A refusal is
    answered after the body, as many clients read no answer before they have sent all.
    """

    most_body_bytes = MOST_SOCKET_BYTES
    # A dataclass with the query parameters of this address.
    query: ClassVar[type | None] = None

    def initialize(self, web: Web, roles: Collection[Role] | None = None) -> None:
        """Set up a request. Only `roles` may ask; None means everyone."""
        self.web = web
        self.hub = web.hub
        self.roles = roles
        self.identity = ANONYMOUS
        self._body = bytearray()
        self._refused = False

    async def prepare(self) -> None:
        announced = self.request.headers.get("Content-Length") or "0"
        # int() raises ValueError for thousands of digits.
        if announced.isdecimal() and (len(announced) > 15 or int(announced) > MOST_READ_BYTES):
            raise self._too_large()
        try:
            try:
                self.admit()
            except InDebt:
                # Most callers have no debt after the wait. The others are at least slowed down.
                await self.web.askers.account(self.identity, self.request.remote_ip or "").pay_off()
                self.admit()
        except (errors.HubError, tornado.web.HTTPError) as error:
            self._refuse(error)

    def admit(self) -> None:
        """Identify the caller and charge the request. Raises if the request is refused."""
        self.hub.check()
        try:
            self.identity = self._identify()
        finally:
            self.count(self.identity)  # a bad token counts as no token
        if self.roles is not None and self.request.method in self.allowed:
            require_role(self.identity, self.roles)
        self.check_query(self.parameters)

    def data_received(self, chunk: bytes) -> None:
        if self._refused:
            return
        self._body += chunk
        self.hold(len(self._body))
        if len(self._body) > self.most_body_bytes:
            self._refuse(self._too_large())

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.hold(0)

    def _too_large(self) -> tornado.web.HTTPError:
        return tornado.web.HTTPError(
            413, reason=f"the body is too large: send at most {self.most_body_bytes} bytes"
        )

    def _refuse(self, error: Exception) -> None:
        """Let the method that would answer raise the refusal instead."""
        self._refused = True
        self._body.clear()
        self.hold(0)

        def say(*args: str, **kwargs: str) -> None:
            raise error

        setattr(self, (self.request.method or "get").lower(), say)

    def _identify(self) -> Identity:
        token = self.bearer()
        return ANONYMOUS if token is None else self.web.tokens.identify(token)

    def read_body(self) -> Mapping[str, Any]:
        """Return the body's JSON object, which is empty for an empty body."""
        if not self._body:
            return {}
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise tornado.web.HTTPError(415, reason="send the body as application/json")
        data = parse(bytes(self._body))
        if not isinstance(data, Mapping):
            raise errors.BadMessage("the body is not a JSON object: send one")
        return data

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return the names of the query parameters."""
        own = () if self.query is None else fields(self.query)
        dated = ("date",) if "trainNo" in self.path_kwargs else ()
        return (*dated, *(each.name for each in own))

    @overload
    def parameter(self, name: str) -> str | None: ...

    @overload
    def parameter(self, name: str, usual: object) -> str: ...

    def parameter(self, name: str, usual: object = None) -> str | None:
        """Return a query parameter as it was sent, else `usual`.

        Also returns `usual` for a parameter that this address does not have.
        """
        usual = None if usual is None else str(usual)
        return self.get_query_argument(name, usual) if name in self.parameters else usual

    def find(self, train_no: str) -> TrainState:
        """Return the run that the path and `?date=` name."""
        self.check_anonymous()
        text = self.parameter("date")
        day = None if text is None else read_date(text, "date")
        return self.hub.find(str(normal.train_no(train_no)), day, self.identity)

    def check_anonymous(self) -> None:
        """Raise NotIdentified if the caller needs a token to read."""
        if not self.web.anonymous and self.identity.role is None:
            raise errors.NotIdentified("this hub needs a token: send Authorization: Bearer")

    def staffs_run(self, train_no: str) -> TrainState:
        """Return the run. Raises Forbidden if the token does not cover it."""
        state = self.find(train_no)
        require_run(self.identity, state.run)
        return state

    def answer(self, result: object) -> None:
        self.send_json({"result": result})

    async def answer_list(
        self, items: Sequence[T], view: Callable[[T], Mapping[str, Any] | None], **more: object
    ) -> None:
        """Answer with the items' views, when all that they show is durable.

        `view` returns None for an item to leave out. A long list is made in slices, and callers
        with long lists take turns. `more` are fields next to the result.
        """
        async with LONG_WORK.turn():
            self.bill.check()
            views = [encode(v) async for v in in_slices(map(view, items)) if v is not None]
        await self.hub.read(lambda: None)
        rest = b"," + encode(more)[1:] if more else b"}"
        self.send_encoded(b'{"result":[%b]%b' % (b",".join(views), rest))


class NoSuchPage(Api):
    def admit(self) -> None:
        self.count()
        raise tornado.web.HTTPError(404, reason="there is nothing at this address")


class Misdirected(Api):
    """The answer to requests for a host name that is not the hub's."""

    def admit(self) -> None:
        raise tornado.web.HTTPError(
            421, reason="the hub does not have this name: allow it with --allowed-hosts"
        )


class Large:
    """A mixin for handlers that accept a whole chart."""

    most_body_bytes = MOST_BODY_BYTES


def status_of(error: errors.HubError) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
