"""The keys that tokens are signed and checked with: the hub's own file, and others' public keys.

The own file is {key id: secret}; its last key signs, the others are still believed. Public keys
come from a PEM file, which holds one, or from a JWKS file (RFC 7517). Each key has one algorithm,
whatever a token says of itself.
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
# NIST SP 800-131A: shorter ones are not to be relied on.
LEAST_RSA_BITS = 2048


class BadKeys(ValueError):
    """A file of keys cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a token is checked with: a secret or a public key, and the one algorithm it is for."""

    algorithm: str
    value: Any = field(repr=False)


@dataclass(frozen=True)
class Keys:
    """Keys by key id (`kid`), and the one for tokens that name none of them, if there is one."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    nameless: Key | None = None

    def find(self, kid: object) -> Key | None:
        return (self.by_id.get(kid) if isinstance(kid, str) else None) or self.nameless


NO_KEYS = Keys()


def own_keys(secrets_by_id: Mapping[str, str]) -> Keys:
    return Keys({kid: Key(OWN_ALGORITHM, secret) for kid, secret in secrets_by_id.items()})


# --- the hub's own ------------------------------------------------------------------------------


def load_keys(path: Path) -> dict[str, str]:
    """The hub's signing keys, {key id: secret}; made at the first start, for its owner alone.

    Raises BadKeys, also if another user owns the file or may read it; what it holds is never
    written over.
    """
    try:
        return read_keys(path)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another has just made it
            write_private(path, json.dumps(_new_key()), replace=False)
        return read_keys(path)


def read_keys(path: Path) -> dict[str, str]:
    """As `load_keys`, of a file that is there; else FileNotFoundError."""
    text = _read_private(path)
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
    """Put a new key into the file, which signs from now on; returns its id. Raises BadKeys."""
    new = _new_key()
    with changing(path):
        write_private(path, json.dumps({**load_keys(path), **new}))
    return next(iter(new))


def drop_key(path: Path, kid: str) -> None:
    """Take a key out of the file: what it has signed is believed no more. Raises BadKeys."""
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
    """The keys of a PEM or JWKS file. Raises BadKeys."""
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
        # The parsers' messages may quote the file, which may hold a private key by mistake.
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
            # A provider adds keys of other kinds without asking (RFC 7517, section 5). What the
            # parsers say may quote the key.
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
    # PyJWK takes a secret and a private key as well; _public does not.
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


def _read_private(path: Path) -> str:
    """The file's text. Raises BadKeys unless it is this user's alone; FileNotFoundError."""
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
