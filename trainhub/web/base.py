"""What every HTTP answer has in common: JSON, errors, identity, limits and safe headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from http.client import responses
from typing import Any

import tornado.web

from trainhub.domain import errors
from trainhub.domain.train import TrainState
from trainhub.hub import Hub
from trainhub.identity import ANONYMOUS, Identity, Tokens
from trainhub.protocol import MOST_BODY_BYTES, MOST_SOCKET_BYTES, encode, error_fields, parse

# The nearest class of an error decides its status.
STATUS: dict[type[errors.HubError], int] = {
    errors.BadMessage: 400,
    errors.NotIdentified: 401,
    errors.BadToken: 401,
    errors.Forbidden: 403,
    errors.Unknown: 404,
    errors.Conflict: 409,
    errors.TooManyRooms: 409,
    errors.Unavailable: 503,
}
# The protocol's code for what tornado itself refuses.
CODES = {401: "NOT_IDENTIFIED", 403: "FORBIDDEN", 404: "UNKNOWN_TYPE", 503: "UNAVAILABLE"}

HEADERS = {
    "Server": "trainhub",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
}


@dataclass(frozen=True)
class Web:
    """What the handlers are handed: the hub, who signs for whom, and what the edge allows."""

    hub: Hub
    tokens: Tokens
    anonymous: bool
    max_connections: int


class SafeHeaders(tornado.web.RequestHandler):
    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)


@tornado.web.stream_request_body
class Api(SafeHeaders):
    """A JSON resource. The body is taken in parts so that one too large is refused at its head."""

    most_body_bytes = MOST_SOCKET_BYTES

    def initialize(self, web: Web) -> None:
        self.web = web
        self.hub = web.hub
        self._body = bytearray()

    def prepare(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.hub.check()
        self.identity = self._identify()
        if int(self.request.headers.get("Content-Length") or 0) > self.most_body_bytes:
            self._refuse_body()

    def data_received(self, chunk: bytes) -> None:
        if self._finished:
            return  # refused already: the rest is read so that the client gets to the answer
        self._body += chunk
        if len(self._body) > self.most_body_bytes:
            self._refuse_body()

    def _refuse_body(self) -> None:
        self._body.clear()
        self.set_header("Connection", "close")
        self.send_error(413, reason=f"a body here has at most {self.most_body_bytes} bytes")

    def _identify(self) -> Identity:
        header = self.request.headers.get("Authorization")
        if header is None:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise errors.BadToken("Authorization is Bearer and a token")
        return self.web.tokens.identify(token.strip())

    def read_body(self) -> Mapping[str, Any]:
        """The body's JSON object; an empty body is an empty one."""
        if not self._body:
            return {}
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise tornado.web.HTTPError(415, reason="send the body as application/json")
        data = parse(bytes(self._body))
        if not isinstance(data, Mapping):
            raise errors.BadMessage("the body is a JSON object")
        return data

    def find(self, train_no: str) -> TrainState:
        """The run that the path and `?date=` name."""
        text = self.get_query_argument("date", None)
        try:
            day = None if text is None else date.fromisoformat(text)
        except ValueError:
            raise errors.BadMessage("date is like ?date=2026-11-23") from None
        return self.hub.find(train_no.strip().upper(), day, self.identity)

    def answer(self, result: object) -> None:
        self._json({"result": result})

    def _json(self, body: Mapping[str, Any]) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, errors.HubError):
            self.set_status(status_of(error))
            fields = error_fields(error)
        else:
            told = kwargs.get("reason") or getattr(error, "reason", None) or responses[status_code]
            code = CODES.get(status_code, "BAD_MESSAGE" if status_code < 500 else "UNAVAILABLE")
            fields = {"code": code, "message": told}
        if self.get_status() == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        self._json({"error": fields})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, errors.HubError):  # those are answers, not faults
            super().log_exception(typ, value, tb)


class NoSuchPage(Api):
    def prepare(self) -> None:
        raise tornado.web.HTTPError(404, reason="there is nothing at this address")


def status_of(error: errors.HubError) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


class Large:
    """Mixed into what takes a whole chart."""

    most_body_bytes = MOST_BODY_BYTES
