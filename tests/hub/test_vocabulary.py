"""trainhub/hub/vocabulary.py: each event has a name in the stores."""

from trainhub.domain import events as e
from trainhub.hub.vocabulary import RAILWAY


def test_every_event_has_a_name():
    """Each class of events has a name, so each event can be written."""

    def leaves(cls):
        below = cls.__subclasses__()
        return {cls} if not below else set().union(*map(leaves, below))

    assert leaves(e.Event) <= set(RAILWAY.events.values())
