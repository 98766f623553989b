"""The keys that sign and verify tokens: the hub's own, and the public keys of other issuers.

The hub's own file is {key id: secret}. Its last key signs; the other keys still verify tokens.
Public keys come from a PEM file with one key, or from a JWKS file (RFC 7517). Each key has one
algorithm. A token that names another algorithm is rejected.
"""

import json
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from trainhub.process.private_file import changing, write_private

logger = logging.getLogger("trainhub.keys")

OWN_ALGORITHM = "HS256"
# NIST SP 800-131A disallows shorter RSA keys.
LEAST_RSA_BITS = 2048


class BadKeys(ValueError):
    """A file of keys or revocations cannot be used. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret or a public key that verifies tokens, and its only algorithm."""

    algorithm: str
    value: Any = field(repr=False)


@dataclass(frozen=True)
class Keys:
    """Keys by key id (`kid`). `nameless` verifies the tokens that name no key in `by_id`."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    nameless: Key | None = None

    def find(self, kid: object) -> Key | None:
        return (self.by_id.get(kid) if isinstance(kid, str) else None) or self.nameless


NO_KEYS = Keys()


def own_keys(secrets_by_id: Mapping[str, str]) -> Keys:
    return Keys({kid: Key(OWN_ALGORITHM, secret) for kid, secret in secrets_by_id.items()})


# --- the hub's own ------------------------------------------------------------------------------


def load_keys(path: Path) -> dict[str, str]:
    """Return the hub's signing keys, {key id: secret}. The first start makes them.

    Raises BadKeys if the file cannot be used, or if another user owns it or may read it.
    The hub never overwrites a file that it cannot use.
    """
    try:
        return read_keys(path)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process has just made it
            write_private(path, json.dumps(_new_key()), replace=False)
        return read_keys(path)


def read_keys(path: Path) -> dict[str, str]:
    """Return the keys as `load_keys` does. Raises FileNotFoundError if the file is missing."""
    text = read_private(path)
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError):
        keys = None
    if not isinstance(keys, dict) or not keys or not all(map(_is_secret, keys.values())):
        raise BadKeys(f"{path} does not hold the hub's keys: restore it, or remove it for new")
    return keys


def has_keys(path: Path) -> bool:
    try:
        return bool(read_keys(path))
    except (BadKeys, OSError):
        return False


def add_key(path: Path) -> str:
    """Add a new key, which signs from now on, and return its id. Raises BadKeys."""
    new = _new_key()
    with changing(path):
        write_private(path, json.dumps({**load_keys(path), **new}))
    return next(iter(new))


def drop_key(path: Path, kid: str) -> None:
    """Remove a key: the tokens that it signed become invalid. Raises BadKeys."""
    with changing(path):
        keys = load_keys(path)
        if keys.pop(kid, None) is None:
            raise BadKeys(f"{path} has no key {kid!r:.40}: it has {', '.join(keys)}")
        if not keys:
            raise BadKeys(f"{kid} is the only key of {path}: add a new one first")
        write_private(path, json.dumps(keys))


def _new_key() -> dict[str, str]:
    return {secrets.token_hex(4): secrets.token_urlsafe(48)}


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and value != ""


# --- others' ------------------------------------------------------------------------------------


def read_public_keys(path: Path) -> Keys:
    """Return the keys of a PEM or JWKS file. Raises BadKeys."""
    try:
        content = path.read_bytes()
        if content.lstrip().startswith(b"{"):
            return _of_jwks(json.loads(content))
        return Keys(nameless=_public(load_pem_public_key(content)))
    except OSError as error:
        raise BadKeys(f"the public keys {path} cannot be read: {error.strerror}") from error
    except BadKeys as error:
        raise BadKeys(f"the public keys {path}: {error}") from None
    except (ValueError, RecursionError, jwt.PyJWTError):
        # A parser's error may quote the file, which may hold a private key by mistake.
        raise BadKeys(
            f"the public keys {path} are neither a PEM file of one public key nor a JWKS file: "
            "take what your identity provider publishes"
        ) from None


def _of_jwks(data: Mapping[str, Any]) -> Keys:
    listed = data.get("keys")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise BadKeys('a JWKS file is {"keys": […]}')
    named = []
    faults = []
    for each in listed:
        if each.get("use", "sig") != "sig":
            continue
        try:
            named.append((each.get("kid"), _of_jwk(each)))
        except (BadKeys, ValueError, jwt.PyJWTError) as error:
            # RFC 7517, section 5: ignore keys of unknown kinds. A parser's error may quote the
            # key, so the log gets only the hub's own words.
            reason = str(error) if isinstance(error, BadKeys) else "it cannot be read as a JWK"
            faults.append(f"the key {each.get('kid')!r:.40} is not used: {reason}")
    if not named:
        raise BadKeys(faults[0] if faults else "there is no key for signatures in it")
    for fault in faults:
        logger.warning("public keys: %s", fault)
    if len(named) == 1 and named[0][0] is None:
        return Keys(nameless=named[0][1])
    if not all(isinstance(kid, str) for kid, _ in named):
        raise BadKeys("each of several keys needs a kid")
    return Keys(dict(named))


def _of_jwk(data: dict[str, Any]) -> Key:
    # PyJWK also accepts secrets and private keys; _public rejects them.
    without = {name: value for name, value in data.items() if name != "alg"}
    key = _public(jwt.PyJWK.from_dict(without).key)
    if data.get("alg", key.algorithm) != key.algorithm:
        raise BadKeys(f"a key is for {data['alg']!r:.20}: the hub takes RS256 and ES256")
    return key


def _public(key: object) -> Key:
    if isinstance(key, RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise BadKeys(f"an RSA key has at least {LEAST_RSA_BITS} bits")
        return Key("RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return Key("ES256", key)
    raise BadKeys("a key in it is no public RSA or P-256 key: the hub takes RS256 and ES256")


def read_private(path: Path) -> str:
    """Return the file's text.

    Raises FileNotFoundError if the file is missing. Raises BadKeys if the file is not a plain file
    that only this user may read and write.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadKeys(f"{path} cannot be read as a plain file: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise BadKeys(f"{path} belongs to user {found.st_uid}: run as that user, or chown it")
        if found.st_mode & 0o077:
            raise BadKeys(f"{path} can be read or written by others: chmod 600 {path}")
        return file.read().decode(errors="replace")
