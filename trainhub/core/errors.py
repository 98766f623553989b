"""What can be wrong with a request, as a tree. Each class is one error code of the protocol.

    HubError
    ├── BadMessage          BAD_MESSAGE        the message is not well formed
    │   └── UnknownType     UNKNOWN_TYPE       no message has that type
    ├── NotIdentified       NOT_IDENTIFIED     the caller must identify first
    ├── BadToken            BAD_TOKEN          the token is forged, expired or for another hub
    ├── Forbidden           FORBIDDEN          the caller is known, and has no permission
    ├── Unknown             …                  the request names something that does not exist
    ├── Conflict            CONFLICT           well formed, and not possible in the present state
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
    code = "BAD_MESSAGE"


class UnknownType(BadMessage):
    code = "UNKNOWN_TYPE"


class NotIdentified(HubError):
    code = "NOT_IDENTIFIED"


class BadToken(HubError):
    code = "BAD_TOKEN"


class Forbidden(HubError):
    code = "FORBIDDEN"


class Unknown(HubError):
    """Something that is named and does not exist here."""


class Conflict(HubError):
    code = "CONFLICT"


class TooManyRooms(HubError):
    code = "TOO_MANY_ROOMS"


class RateLimited(HubError):
    code = "RATE_LIMITED"


class Unavailable(HubError):
    code = "UNAVAILABLE"
