"""Who somebody is, from a signed token; and which command which role may give.

A token is a JWT: `sub`, `role`, `exp` and `trains`, a list of train numbers or runs, or "*".
"""

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from trainhub.domain import commands as c
from trainhub.domain.codec import clean_text
from trainhub.domain.errors import BadMessage, BadToken, Forbidden, NotIdentified
from trainhub.domain.model import Role, RunKey

ALL_TRAINS = "*"
LEEWAY = timedelta(seconds=30)
_ALGORITHM = "HS256"

_STAFF_AND_FEEDS = frozenset({Role.ADMIN, Role.SERVICE, Role.TTE})
_STAFF = frozenset({Role.ADMIN, Role.TTE})

_STAFF_AND_PASSENGER = _STAFF | {Role.PASSENGER}

# Which roles may give a command, on the runs that their token covers. A passenger may speak only
# for people of their own: `owner` tells whose person a command is about.
MAY: dict[type[c.Command], frozenset[Role]] = {
    c.RegisterTrain: frozenset({Role.ADMIN, Role.SERVICE}),
    c.StartJourney: _STAFF,
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is on one run; both None for whoever has no part in it."""

    role: Role | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as their token says; without a token both `user` and `role` are None."""

    user: str | None = None
    role: Role | None = None
    trains: frozenset[str] = frozenset()

    def covers(self, run: RunKey) -> bool:
        return bool(self.trains & {ALL_TRAINS, run, run.partition("/")[0]})

    def standing(self, run: RunKey) -> Standing:
        return Standing(self.role, self.user) if self.covers(run) else Standing()


ANONYMOUS = Identity()


def require(identity: Identity, command: type[c.Command], run: RunKey) -> None:
    """Raise NotIdentified or Forbidden unless the role may give the command on that run."""
    if identity.role is None:
        raise NotIdentified("this needs a token: IDENTIFY first, or send Authorization: Bearer")
    require_role(identity, MAY[command])
    if not identity.covers(run):
        raise Forbidden(f"the token does not cover {run}")


def require_own(identity: Identity, owner: str | None) -> None:
    """Raise Forbidden if a passenger speaks for somebody else, or for nobody."""
    if identity.role is Role.PASSENGER and identity.user != owner:
        raise Forbidden("a passenger may speak only for people booked by the same user")


def require_role(identity: Identity, roles: frozenset[Role]) -> None:
    if identity.role is None:
        raise NotIdentified("this needs a token: IDENTIFY first, or send Authorization: Bearer")
    if identity.role not in roles:
        raise Forbidden(f"{identity.role} may not do this; {', '.join(sorted(roles))} may")


class Tokens:
    """Makes and reads the hub's own tokens. `keys` maps a key id to its secret; the last one signs.

    A token that names no known key, another algorithm, or no end is a BadToken.
    """

    def __init__(self, keys: dict[str, str]) -> None:
        self._keys = keys

    def issue(
        self, user: str, role: Role, trains: Sequence[str], lasts: timedelta = timedelta(hours=12)
    ) -> str:
        kid = next(reversed(self._keys))
        claims = {
            "sub": user,
            "role": role.value,
            "trains": list(trains),
            "exp": datetime.now(UTC) + lasts,
        }
        return jwt.encode(claims, self._keys[kid], algorithm=_ALGORITHM, headers={"kid": kid})

    def identify(self, token: str) -> Identity:
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                leeway=LEEWAY,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise BadToken("the token has expired: get a new one") from None
        except (jwt.InvalidTokenError, KeyError, TypeError):
            raise BadToken("the token is not one of this hub's: get a new one") from None
        return _identity(claims)


def _identity(claims: dict[str, Any]) -> Identity:
    trains = claims.get("trains")
    names = [trains] if isinstance(trains, str) else trains
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadToken('the token needs trains: a list of train numbers or runs, or "*"')
    try:
        role = Role(str(claims.get("role")))
    except ValueError:
        raise BadToken(f"the token needs a role: {', '.join(Role)}") from None
    for text in (claims["sub"], *names):
        try:
            clean_text(text, "a claim of the token")
        except BadMessage as error:
            raise BadToken(error.message) from None
    return Identity(claims["sub"], role, frozenset(names))


class BadKeys(ValueError):
    """The file of the signing keys cannot be used; the message says what to do."""


def load_keys(path: Path) -> dict[str, str]:
    """The hub's signing keys, {key id: secret}; made at the first start, readable by its owner.

    Raises BadKeys; what the file holds is never written over.
    """
    try:
        keys = json.loads(path.read_text())
    except FileNotFoundError:
        _make_keys(path)
        return load_keys(path)
    except ValueError:
        keys = None
    if not isinstance(keys, dict) or not keys or not all(map(_is_key, keys.values())):
        raise BadKeys(f"{path} does not hold the hub's keys: restore it, or remove it for new")
    return keys


def has_keys(path: Path) -> bool:
    """Whether the file holds keys; it is never made here."""
    try:
        return path.is_file() and bool(load_keys(path))
    except (BadKeys, OSError):
        return False


def _make_keys(path: Path) -> None:
    """The file is there under its name whole or not at all; if another has just made it, that."""
    keys = {secrets.token_hex(4): secrets.token_urlsafe(48)}
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(keys, file)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_key(value: object) -> bool:
    return isinstance(value, str) and value != ""
