"""Who may be told an event: everyone in the room, one user, or the holders of roles."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Standing:
    """A client's role and user in one room. Both are None if the client has no rights there."""

    role: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Everyone:
    """All sockets in the room."""


@dataclass(frozen=True)
class User:
    """One user in one role, on each of the user's devices."""

    id: str
    role: str


@dataclass(frozen=True)
class Roles:
    """The room's sockets of these roles."""

    roles: Set[str]


# A client may be told an event if any part includes the client.
Audience: TypeAlias = tuple[Everyone | User | Roles, ...]

EVERYONE: Audience = (Everyone(),)


def may_be_told(audience: Audience, standing: Standing) -> bool:
    """Return whether an audience includes a client with that standing."""
    for part in audience:
        if isinstance(part, Everyone):
            return True
        if isinstance(part, User):
            if standing.user == part.id and standing.role == part.role:
                return True
        elif standing.role in part.roles:
            return True
    return False


class DomainEvent(Protocol):
    """What a domain's events have in common."""

    @property
    def at(self) -> datetime:
        """The time at which the event happened."""

    @property
    def audience(self) -> Audience:
        """Who may be told the event."""
