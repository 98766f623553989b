"""Tokens that are believed no more though they have not expired: single ones, and a user's.

They stand in a file of the data folder, which the running hub reads again when it changes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainhub.access.keys import BadKeys
from trainhub.process.private_file import changing, write_private

# A revoked token stays in the file for so long after its end. By then it is refused anyway, also if
# the clock by which it was over has been set back since.
KEEP_OVER_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Revocations:
    """Token ids (`jti`), each with when the token ends; and users, each with a moment.

    A user's tokens that were issued at that moment or before, or do not say when, are revoked.
    Moments are in seconds since 1970.
    """

    tokens: Mapping[str, float] = field(default_factory=dict)
    users: Mapping[str, float] = field(default_factory=dict)

    def cover(self, user: str | None, token_id: str | None, issued: float | None) -> bool:
        if token_id is not None and token_id in self.tokens:
            return True
        since = None if user is None else self.users.get(user)
        return since is not None and (issued is None or issued <= since)


NONE = Revocations()


def read_revocations(path: Path) -> Revocations:
    """What the file holds; nothing if it is not there. Raises BadKeys."""
    try:
        data = json.loads(path.read_bytes())
        tokens, users = data["tokens"], data["users"]
        if not all(map(_is_moment, (*tokens.values(), *users.values()))):
            raise ValueError
    except FileNotFoundError:
        return NONE
    except OSError as error:
        raise BadKeys(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Without it, those who were sent away would be let in again.
        raise BadKeys(f"{path} does not hold the revoked tokens: restore it from a copy") from None
    return Revocations(tokens, users)


def revoke_token(path: Path, token_id: str, expires: float, now: float) -> None:
    """Add one token, which ends by itself at `expires`. Raises BadKeys."""
    with changing(path):
        found = read_revocations(path)
        _write(path, Revocations({**found.tokens, token_id: expires}, found.users), now)


def revoke_user(path: Path, user: str, now: float) -> None:
    """Add all the tokens that a user has up to now. Raises BadKeys."""
    with changing(path):
        found = read_revocations(path)
        _write(path, Revocations(found.tokens, {**found.users, user: now}), now)


def _write(path: Path, revoked: Revocations, now: float) -> None:
    """Write the file, without the tokens that have been over for long."""
    over = now - KEEP_OVER_SECONDS
    tokens = {name: expires for name, expires in revoked.tokens.items() if expires > over}
    write_private(path, json.dumps({"tokens": tokens, "users": dict(revoked.users)}, indent=1))


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
