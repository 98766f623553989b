"""The railway's own errors, below those of core/errors.py.

Unknown
├── UnknownTrain      UNKNOWN_TRAIN
├── UnknownStation    UNKNOWN_STATION
├── UnknownPassenger  UNKNOWN_PASSENGER
├── UnknownCoach      UNKNOWN_COACH
└── UnknownOffer      UNKNOWN_OFFER
Conflict
├── AmbiguousRun      AMBIGUOUS_RUN      two runs of that number may be meant
├── AmbiguousStation  AMBIGUOUS_STATION  two stops at that station may be meant
└── OfferClosed       OFFER_CLOSED       the offer was answered, withdrawn or expired
"""

from trainhub.core.errors import Conflict, Unknown


class UnknownTrain(Unknown):
    """The hub does not have the train, or the run."""

    code = "UNKNOWN_TRAIN"


class UnknownStation(Unknown):
    """The train does not have the station."""

    code = "UNKNOWN_STATION"


class UnknownPassenger(Unknown):
    """The run does not have the passenger."""

    code = "UNKNOWN_PASSENGER"


class UnknownCoach(Unknown):
    """The train does not have the coach."""

    code = "UNKNOWN_COACH"


class UnknownOffer(Unknown):
    """The run does not have the offer."""

    code = "UNKNOWN_OFFER"


class AmbiguousRun(Conflict):
    """Several runs of the train may be meant: name one of `details.startDates`."""

    code = "AMBIGUOUS_RUN"


class AmbiguousStation(Conflict):
    """The train calls at the station more than once: name one of `details.stations`."""

    code = "AMBIGUOUS_STATION"


class OfferClosed(Conflict):
    """The offer has ended; `details.outcome` says how."""

    code = "OFFER_CLOSED"
