"""Who may give which command: a table of command, role and relation, for sockets and HTTP alike."""

from collections.abc import Collection
from enum import StrEnum

from trainhub.access.identity import Identity
from trainhub.core.errors import Forbidden, NotIdentified
from trainhub.domain import commands as c
from trainhub.domain.model import Role, RunKey


class Relation(StrEnum):
    """What a caller has to be to the run or person that a command is about."""

    OWN_RUN = "on the runs that their token covers"
    OWN_PERSON = "for people booked by the same user, on the runs that their token covers"


_RUN = Relation.OWN_RUN
_PERSON = Relation.OWN_PERSON
_OPERATORS = {Role.ADMIN: _RUN, Role.SERVICE: _RUN}
_STAFF = {Role.TTE: _RUN, Role.ADMIN: _RUN}
_STAFF_AND_FEEDS = {**_STAFF, Role.SERVICE: _RUN}
_STAFF_AND_PASSENGER = {**_STAFF, Role.PASSENGER: _PERSON}

# A role that is not named may not. ExpireOffers is not there: the hub's own timer gives it.
MAY: dict[type[c.Command], dict[Role, Relation]] = {
    c.RegisterTrain: _OPERATORS,
    c.StartJourney: _STAFF_AND_FEEDS,
    c.CancelTrain: _STAFF,
    c.Arrive: _STAFF_AND_FEEDS,
    c.Depart: _STAFF_AND_FEEDS,
    c.SkipStation: _STAFF_AND_FEEDS,
    c.SetDelay: _STAFF_AND_FEEDS,
    c.SetPlatform: _STAFF_AND_FEEDS,
    c.MarkBoarded: _STAFF,
    c.MarkNoShow: _STAFF,
    c.UndoNoShow: _STAFF,
    c.CancelJourney: _STAFF_AND_PASSENGER,
    c.ChangeBoarding: _STAFF_AND_PASSENGER,
    c.AcceptOffer: _STAFF_AND_PASSENGER,
    c.DenyOffer: _STAFF_AND_PASSENGER,
    c.ApproveOffer: _STAFF,
    c.WithdrawOffer: _STAFF,
    c.Announce: _STAFF_AND_FEEDS,
    c.Batch: _STAFF,
}


def require_role(identity: Identity, roles: Collection[Role]) -> None:
    """Raise NotIdentified or Forbidden unless the caller has one of the roles."""
    if identity.role is None:
        raise NotIdentified("this needs a token: IDENTIFY first, or send Authorization: Bearer")
    if identity.role not in roles:
        raise Forbidden(f"{identity.role} may not do this; {', '.join(sorted(roles))} may")


def require_run(identity: Identity, run: RunKey) -> None:
    """Raise Forbidden unless the token covers the run."""
    if not identity.covers(run):
        raise Forbidden(f"the token does not cover {run}")


def require_relation(
    identity: Identity, command: type[c.Command], run: RunKey, owner: str | None = None
) -> None:
    """Raise Forbidden unless the caller is to the run and person what the caller's role must be.

    `owner` is the user of the person that the command is about; None if it is about no person, or
    a person who is not there: a passenger hears the same of both, and so of no person who is.
    """
    require_run(identity, run)
    assert identity.role is not None
    if MAY[command][identity.role] is Relation.OWN_PERSON and identity.user != owner:
        raise Forbidden("a passenger may speak only for people booked by the same user")
