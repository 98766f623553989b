"""Revoked tokens: single tokens, and all tokens of a user.

They are in a file of the data folder. A running hub reloads the file when it changes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainhub.access.keys import BadKeys
from trainhub.process.private_file import changing, write_private

# How long a revoked token stays in the file after it has expired. An expired token is rejected
# anyway; the margin covers a clock that is set back.
KEEP_OVER_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Revocations:
    """Revoked tokens by id (`jti`) with the time at which each expires, and users with a time.

    A user's token is revoked if it was issued at that time or before, or if it does not say when.
    Times are in seconds since 1970.
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
    """Return the revocations in the file. A missing file means that nothing is revoked.

    Raises BadKeys if the file cannot be read.
    """
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
        # An unreadable file must not make revoked tokens valid again.
        raise BadKeys(f"{path} does not hold the revoked tokens: restore it from a copy") from None
    return Revocations(tokens, users)


def revoke_token(path: Path, token_id: str, expires: float, now: float) -> None:
    """Revoke one token, which expires at `expires`. Raises BadKeys."""
    with changing(path):
        found = read_revocations(path)
        _write(path, Revocations({**found.tokens, token_id: expires}, found.users), now)


def revoke_user(path: Path, user: str, now: float) -> None:
    """Revoke all tokens that were issued to a user up to `now`. Raises BadKeys."""
    with changing(path):
        found = read_revocations(path)
        _write(path, Revocations(found.tokens, {**found.users, user: now}), now)


def _write(path: Path, revoked: Revocations, now: float) -> None:
    """Write the file without the tokens that expired over KEEP_OVER_SECONDS ago."""
    over = now - KEEP_OVER_SECONDS
    tokens = {name: expires for name, expires in revoked.tokens.items() if expires > over}
    write_private(path, json.dumps({"tokens": tokens, "users": dict(revoked.users)}, indent=1))


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
