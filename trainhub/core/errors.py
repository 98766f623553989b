"""What can be wrong with a request, as a tree. Each class is one error code of the protocol.

    HubError
    ├── BadMessage          BAD_MESSAGE        the message is not well formed
    │   └── UnknownType     UNKNOWN_TYPE       no message has that type
    ├── NotIdentified       NOT_IDENTIFIED     the caller must identify first
    ├── BadToken            BAD_TOKEN          the token is forged, expired or for another hub
    ├── Forbidden           FORBIDDEN          the caller is known, and has no permission
    ├── Unknown             …                  the request names something that does not exist
    ├── Conflict            CONFLICT           well formed, but not possible in the present state
    ├── TooManyRooms        TOO_MANY_ROOMS     the client must leave a room first
    ├── RateLimited         RATE_LIMITED       the caller sends requests too often
    └── Unavailable         UNAVAILABLE        the hub cannot serve the request now

A domain adds its own: see domain/errors.py. A request that raises a HubError has changed nothing.
"""

from typing import Any, ClassVar


class HubError(Exception):
    """A request that is answered with an error.

    `message` says in words what to do; `details` is JSON-ready and may be empty.
    """

    code: ClassVar[str]

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadMessage(HubError):
    """The message is not well formed. The error's message names the field."""

    code = "BAD_MESSAGE"


class UnknownType(BadMessage):
    """There is no message of that type."""

    code = "UNKNOWN_TYPE"


class NotIdentified(HubError):
    """The request needs a token: identify first."""

    code = "NOT_IDENTIFIED"


class BadToken(HubError):
    """The token is forged, expired, revoked or not for this hub."""

    code = "BAD_TOKEN"


class Forbidden(HubError):
    """Your role may not do this, your token does not cover the run, or another site's page asks."""

    code = "FORBIDDEN"


class Unknown(HubError):
    """The request names something that does not exist here."""


class Conflict(HubError):
    """The request is well formed, but not possible as things stand."""

    code = "CONFLICT"


class TooManyRooms(HubError):
    """The socket is in as many rooms as it may be: leave one first."""

    code = "TOO_MANY_ROOMS"


class RateLimited(HubError):
    """You ask more often than you may: wait `retryAfterMs`."""

    code = "RATE_LIMITED"


class Unavailable(HubError):
    """The hub cannot do it now. The message says why, and whether a command may have happened."""

    code = "UNAVAILABLE"
