"""trainhub/hub/permissions.py: each cell of the table of permissions."""

import pytest
from railway import RUN

from trainhub.access.identity import ANONYMOUS, Identity
from trainhub.core.errors import Forbidden, NotIdentified
from trainhub.domain import commands as c
from trainhub.domain.model import Role, RunKey
from trainhub.hub.permissions import MAY, Relation, require_relation, require_role, require_run

OWN = {c.CancelJourney, c.ChangeBoarding, c.AcceptOffer, c.DenyOffer}


def test_every_command_says_who_may_give_it():
    """Each command has a line in the table."""
    assert MAY.keys() == set(c.COMMANDS.values())
    assert all(MAY.values())


def test_a_passenger_speaks_for_their_own_people_and_nothing_else():
    """A passenger has four commands, for people booked by the same user."""
    assert {command for command, roles in MAY.items() if Role.PASSENGER in roles} == OWN
    assert {MAY[command][Role.PASSENGER] for command in OWN} == {Relation.OWN_PERSON}


@pytest.mark.parametrize("owner", ["IR_2", "ir_1", "IR_1 ", "", None])
@pytest.mark.parametrize("command", sorted(OWN, key=str), ids=lambda each: each.__name__)
def test_another_s_person_is_forbidden_to_a_passenger(command, owner):
    """A passenger gets FORBIDDEN for another user's person and for an unknown one."""
    passenger = Identity("IR_1", Role.PASSENGER, frozenset({"12345"}))
    require_relation(passenger, command, RUN, "IR_1")
    with pytest.raises(Forbidden, match="booked by the same user"):
        require_relation(passenger, command, RUN, owner)
    for role in (Role.TTE, Role.ADMIN):
        require_relation(Identity("IR_1", role, frozenset({"12345"})), command, RUN, owner)


@pytest.mark.parametrize("command", [c.SignOn, c.SignOff], ids=lambda each: each.__name__)
def test_a_tte_signs_only_themselves_on_and_off(command):
    """The control room does so for any TTE."""
    covers = frozenset({"12345"})
    require_relation(Identity("T1", Role.TTE, covers), command, RUN, "T1")
    require_relation(Identity("A1", Role.ADMIN, covers), command, RUN, "T1")
    with pytest.raises(Forbidden, match="only themselves"):
        require_relation(Identity("T2", Role.TTE, covers), command, RUN, "T1")


@pytest.mark.parametrize("command", MAY, ids=lambda each: each.__name__)
@pytest.mark.parametrize("role", Role)
def test_a_command_asks_for_its_role_and_its_run(command, role):
    """A command needs a token, the role, and a token for the run."""
    here = Identity("U1", role, frozenset({"12345"}))
    with pytest.raises(NotIdentified):
        require_role(ANONYMOUS, MAY[command])
    if role in MAY[command]:
        require_role(here, MAY[command])
        require_relation(here, command, RUN, "U1")
        with pytest.raises(Forbidden, match="does not cover"):
            require_relation(here, command, RunKey("54321/2026-11-23"), "U1")
    else:
        with pytest.raises(Forbidden, match="may"):
            require_role(here, MAY[command])


def test_a_role_is_asked_for_with_those_that_have_it():
    """The error of a missing role names the roles that may."""
    require_role(Identity("U1", Role.ADMIN), {Role.ADMIN})
    with pytest.raises(Forbidden, match="ADMIN, TTE may"):
        require_role(Identity("U1", Role.PASSENGER), {Role.TTE, Role.ADMIN})
    with pytest.raises(NotIdentified, match="IDENTIFY"):
        require_role(ANONYMOUS, set(Role))


def test_a_run_is_asked_for():
    """A token covers a run by the train number or by the run."""
    require_run(Identity("U1", Role.TTE, frozenset({"12345"})), RUN)
    for trains in ((), ("54321",), ("12345/2026-11-24",)):
        with pytest.raises(Forbidden, match=f"does not cover {RUN}"):
            require_run(Identity("U1", Role.TTE, frozenset(trains)), RUN)
