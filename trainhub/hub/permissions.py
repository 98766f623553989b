"""Which role may give which command: the one table, for sockets and HTTP."""

from collections.abc import Collection
from enum import StrEnum

from trainhub.access.identity import Identity
from trainhub.core.errors import Forbidden, NotIdentified
from trainhub.domain import commands as c
from trainhub.domain.model import Role, RunKey


class Relation(StrEnum):
    """How a caller must be related to the run or person that a command is about."""

    OWN_RUN = "on the runs that their token covers"
    OWN_PERSON = "for people booked by the same user, on the runs that their token covers"
    OWN_DUTY = "for themselves, on the runs that their token covers"


_RUN = Relation.OWN_RUN
_PERSON = Relation.OWN_PERSON
_OPERATORS = {Role.ADMIN: _RUN, Role.SERVICE: _RUN}
_STAFF = {Role.TTE: _RUN, Role.ADMIN: _RUN}
_STAFF_AND_FEEDS = {**_STAFF, Role.SERVICE: _RUN}
_ON_DUTY = {Role.TTE: Relation.OWN_DUTY, Role.ADMIN: _RUN}
_STAFF_AND_PASSENGER = {**_STAFF, Role.PASSENGER: _PERSON}

# A role that is missing may not. Commands that only the hub gives, like ExpireOffers, are missing.
MAY: dict[type[c.Command], dict[Role, Relation]] = {
    c.RegisterTrain: _OPERATORS,
    c.AmendChart: _STAFF_AND_FEEDS,
    c.StartJourney: _STAFF_AND_FEEDS,
    c.CancelTrain: _STAFF,
    c.ReinstateTrain: _STAFF,
    c.UndoReport: _STAFF,
    c.Arrive: _STAFF_AND_FEEDS,
    c.Depart: _STAFF_AND_FEEDS,
    c.SkipStation: _STAFF_AND_FEEDS,
    c.AddHalt: _STAFF_AND_FEEDS,
    c.UndoSkip: _STAFF_AND_FEEDS,
    c.ShortTerminate: _STAFF,
    c.SetDelay: _STAFF_AND_FEEDS,
    c.SetPlatform: _STAFF_AND_FEEDS,
    c.MarkBoarded: _STAFF,
    c.MarkNoShow: _STAFF,
    c.UndoBoarded: _STAFF,
    c.UndoNoShow: _STAFF,
    c.Alight: _STAFF,
    c.CheckCoach: _STAFF,
    c.SignOn: _ON_DUTY,
    c.SignOff: _ON_DUTY,
    c.Remark: _STAFF,
    c.BlockBerth: _STAFF,
    c.UnblockBerth: _STAFF,
    c.AllotBerth: _STAFF,
    c.SwapBerths: _STAFF,
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
        raise NotIdentified("a token is needed: IDENTIFY first, or send Authorization: Bearer")
    if identity.role not in roles:
        raise Forbidden(f"{identity.role} may not do this; {', '.join(sorted(roles))} may")


def require_run(identity: Identity, run: RunKey) -> None:
    """Raise Forbidden unless the token covers the run."""
    if not identity.covers(run):
        raise Forbidden(f"the token does not cover {run}: use a token that names the train or run")


def require_relation(
    identity: Identity, command: type[c.Command], run: RunKey, owner: str | None = None
) -> None:
    """Raise Forbidden unless the caller has the relation to the run and person that MAY asks for.

    `owner` is the user who booked the person that the command is about, or the TTE on duty.
    None means that there is no such person. A passenger gets the same error for an unknown person
    and for another user's.
    """
    require_run(identity, run)
    assert identity.role is not None
    if identity.user == owner:
        return
    if MAY[command][identity.role] is Relation.OWN_PERSON:
        raise Forbidden("a passenger may speak only for people booked by the same user")
    if MAY[command][identity.role] is Relation.OWN_DUTY:
        raise Forbidden("a TTE may sign only themselves on and off: leave tte out, or ask ADMIN")
