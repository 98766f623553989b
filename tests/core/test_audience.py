"""trainhub/core/audience.py: who may be told an event."""

import pytest

from trainhub.core.audience import EVERYONE, Roles, Standing, User, may_be_told

ANN = Standing("guest", "ann")


@pytest.mark.parametrize(
    ("audience", "told"),
    [
        (EVERYONE, True),
        ((User("ann", "guest"),), True),
        ((User("ann", "host"),), False),
        ((User("bob", "guest"),), False),
        ((Roles({"guest"}),), True),
        ((Roles({"host"}),), False),
        ((Roles({"host"}), User("ann", "guest")), True),
        ((), False),
    ],
)
def test_any_part_that_names_a_client_includes_it(audience, told):
    """A user is named together with a role: the same name in another role is another user."""
    assert may_be_told(audience, ANN) is told


@pytest.mark.parametrize("audience", [(User("", "guest"),), (Roles({"guest"}),)])
def test_a_client_without_a_part_hears_what_everyone_hears(audience):
    """No user and no role is never matched by a name."""
    assert may_be_told(EVERYONE, Standing())
    assert not may_be_told(audience, Standing())
