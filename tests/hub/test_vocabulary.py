"""trainhub/hub/vocabulary.py: every event of the railway has its stored name."""

from trainhub.domain import events as e
from trainhub.hub.vocabulary import RAILWAY


def test_every_event_has_a_name():
    """A class without a name could be decided and never be written."""

    def leaves(cls):
        below = cls.__subclasses__()
        return {cls} if not below else set().union(*map(leaves, below))

    assert leaves(e.Event) <= set(RAILWAY.events.values())
