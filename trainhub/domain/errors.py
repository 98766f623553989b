"""What can be wrong with a request, as a tree; each class is one error code of the protocol.

    HubError
    ├── BadMessage          BAD_MESSAGE        the message itself is not well formed
    │   └── UnknownType     UNKNOWN_TYPE       no such message type
    ├── NotIdentified       NOT_IDENTIFIED     say who you are first
    ├── BadToken            BAD_TOKEN          the token is forged, expired or not for this hub
    ├── Forbidden           FORBIDDEN          known, but not allowed to
    ├── Unknown             …                  it names something that the hub does not have
    │   ├── UnknownTrain    UNKNOWN_TRAIN
    │   ├── UnknownStation  UNKNOWN_STATION
    │   ├── UnknownPassenger UNKNOWN_PASSENGER
    │   └── UnknownOffer    UNKNOWN_OFFER
    ├── Conflict            CONFLICT           well formed, but not as things stand
    │   ├── AmbiguousRun    AMBIGUOUS_RUN      two runs of that number may be meant
    │   └── OfferClosed     OFFER_CLOSED       the offer was answered, withdrawn, or ran out
    ├── TooManyRooms        TOO_MANY_ROOMS     leave a room before you join another
    ├── RateLimited         RATE_LIMITED       you ask more often than you may
    └── Unavailable         UNAVAILABLE        the hub cannot take it now

A HubError that is raised has changed nothing.
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


class UnknownTrain(Unknown):
    code = "UNKNOWN_TRAIN"


class UnknownStation(Unknown):
    code = "UNKNOWN_STATION"


class UnknownPassenger(Unknown):
    code = "UNKNOWN_PASSENGER"


class UnknownOffer(Unknown):
    code = "UNKNOWN_OFFER"


class Conflict(HubError):
    code = "CONFLICT"


class AmbiguousRun(Conflict):
    code = "AMBIGUOUS_RUN"


class OfferClosed(Conflict):
    """`details.outcome` says how the offer ended."""

    code = "OFFER_CLOSED"


class TooManyRooms(HubError):
    code = "TOO_MANY_ROOMS"


class RateLimited(HubError):
    code = "RATE_LIMITED"


class Unavailable(HubError):
    code = "UNAVAILABLE"
