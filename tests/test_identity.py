"""trainhub/identity.py: only a token of this hub says who somebody is."""

import base64
import json
import stat
import time
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given
from hypothesis import strategies as st
from railway import RUN

from trainhub.domain import commands as c
from trainhub.domain.errors import BadToken, Forbidden, NotIdentified
from trainhub.domain.model import Role, RunKey
from trainhub.identity import (
    ALL_TRAINS,
    ANONYMOUS,
    LEEWAY,
    MAY,
    Identity,
    Standing,
    Tokens,
    load_keys,
    require,
    require_own,
    require_role,
)

SECRET = "the hub's own secret, long enough for HMAC with SHA-256 and SHA-512 too"
OTHER = "another hub's secret, long enough for HMAC with SHA-256 and SHA-512 too"
TOKENS = Tokens({"k1": SECRET})
GOOD = {"sub": "T1", "role": "TTE", "trains": ["12345"], "exp": int(time.time()) + 3600}


def sign(claims, key=SECRET, algorithm="HS256", **headers):
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k1", **headers})


def changed(**claims):
    """GOOD with other claims; None takes a claim away."""
    return {name: value for name, value in {**GOOD, **claims}.items() if value is not None}


def part(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


@pytest.mark.parametrize("role", Role)
def test_a_token_says_who_somebody_is(role):
    """Role, user and trains come from the token alone."""
    token = TOKENS.issue("U1", role, ["12345", "54321/2026-11-23"])
    assert TOKENS.identify(token) == Identity("U1", role, frozenset({"12345", "54321/2026-11-23"}))


def test_a_token_lasts_as_long_as_it_says():
    """An hour too old is expired; a clock that is half a minute off is forgiven."""
    with pytest.raises(BadToken, match="expired"):
        TOKENS.identify(TOKENS.issue("U1", Role.TTE, ["1"], timedelta(hours=-1)))
    late = timedelta(seconds=5) - LEEWAY
    assert TOKENS.identify(TOKENS.issue("U1", Role.TTE, ["1"], late)).user == "U1"
    with pytest.raises(BadToken, match="expired"):
        TOKENS.identify(TOKENS.issue("U1", Role.TTE, ["1"], -timedelta(seconds=5) - LEEWAY))


def test_the_last_key_signs_and_the_older_ones_are_still_read():
    """Keys may be changed without sending everybody away."""
    old = TOKENS.issue("U1", Role.TTE, ["1"])
    both = Tokens({"k1": SECRET, "k2": OTHER})
    new = both.issue("U1", Role.TTE, ["1"])
    assert jwt.get_unverified_header(new)["kid"] == "k2"
    assert both.identify(old) == both.identify(new)
    with pytest.raises(BadToken):
        Tokens({"k2": OTHER}).identify(old)


def forged():
    """Tokens that this hub has not signed, or not so, each with the way it was made."""
    good = TOKENS.issue("T1", Role.TTE, ["12345"])
    head, body, signature = good.split(".")
    admin = part(changed(role="ADMIN"))
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    none = {"typ": "JWT", "kid": "k1"}
    return {
        "another secret": sign(GOOD, OTHER),
        "another body": f"{head}.{admin}.{signature}",
        "no signature": f"{head}.{body}.",
        "cut signature": good[:-3],
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.x",
        "alg none": f"{part({'alg': 'none', **none})}.{body}.",
        "alg None": f"{part({'alg': 'None', **none})}.{body}.",
        "alg none with the old signature": f"{part({'alg': 'none', **none})}.{body}.{signature}",
        "no alg": f"{part(none)}.{body}.{signature}",
        "RS256": sign(GOOD, pem, "RS256"),
        "RS256 in the head of HS256": f"{part({'alg': 'RS256', **none})}.{body}.{signature}",
        "HS512 with the hub's secret": sign(GOOD, SECRET, "HS512"),
        "unknown kid": sign(GOOD, kid="k2"),
        "kid of a path": sign(GOOD, kid="/dev/null"),
        "kid a list": f"{part({'alg': 'HS256', 'kid': ['k1']})}.{body}.{signature}",
        "kid null": f"{part({'alg': 'HS256', 'kid': None})}.{body}.{signature}",
        "no kid": jwt.encode(GOOD, SECRET, algorithm="HS256"),
        "key in the head": sign(GOOD, OTHER, jwk={"kty": "oct", "k": part(OTHER)}),
        "head a list": f"{part(['HS256'])}.{body}.{signature}",
        "deep head": f"{'W1tb' * 3_000}.{body}.{signature}",
        "deeper head": base64.urlsafe_b64encode(b'{"a":' * 9_000 + b"1" + b"}" * 9_000).decode()
        + f".{body}.{signature}",
        "nothing": "",
        "words": "let me in",
        "not ASCII": "é.ü.ß",
    }


@pytest.mark.parametrize(("way", "token"), forged().items(), ids=lambda value: str(value)[:32])
def test_a_forged_token_is_refused(way, token):
    """Whatever is not signed by a key of this hub, in its one algorithm, is BAD_TOKEN."""
    with pytest.raises(BadToken, match="not one of this hub's"):
        TOKENS.identify(token)


@pytest.mark.parametrize(
    "claims",
    [
        *({"exp": None}, {"exp": "tomorrow"}, {"exp": []}, {"exp": {}}, {"exp": float("inf")}),
        *({"exp": 0}, {"exp": -1}, {"exp": int(time.time()) - 3600}),
        *({"nbf": int(time.time()) + 3600}, {"sub": None}, {"sub": 7}, {"sub": ["T1"]}),
        *({"role": None}, {"role": ""}, {"role": "tte"}, {"role": "ROOT"}, {"role": ["ADMIN"]}),
        *({"role": {"ADMIN": 1}}, {"role": 1}, {"role": True}),
        *({"trains": None}, {"trains": 12345}, {"trains": {"12345": 1}}, {"trains": True}),
        *({"trains": [12345]}, {"trains": [None]}, {"trains": [["12345"]]}, {"trains": [{}]}),
    ],
    ids=repr,
)
def test_a_token_whose_claims_are_odd_is_refused(claims):
    """Even with the right key: no end, no user, no known role or no list of trains is BAD_TOKEN."""
    with pytest.raises(BadToken):
        TOKENS.identify(sign(changed(**claims)))


def test_odd_claims_that_say_nothing_are_passed_over():
    """An audience or an issuer is another system's matter; a lone train may stand for a list."""
    token = sign(changed(aud="somebody", iss="me", trains="12345", admin=True))
    assert TOKENS.identify(token) == Identity("T1", Role.TTE, frozenset({"12345"}))
    assert TOKENS.identify(sign(changed(trains=[]))).trains == frozenset()


@given(st.one_of(st.text(), st.lists(st.binary(max_size=60), max_size=4)))
@example("..")
@example([b"{}", b"{}", b""])
@example([b'{"alg":"HS256","kid":"k1"}', b"{}", b"x"])
def test_any_text_for_a_token_is_refused_and_nothing_worse(data):
    """A token comes from outside: it may be anything, and the answer is BAD_TOKEN."""
    if isinstance(data, list):
        data = ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in data)
    with pytest.raises(BadToken):
        TOKENS.identify(data)


@pytest.mark.parametrize(
    ("trains", "covered"),
    [
        ({ALL_TRAINS}, True),
        ({"12345"}, True),
        ({"12345/2026-11-23"}, True),
        ({"1", "12345"}, True),
        ({"12345/2026-11-24"}, False),
        ({"1234"}, False),
        ({"123456"}, False),
        ({"2026-11-23"}, False),
        ({""}, False),
        ({"12345/"}, False),
        (set(), False),
    ],
)
def test_a_token_covers_the_trains_and_runs_it_names(trains, covered):
    """A train number covers each of its runs, a run itself alone, and "*" everything."""
    identity = Identity("T1", Role.TTE, frozenset(trains))
    assert identity.covers(RUN) is covered
    assert identity.standing(RUN) == (Standing(Role.TTE, "T1") if covered else Standing())
    assert ANONYMOUS.standing(RUN) == Standing(None, None)


def test_every_command_says_who_may_give_it():
    """A command without a line in the table could be given by nobody, or by all."""
    assert MAY.keys() == set(c.COMMANDS.values())
    own = {c.CancelJourney, c.ChangeBoarding, c.AcceptOffer, c.DenyOffer}
    assert {each for each, roles in MAY.items() if Role.PASSENGER in roles} == own


def test_a_passenger_speaks_for_their_own_people():
    """FORBIDDEN for somebody else's, and for one who is not there: that tells nobody who is."""
    passenger = Identity("IR_1", Role.PASSENGER, frozenset({"12345"}))
    require_own(passenger, "IR_1")
    for owner in ("IR_2", "ir_1", "", None):
        with pytest.raises(Forbidden):
            require_own(passenger, owner)
    for role in set(Role) - {Role.PASSENGER}:
        require_own(Identity("T1", role), "IR_2")
        require_own(Identity("T1", role), None)


@pytest.mark.parametrize("command", MAY, ids=lambda each: each.__name__)
@pytest.mark.parametrize("role", Role)
def test_a_command_asks_for_its_role_and_its_run(command, role):
    """FORBIDDEN without the role, FORBIDDEN on another's run, NOT_IDENTIFIED without a token."""
    here = Identity("U1", role, frozenset({"12345"}))
    if role in MAY[command]:
        require(here, command, RUN)
    else:
        with pytest.raises(Forbidden, match="may"):
            require(here, command, RUN)
    with pytest.raises(Forbidden):
        require(here, command, RunKey("54321/2026-11-23"))
    with pytest.raises(NotIdentified):
        require(ANONYMOUS, command, RUN)


def test_a_role_is_asked_for_with_those_that_have_it():
    """An error says in words what to do."""
    require_role(Identity("U1", Role.ADMIN), frozenset({Role.ADMIN}))
    with pytest.raises(Forbidden, match="ADMIN, TTE may"):
        require_role(Identity("U1", Role.PASSENGER), frozenset({Role.TTE, Role.ADMIN}))
    with pytest.raises(NotIdentified, match="IDENTIFY"):
        require_role(ANONYMOUS, frozenset(Role))


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
    with pytest.raises(ValueError, match=r"keys\.json does not hold the hub's keys: restore it"):
        load_keys(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "x" * 5_000])
def test_a_claim_that_cannot_be_stored_is_refused(text):
    """The user is written into the journal, the answers and the audit trail: one that they cannot
    hold would stop the hub."""
    for claims in (changed(sub=text), changed(trains=[text])):
        with pytest.raises(BadToken, match="a claim of the token"):
            TOKENS.identify(sign(claims))
