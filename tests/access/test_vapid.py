"""trainhub/access/vapid.py: the hub keeps one key pair, for its owner alone."""

import stat
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from trainhub.access.keys import BadKeys
from trainhub.access.vapid import load_vapid_key, public_text


def test_the_key_is_made_once(tmp_path):
    """Browsers have subscribed for it: the next start finds the same."""
    path = tmp_path / "vapid.pem"
    first = public_text(load_vapid_key(path))
    assert public_text(load_vapid_key(path)) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    point = urlsafe_b64decode(first + "=")
    assert (len(point), point[0]) == (65, 4)


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_a_file_without_such_a_key_is_refused(tmp_path, text):
    """It is left as it is: there may be a backup to look for."""
    path = tmp_path / "vapid.pem"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(BadKeys, match="does not hold the hub's VAPID key"):
        load_vapid_key(path)
    assert path.read_text() == text


def test_a_file_that_others_may_read_is_refused(tmp_path):
    """A key that others had is no key."""
    path = tmp_path / "vapid.pem"
    load_vapid_key(path)
    path.chmod(0o644)
    with pytest.raises(BadKeys, match="chmod 600"):
        load_vapid_key(path)
