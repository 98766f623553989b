"""The railway's own errors, below those of core/errors.py.

Unknown
├── UnknownTrain      UNKNOWN_TRAIN
├── UnknownStation    UNKNOWN_STATION
├── UnknownPassenger  UNKNOWN_PASSENGER
└── UnknownOffer      UNKNOWN_OFFER
Conflict
├── AmbiguousRun      AMBIGUOUS_RUN   two runs of that number may be meant
└── OfferClosed       OFFER_CLOSED    the offer was answered, withdrawn or expired
"""

from trainhub.core.errors import Conflict, Unknown


class UnknownTrain(Unknown):
    code = "UNKNOWN_TRAIN"


class UnknownStation(Unknown):
    code = "UNKNOWN_STATION"


class UnknownPassenger(Unknown):
    code = "UNKNOWN_PASSENGER"


class UnknownOffer(Unknown):
    code = "UNKNOWN_OFFER"


class AmbiguousRun(Conflict):
    code = "AMBIGUOUS_RUN"


class OfferClosed(Conflict):
    """`details.outcome` says how the offer ended."""

    code = "OFFER_CLOSED"
