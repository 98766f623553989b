"""trainhub/access/keys.py: own keys stay private, and public keys are of two kinds."""

import json
import os
import stat

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from trainhub.access.identity import Tokens
from trainhub.access.keys import (
    BadKeys,
    Keys,
    add_key,
    drop_key,
    has_keys,
    load_keys,
    own_keys,
    read_keys,
    read_public_keys,
)
from trainhub.core.errors import BadToken
from trainhub.domain.model import Role

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def jwk(key, **fields):
    """The public part of a key as JSON, as an identity provider publishes it."""
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else None
    found = (kind or jwt.algorithms.ECAlgorithm).to_jwk(key.public_key(), as_dict=True)
    # PyJWT names what an RSA key may do as well; providers do so by `use`.
    return {**{name: value for name, value in found.items() if name != "key_ops"}, **fields}


def jwks(*keys):
    return json.dumps({"keys": list(keys)}).encode()


@pytest.fixture
def public(tmp_path):
    """Reads a file of public keys with that content."""

    def read(content):
        path = tmp_path / "public"
        path.write_bytes(content)
        return read_public_keys(path)

    return read


# --- the hub's own ------------------------------------------------------------------------------


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path):
    """Mode 0600 from the first byte, and the same key at every start after."""
    path = tmp_path / "keys.json"
    keys = load_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keys(path) == keys
    assert [path.name] == [each.name for each in tmp_path.iterdir()]
    (secret,) = keys.values()
    assert len(secret) >= 43  # 32 random bytes in base64: what HS256 can use
    token = Tokens(keys).issue("T1", Role.TTE, ["1"])
    assert Tokens(load_keys(path)).identify(token).user == "T1"


def test_two_hubs_have_two_keys(tmp_path):
    """A token of one hub is nothing to another, though both made their key themselves."""
    one, two = (Tokens(load_keys(tmp_path / name)) for name in ("a.json", "b.json"))
    with pytest.raises(BadToken):
        two.identify(one.issue("T1", Role.ADMIN, ["*"]))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'"k"', b"null", b"\xff", b'{"k1": 5}', b'{"k1": ""}']
)
def test_a_broken_key_file_is_never_written_over(tmp_path, content):
    """One line that says what to do: the keys may be on a backup, and all tokens depend on them."""
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(BadKeys, match=r"keys\.json does not hold the hub's keys: restore it"):
        load_keys(path)
    assert path.read_bytes() == content


def test_a_key_that_others_may_read_is_none(tmp_path):
    """The hub does not start if others may read its keys, and the error says what to do."""
    path = tmp_path / "keys.json"
    load_keys(path)
    for mode in (0o640, 0o604, 0o620, 0o644, 0o666):
        path.chmod(mode)
        with pytest.raises(BadKeys, match="chmod 600"):
            load_keys(path)
        assert not has_keys(path)
    path.chmod(0o400)
    assert load_keys(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_that_somebody_else_owns_is_none(tmp_path):
    """Its owner could change it at any time."""
    path = tmp_path / "keys.json"
    load_keys(path)
    os.chown(path, 12345, -1)
    with pytest.raises(BadKeys, match="belongs to user 12345: run as that user, or chown it"):
        load_keys(path)


def test_a_link_in_the_place_of_the_keys_is_not_followed(tmp_path):
    """The hub does not follow a link: it could lead to another user's file."""
    (tmp_path / "elsewhere").mkdir()
    load_keys(tmp_path / "elsewhere" / "keys.json")
    path = tmp_path / "keys.json"
    path.symlink_to(tmp_path / "elsewhere" / "keys.json")
    with pytest.raises(BadKeys, match="plain file"):
        load_keys(path)
    path.unlink()
    path.mkdir()
    with pytest.raises((BadKeys, OSError)):
        load_keys(path)


def test_keys_that_are_not_there_are_not_made_by_reading(tmp_path):
    """A running hub whose file is gone for a moment believes what it did."""
    with pytest.raises(FileNotFoundError):
        read_keys(tmp_path / "keys.json")
    assert not has_keys(tmp_path / "keys.json")
    assert list(tmp_path.iterdir()) == []


def test_a_new_key_signs_and_the_old_one_is_believed_until_it_is_dropped(tmp_path):
    """Rotation rejects a token only when its key is dropped."""
    path = tmp_path / "keys.json"
    ((old, _),) = load_keys(path).items()
    first = Tokens(load_keys(path)).issue("T1", Role.TTE, ["1"])
    new = add_key(path)
    assert list(load_keys(path)) == [old, new]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = Tokens(load_keys(path)).issue("T1", Role.TTE, ["1"])
    assert jwt.get_unverified_header(second)["kid"] == new
    assert Tokens(load_keys(path)).identify(first).user == "T1"
    drop_key(path, old)
    assert Tokens(load_keys(path)).identify(second).user == "T1"
    with pytest.raises(BadToken):
        Tokens(load_keys(path)).identify(first)


def test_a_key_that_cannot_be_dropped_is_named(tmp_path):
    """The last one cannot: a hub without a key can sign nothing."""
    path = tmp_path / "keys.json"
    ((kid, _),) = load_keys(path).items()
    before = path.read_bytes()
    with pytest.raises(BadKeys, match=f"has no key 'k9': it has {kid}"):
        drop_key(path, "k9")
    with pytest.raises(BadKeys, match="add a new one first"):
        drop_key(path, kid)
    assert path.read_bytes() == before


def test_a_secret_is_not_shown():
    """Whatever logs a key shows its algorithm."""
    assert "hush" not in repr(own_keys({"k1": "hush"}))


# --- others' ------------------------------------------------------------------------------------


def test_a_pem_file_is_the_key_of_whatever_token_names_none_of_the_hub_s(public):
    """One key, of the algorithm that its kind is for."""
    for key, algorithm in ((RSA, "RS256"), (EC, "ES256")):
        keys = public(pem(key))
        assert keys.find("whatever").algorithm == keys.find(None).algorithm == algorithm
        assert keys.by_id == {}


def test_a_jwks_file_has_keys_by_their_ids(public):
    """Those for other uses are passed over; one alone may have no id."""
    keys = public(
        jwks(
            jwk(RSA, kid="r", use="sig", alg="RS256"),
            jwk(EC, kid="e"),
            jwk(RSA, kid="x", use="enc", alg="RSA-OAEP"),
        )
    )
    assert {kid: key.algorithm for kid, key in keys.by_id.items()} == {"r": "RS256", "e": "ES256"}
    assert keys.find("x") is keys.find(None) is keys.find(["r"]) is None
    assert public(jwks(jwk(EC))).find(None).algorithm == "ES256"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither a PEM file"),
        (b"no key", "neither a PEM file"),
        (private_pem(EC), "neither a PEM file"),
        (b"{", "neither a PEM file"),
        (b"{}", r'a JWKS file is \{"keys"'),
        (b'{"keys": {}}', "a JWKS file is"),
        (b'{"keys": ["k"]}', "a JWKS file is"),
        (b'{"keys": []}', "no key for signatures"),
        (b'{"keys": [{}]}', "it cannot be read as a JWK"),
        (jwks({"kty": "oct", "k": "c2VjcmV0", "kid": "k"}), "no public RSA or P-256 key"),
        (jwks(jwk(RSA, alg="RS512")), "a key is for 'RS512'"),
        (jwks(jwk(RSA, alg="none")), "a key is for 'none'"),
        (jwks(jwk(RSA), jwk(EC, kid="e")), "each of several keys needs a kid"),
        (jwks(jwk(RSA, kid=["r"])), "needs a kid"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "2048 bits"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "no public RSA or P-256 key"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "no public RSA or P-256 key"),
        (b'{"keys": ' * 20_000, "neither a PEM file"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_public_key_is_refused(public, content, said):
    """One line that names the file and says what is wrong with it, and quotes nothing of it."""
    with pytest.raises(BadKeys, match=said) as raised:
        public(content)
    assert "\n" not in str(raised.value)
    assert "public" in str(raised.value)


def test_a_private_jwk_is_refused(public):
    """The hub needs no private key of others, and should not have it."""
    private = jwt.algorithms.ECAlgorithm.to_jwk(EC, as_dict=True)
    with pytest.raises(BadKeys, match="no public RSA or P-256 key"):
        public(jwks({**private, "kid": "e"}))


def test_a_file_that_is_not_there_is_named(tmp_path):
    """And why it cannot be read."""
    with pytest.raises(BadKeys, match=r"nowhere\.pem cannot be read: No such file"):
        read_public_keys(tmp_path / "nowhere.pem")


def test_no_keys_find_nothing():
    """Without a file of public keys, only the hub's own keys are valid."""
    assert Keys().find("k") is Keys().find(None) is None


def test_keys_of_other_kinds_are_passed_over(public, caplog):
    """A provider adds keys without asking (RFC 7517, section 5): those that are known are used."""
    other = {"kty": "EC", "crv": "P-384", "kid": "new", "x": "AA", "y": "AA"}
    found = public(jwks(jwk(RSA, kid="r"), other, {"kty": "XYZ", "kid": "odd"}))
    assert found.find("r") is not None
    assert found.find("new") is None
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "public keys"
    ] * 2
    assert "'new'" in caplog.text
