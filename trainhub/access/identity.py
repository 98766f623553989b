"""Identities from signed tokens.

A token is a JWT (RFC 7519): `sub`, `role`, `exp` and `trains`, a list of train numbers or runs, or
"*". The hub signs its own with HS256; it believes others' that are signed with RS256 or ES256.
"""

import logging
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt

from trainhub.access.keys import (
    NO_KEYS,
    OWN_ALGORITHM,
    BadKeys,
    Key,
    Keys,
    load_keys,
    own_keys,
    read_keys,
    read_public_keys,
)
from trainhub.access.revocations import NONE, Revocations, read_revocations
from trainhub.core.audience import Standing
from trainhub.core.codec import clean_text
from trainhub.core.errors import BadMessage, BadToken
from trainhub.domain import normal
from trainhub.domain.model import Role, RunKey
from trainhub.process.clock import WallClock
from trainhub.process.file_watch import FileWatch

logger = logging.getLogger("trainhub.identity")

ALL_TRAINS = "*"
# By how much clocks may differ.
LEEWAY = timedelta(seconds=30)
# Verified tokens that are remembered: verifying one costs more than all else that a request needs
# of its token. About 1 KB each.
TOKENS_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Source:
    """The token that identified a user. Moments are in seconds since 1970."""

    key_id: object
    token_id: str | None
    issued: float | None
    expires: float
    # Not good before; None if it does not say.
    begins: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, as the token says. Without a token both `user` and `role` are None."""

    user: str | None = None
    role: Role | None = None
    trains: frozenset[str] = frozenset()
    # None for the hub's own hand, which needs no token.
    source: Source | None = field(default=None, compare=False, repr=False)

    def covers(self, run: RunKey) -> bool:
        return bool(self.trains & {ALL_TRAINS, run, run.partition("/")[0]})

    def standing(self, run: RunKey) -> Standing:
        return Standing(self.role, self.user) if self.covers(run) else Standing()


ANONYMOUS = Identity()


class Tokens:
    """Makes the hub's own tokens, and reads those that it believes.

    `own` maps a key id to its secret; the last one signs. `others` are public keys. With an
    `audience` or an `issuer` a token has to name it (`aud`, `iss`), and the hub's own do.
    """

    def __init__(
        self,
        own: Mapping[str, str],
        others: Keys = NO_KEYS,
        revoked: Revocations = NONE,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        clock: WallClock | None = None,
    ) -> None:
        self._audience, self._issuer = audience, issuer
        self._clock = clock or WallClock()
        self.believe(own, others, revoked)

    def believe(self, own: Mapping[str, str], others: Keys, revoked: Revocations) -> None:
        """From now on these keys, and not what is revoked."""
        self._signing = list(own.items())[-1]
        # Token → identity. Only a token with a good signature is here, the oldest first.
        self._verified: dict[str, Identity] = {}
        self._own, self._others, self._revoked = own_keys(own), others, revoked

    def issue(
        self, user: str, role: Role, trains: Sequence[str], lasts: timedelta = timedelta(hours=12)
    ) -> str:
        kid, secret = self._signing
        now = self._clock.now()
        # A clock that was set back may show the time of a revocation again.
        issued = max(now, self._revoked.users.get(user, 0.0) + 0.001)
        claims = {
            "sub": user,
            "role": role.value,
            "trains": list(trains),
            "iat": round(issued, 3),
            "exp": int(now + lasts.total_seconds()),
            "jti": secrets.token_hex(8),
            **({} if self._audience is None else {"aud": self._audience}),
            **({} if self._issuer is None else {"iss": self._issuer}),
        }
        return jwt.encode(claims, secret, algorithm=OWN_ALGORITHM, headers={"kid": kid})

    def identify(self, token: str) -> Identity:
        """Who the token names. Raises BadToken, which says what to do."""
        identity = self._verified.get(token) or self._verify(token)
        objection = self.objection(identity)
        if objection is not None:
            self._verified.pop(token, None)
            raise BadToken(objection)
        return identity

    def _verify(self, token: str) -> Identity:
        """Check the signature and the claims, and remember the result. Raises BadToken.

        Expiry and revocation change with time: `objection` judges them at each use.
        """
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            identity = _identity(kid, self._claims(token, self._key(kid)))
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise BadToken("the token is for another service: get one for this hub") from None
        except (jwt.InvalidTokenError, TypeError, OverflowError):
            raise BadToken("the token is not one of this hub's: get a new one") from None
        if len(self._verified) >= TOKENS_REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = identity
        return identity

    def objection(self, identity: Identity) -> str | None:
        """Return why an identified user is no longer believed, or None."""
        source = identity.source
        if source is None:
            return None
        leeway = LEEWAY.total_seconds()
        is_own = self._own.find(source.key_id) is not None
        expires, latest = source.expires, self._clock.latest()
        if is_own and source.issued is not None:
            # The hub's own tokens are made on this machine, and so by this clock before it was set.
            expires += self._clock.correction(source.issued)
        if expires + leeway <= self._clock.now():
            return EXPIRED
        if max(source.issued or 0.0, source.begins or 0.0) > latest + leeway:
            return NOT_YET
        # The clock of another issuer may be ahead of the one by which the user was revoked.
        margin = 0.0 if is_own else leeway
        issued = source.issued and source.issued - margin
        if self._revoked.cover(identity.user, source.token_id, issued):
            return REVOKED
        return None if self._key(source.key_id) else REVOKED

    def _key(self, kid: object) -> Key | None:
        return self._own.find(kid) or self._others.find(kid)

    def _claims(self, token: str, key: Key | None) -> dict[str, Any]:
        if key is None:
            raise jwt.InvalidTokenError
        claims: dict[str, Any] = jwt.decode(
            token,
            key.value,
            algorithms=[key.algorithm],
            audience=self._audience,
            issuer=self._issuer,
            options={
                "require": ["exp", "sub"],
                # Without an expected audience, a token may name any.
                "verify_aud": self._audience is not None,
                # Times are judged by `objection`, which knows when the hub's clock was set.
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        return claims


EXPIRED = "the token has expired: get a new one"
NOT_YET = "the token is not valid yet: the clocks of hub and issuer differ"
REVOKED = "the token was revoked: get a new one"


def _identity(kid: object, claims: dict[str, Any]) -> Identity:
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
    trains_of = frozenset(map(normal.run, names))
    return Identity(normal.text(claims["sub"]), role, trains_of, _source(kid, claims))


def _source(kid: object, claims: dict[str, Any]) -> Source:
    token_id = claims.get("jti")
    expires = _moment(claims["exp"])
    if expires is None:
        raise jwt.InvalidTokenError("exp is null")
    return Source(
        kid if isinstance(kid, str) else None,
        token_id if isinstance(token_id, str) else None,
        _moment(claims.get("iat")),
        expires,
        _moment(claims.get("nbf")),
    )


def _moment(value: Any) -> float | None:
    """Return a claim in seconds since 1970, None if it is missing.

    Raises InvalidTokenError if it is no time.
    """
    try:
        found = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if found is not None and not math.isfinite(found):
        raise jwt.InvalidTokenError("a time of the token is no number")
    return found


def id_and_end(token: str) -> tuple[str, float]:
    """Return a token's `jti`, and the time from which no hub accepts it. Raises BadToken.

    It says so of itself: good for taking a token back, and for nothing else.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return str(claims["jti"]), float(claims["exp"]) + LEEWAY.total_seconds()
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
        raise BadToken("that is no token with an id (jti) and an end (exp)") from None


class TrustFiles:
    """The files with the keys that the hub believes. They may change while the hub runs."""

    def __init__(self, folder: Path, public_keys: Path | None) -> None:
        """`folder` is the data folder. The hub's own key is made there if it is missing.

        `public_keys` is a PEM or JWKS file of others. Raises BadKeys.
        """
        self._own = folder / "keys.json"
        self._revoked = folder / "revoked.json"
        self._others = public_keys
        load_keys(self._own)
        paths = (self._own, self._revoked, self._others)
        self._watch = FileWatch(path for path in paths if path is not None)

    def read(self) -> tuple[dict[str, str], Keys, Revocations]:
        """What `Tokens.believe` takes. Raises BadKeys; OSError if the own keys are not there."""
        others = NO_KEYS if self._others is None else read_public_keys(self._others)
        return read_keys(self._own), others, read_revocations(self._revoked)

    def renew(self, tokens: Tokens) -> None:
        """Have `tokens` believe what the files say now, if they have changed since the last call.

        What cannot be read is logged, and leaves them as they were.
        """
        if not self._watch.changed():
            return
        try:
            tokens.believe(*self.read())
            logger.info("the keys and revoked tokens were read again")
        except (BadKeys, OSError) as error:
            logger.error("what was believed before is still believed: %s", error)
