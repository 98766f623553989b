"""The classes of events and snapshots that the stores write and read."""

from trainhub.core.journal import Vocabulary
from trainhub.core.ledger import WaysNoted
from trainhub.domain.events import EVENTS
from trainhub.domain.snapshot import RunSnapshot

RAILWAY = Vocabulary({**EVENTS, "WAYS_NOTED": WaysNoted}, RunSnapshot)
