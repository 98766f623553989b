"""Who a caller is, from a signed token.

A token is a JWT (RFC 7519): `sub`, `role`, `exp` and `trains`, a list of train numbers or runs, or
"*". The hub signs its own tokens with HS256. It accepts tokens of other issuers
that are signed with RS256 or ES256.
"""

import json
import logging
import math
import secrets
from base64 import urlsafe_b64decode
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
from trainhub.domain.model import Role, RunKey, number_of
from trainhub.process.clock import WallClock
from trainhub.process.file_watch import FileWatch

logger = logging.getLogger("trainhub.identity")

ALL_TRAINS = "*"
# How much the clocks of two machines may differ.
LEEWAY = timedelta(seconds=30)
# Verified tokens in memory, about 1 KB each. Verifying a signature costs more than all other checks
# of a token.
TOKENS_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Source:
    """The token that identified a caller. Times are in seconds since 1970."""

    key_id: object
    token_id: str | None
    issued: float | None
    expires: float
    # The token is not valid before this time. None means that the token names no such time.
    begins: float | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as the token says. Without a token, `user` and `role` are None."""

    user: str | None = None
    role: Role | None = None
    trains: frozenset[str] = frozenset()
    # None for the hub itself, which needs no token.
    source: Source | None = field(default=None, compare=False, repr=False)

    def covers(self, run: RunKey) -> bool:
        train_no = run.partition("/")[0]
        return bool(self.trains & {ALL_TRAINS, run, train_no, number_of(train_no)})

    def standing(self, run: RunKey) -> Standing:
        return Standing(self.role, self.user) if self.covers(run) else Standing()


ANONYMOUS = Identity()


class Tokens:
    """Issue the hub's own tokens, and verify the tokens that callers send.

    `own` maps a key id to its secret; the last key signs. `others` are public keys of other
    issuers. If `audience` or `issuer` is given, every token must name it (`aud`, `iss`).
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
        """Use these keys and these revocations from now on."""
        self._signing = list(own.items())[-1]
        # Token → identity, oldest first. Only tokens with a valid signature are here.
        self._verified: dict[str, Identity] = {}
        self._own, self._others, self._revoked = own_keys(own), others, revoked

    def issue(
        self, user: str, role: Role, trains: Sequence[str], lasts: timedelta = timedelta(hours=12)
    ) -> str:
        kid, secret = self._signing
        now = self._clock.now()
        # After the clock was set back, `now` may be earlier than the user's revocation.
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
        """Return the identity that the token names. Raises BadToken, which says what to do."""
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
            kid = _named_key(token)
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
        """Return why an identity is no longer valid. None means that it is valid."""
        source = identity.source
        if source is None:
            return None
        leeway = LEEWAY.total_seconds()
        is_own = self._own.find(source.key_id) is not None
        expires, latest = source.expires, self._clock.latest()
        if is_own and source.issued is not None:
            # The hub's own tokens bear the time that this clock showed before it was set.
            expires += self._clock.correction(source.issued)
        if expires + leeway <= self._clock.now():
            return EXPIRED
        if max(source.issued or 0.0, source.begins or 0.0) > latest + leeway:
            return NOT_YET
        # Another issuer's clock may be ahead of the clock that dated the revocation.
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
                # Without a configured audience, a token's `aud` is ignored.
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


def _named_key(token: str) -> object:
    """Return the key id in a token's header, None without one.

    It only chooses the key: `jwt.decode` checks the header with all else, so this need not.
    """
    head = token.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(head + "=="))
    except (ValueError, RecursionError):
        return None
    return header.get("kid") if isinstance(header, dict) else None


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

    Raises InvalidTokenError if the claim is not a time.
    """
    try:
        found = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if found is not None and not math.isfinite(found):
        raise jwt.InvalidTokenError("a time of the token is not a number")
    return found


def id_and_end(token: str) -> tuple[str, float]:
    """Return a token's `jti` and the time after which every hub rejects it. Raises BadToken.

    The signature is not checked, so use the result only to revoke the token.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return str(claims["jti"]), float(claims["exp"]) + LEEWAY.total_seconds()
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
        raise BadToken("that is no token with an id (jti) and an end (exp)") from None


class TrustFiles:
    """The files of keys and revocations. They may change while the hub runs."""

    def __init__(self, folder: Path, public_keys: Path | None) -> None:
        """Make the hub's own key in `folder`, the data folder, if it has no key. Raises BadKeys.

        `public_keys` is a PEM or JWKS file of other issuers.
        """
        self._own = folder / "keys.json"
        self._revoked = folder / "revoked.json"
        self._others = public_keys
        load_keys(self._own)
        paths = (self._own, self._revoked, self._others)
        self._watch = FileWatch(path for path in paths if path is not None)
        self._is_faulty = False

    def read(self) -> tuple[dict[str, str], Keys, Revocations]:
        """Return the arguments of `Tokens.believe`.

        Raises BadKeys, and FileNotFoundError if the hub's own keys are missing.
        """
        others = NO_KEYS if self._others is None else read_public_keys(self._others)
        return read_keys(self._own), others, read_revocations(self._revoked)

    def renew(self, tokens: Tokens) -> None:
        """Pass the files to `tokens` if any file has changed since the last call.

        If a file cannot be read, the error is logged and `tokens` stays as it was.
        """
        if not self._watch.changed():
            return
        try:
            tokens.believe(*self.read())
            self._is_faulty = False
            logger.info("reloaded the keys and the revoked tokens")
        except (BadKeys, OSError) as error:
            self._is_faulty = True
            logger.error("cannot reload the keys, the previous ones stay in use: %s", error)

    def complaints(self) -> list[str]:
        """Return that the files cannot be used as they are now. Everyone may read it: no path."""
        if not self._is_faulty:
            return []
        return ["changed keys cannot be read, the previous ones stay in use: the log says why"]
