"""The railway's classes of events and snapshots, as the stores write and read them."""

from trainhub.core.journal import Vocabulary
from trainhub.domain.events import EVENTS
from trainhub.domain.snapshot import RunSnapshot

RAILWAY = Vocabulary(EVENTS, RunSnapshot)
