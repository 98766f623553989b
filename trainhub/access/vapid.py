"""The hub's VAPID key pair (RFC 8292), with which it names itself to push services."""

from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from trainhub.access.keys import BadKeys, read_private
from trainhub.process.private_file import write_private

VAPID_FILE = "vapid.pem"


def load_vapid_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the hub's key, made at the first start with mode 0600.

    Browsers subscribe for one key: a new one makes all their subscriptions useless. Raises
    BadKeys for a file that holds no such key, or that others may read; the file stays as it is.
    """
    try:
        text = read_private(path)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process has just made it
            write_private(path, _new_key(), replace=False)
        text = read_private(path)
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKeys(
            f"{path} does not hold the hub's VAPID key (P-256, PEM): restore it from a backup, or "
            "remove it for a new one, after which every browser has to subscribe again"
        )
    return key


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the public key as a browser's applicationServerKey: base64url without padding."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return urlsafe_b64encode(point).decode().rstrip("=")


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
