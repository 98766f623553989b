"""trainhub/access/identity.py: only a token that the hub accepts identifies a caller."""

import base64
import hmac
import json
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import jwt
import pytest
from clocks import Machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from railway import RUN

from trainhub.access.identity import (
    ALL_TRAINS,
    ANONYMOUS,
    LEEWAY,
    Identity,
    Tokens,
    TrustFiles,
    id_and_end,
)
from trainhub.access.keys import Key, Keys, add_key, drop_key, load_keys
from trainhub.access.revocations import Revocations, revoke_token, revoke_user
from trainhub.core.audience import Standing
from trainhub.core.errors import BadToken
from trainhub.domain.model import Role

SECRET = "the hub's own secret, long enough for HMAC with SHA-256 and SHA-512 too"
OTHER = "another hub's secret, long enough for HMAC with SHA-256 and SHA-512 too"
TOKENS = Tokens({"k1": SECRET})
# Seconds since 1970, long ago and far ahead. Each run of the tests has the same test names.
IN_2000, IN_3000 = 946_684_800, 32_503_680_000
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
    """A new key leaves the tokens of the older keys valid."""
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
        *({"exp": 0}, {"exp": -1}, {"exp": IN_2000}),
        *({"nbf": IN_3000}, {"sub": None}, {"sub": 7}, {"sub": ["T1"]}),
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
    token = sign(changed(aud="another", iss="me", trains="12345", admin=True))
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


# --- others' keys -------------------------------------------------------------------------------

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHERS = Keys({"r": Key("RS256", RSA.public_key()), "e": Key("ES256", EC.public_key())})
PEM = Keys(nameless=Key("RS256", RSA.public_key()))


def hand_signed(header, claims, secret):
    """A token with HMAC, whatever its header says; libraries refuse to make some of these."""
    head = f"{part(header)}.{part(claims)}"
    digest = hmac.digest(secret, head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def pem_of(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_token_of_another_s_key_is_believed():
    """RS256 and ES256, by key id, or by the only key there is for tokens that name none of ours."""
    tokens = Tokens({"k1": SECRET}, OTHERS)
    assert tokens.identify(sign(GOOD, RSA, "RS256", kid="r")).user == "T1"
    assert tokens.identify(sign(GOOD, EC, "ES256", kid="e")).user == "T1"
    assert tokens.identify(sign(GOOD)).user == "T1"
    nameless = Tokens({"k1": SECRET}, PEM)
    assert nameless.identify(sign(GOOD, RSA, "RS256", kid="2026-11")).user == "T1"
    assert nameless.identify(jwt.encode(GOOD, RSA, algorithm="RS256")).user == "T1"


def confused():
    """Tokens that try to have one kind of key taken for another."""
    der = RSA.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    admin = changed(role="ADMIN")
    hs = {"alg": "HS256", "typ": "JWT"}
    return {
        "HMAC with the public PEM": hand_signed({**hs, "kid": "r"}, admin, pem_of(RSA)),
        "HMAC with the PEM, stripped": hand_signed({**hs, "kid": "r"}, admin, pem_of(RSA).strip()),
        "HMAC with the public DER": hand_signed({**hs, "kid": "r"}, admin, der),
        "HMAC with the EC PEM": hand_signed({**hs, "kid": "e"}, admin, pem_of(EC)),
        "HMAC that says RS256": hand_signed({"alg": "RS256", "kid": "r"}, admin, pem_of(RSA)),
        "HMAC without a kid": hand_signed(hs, admin, pem_of(RSA)),
        "HMAC with nothing": hand_signed({**hs, "kid": "r"}, admin, b""),
        "HS256 under our kid with their PEM": hand_signed({**hs, "kid": "k1"}, admin, pem_of(RSA)),
        "RS256 under our kid": sign(admin, RSA, "RS256", kid="k1"),
        "ES256 under the RSA kid": sign(admin, EC, "ES256", kid="r"),
        "RS256 under the EC kid": sign(admin, RSA, "RS256", kid="e"),
        "RS512": sign(admin, RSA, "RS512", kid="r"),
        "PS256": sign(admin, RSA, "PS256", kid="r"),
        "another RSA key": sign(
            admin, rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256", kid="r"
        ),
        "our secret under their kid": sign(admin, SECRET, kid="r"),
        "none under their kid": f"{part({'alg': 'none', 'kid': 'r'})}.{part(admin)}.",
    }


@pytest.mark.parametrize(("way", "token"), confused().items(), ids=lambda value: str(value)[:32])
def test_a_key_is_never_taken_for_another_kind(way, token):
    """The key determines the algorithm, so a public key cannot sign a token as a secret."""
    for others in (OTHERS, PEM):
        if others is PEM and way == "RS256 under the EC kid":
            continue  # there it is signed by the one key that there is
        with pytest.raises(BadToken, match="not one of this hub's"):
            Tokens({"k1": SECRET}, others).identify(token)


# --- audience and issuer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"aud": "hub", "iss": "rail"}, True),
        ({"aud": ["app", "hub"], "iss": "rail"}, True),
        ({"aud": "app", "iss": "rail"}, False),
        ({"aud": ["app"], "iss": "rail"}, False),
        ({"aud": [], "iss": "rail"}, False),
        ({"aud": ["hub", 7], "iss": "rail"}, False),
        ({"aud": {"hub": 1}, "iss": "rail"}, False),
        ({"iss": "rail"}, False),
        ({"aud": "hub", "iss": "other"}, False),
        ({"aud": "hub", "iss": ["rail"]}, False),
        ({"aud": "hub"}, False),
        ({"aud": "Hub", "iss": "rail"}, False),
    ],
    ids=repr,
)
def test_an_audience_and_an_issuer_are_asked_for_where_they_are_set(claims, good):
    """A token for another service is rejected, even if the same key has signed it."""
    tokens = Tokens({"k1": SECRET}, audience="hub", issuer="rail")
    token = hand_signed({"alg": "HS256", "kid": "k1"}, changed(**claims), SECRET.encode())
    if good:
        assert tokens.identify(token).user == "T1"
    else:
        with pytest.raises(BadToken):
            tokens.identify(token)
    assert TOKENS.identify(token).user == "T1"


def test_own_tokens_name_what_the_hub_asks_for():
    """`run.py token` makes a token that a hub with the same settings accepts."""
    tokens = Tokens({"k1": SECRET}, audience="hub", issuer="rail")
    assert tokens.identify(tokens.issue("T1", Role.TTE, ["1"])).user == "T1"
    with pytest.raises(BadToken, match="for another service"):
        Tokens({"k1": SECRET}, audience="app", issuer="rail").identify(
            tokens.issue("T1", Role.TTE, ["1"])
        )


# --- taken back ---------------------------------------------------------------------------------


def test_a_revoked_token_is_believed_no_more():
    """Revoking a token affects only that token, for new callers and identified ones."""
    lost, other = (TOKENS.issue("T1", Role.TTE, ["1"]) for _ in range(2))
    tokens = Tokens({"k1": SECRET})
    who = tokens.identify(lost)
    assert tokens.objection(who) is None
    name, ends = id_and_end(lost)
    tokens.believe({"k1": SECRET}, Keys(), Revocations(tokens={name: ends}))
    with pytest.raises(BadToken, match="revoked: get a new one"):
        tokens.identify(lost)
    assert "revoked" in tokens.objection(who)
    assert tokens.identify(other).user == "T1"


def test_a_revoked_user_needs_a_newer_token():
    """All that a user had is taken back; what is issued later is good."""
    now = time.time()
    tokens = Tokens({"k1": SECRET}, revoked=Revocations(users={"T1": now}))
    for issued in ({"iat": now - 60}, {"iat": now}, {}, {"iat": None}):
        with pytest.raises(BadToken, match="revoked"):
            tokens.identify(sign(changed(**issued)))
    assert tokens.identify(sign(changed(iat=now + 0.5))).user == "T1"
    assert tokens.identify(sign(changed(sub="T2"))).user == "T2"


def test_whose_key_is_dropped_is_believed_no_more():
    """Dropping a leaked key rejects the tokens that it signed, also of identified callers."""
    tokens = Tokens({"k1": SECRET, "k2": OTHER}, OTHERS)
    old = tokens.identify(sign(GOOD))
    new = tokens.identify(sign(GOOD, OTHER, kid="k2"))
    theirs = tokens.identify(sign(GOOD, RSA, "RS256", kid="r"))
    tokens.believe({"k2": OTHER}, Keys({"e": Key("ES256", EC.public_key())}), Revocations())
    assert tokens.objection(new) is None
    assert "revoked" in tokens.objection(old)
    assert "revoked" in tokens.objection(theirs)


def test_a_token_ends_for_whoever_has_identified_with_it():
    """As at the door: half a minute after its `exp`."""
    now = int(time.time())
    who = TOKENS.identify(sign(changed(exp=now - 5)))
    assert TOKENS.objection(who) is None
    over = replace(who, source=replace(who.source, expires=now - LEEWAY.total_seconds() - 1))
    assert "expired" in TOKENS.objection(over)


@pytest.fixture
def machine():
    return Machine()


def test_a_clock_that_was_set_back_does_not_refuse_the_tokens_of_before(machine):
    """Their `iat` lies in the future; a token of a clock that differs is told so."""
    clock = machine.clock()
    tokens = Tokens({"k1": SECRET}, OTHERS, clock=clock)
    now = int(machine.wall())
    own = tokens.issue("T1", Role.TTE, ["1"], timedelta(hours=2))
    theirs = sign(changed(iat=now, nbf=now, exp=now + 7200), RSA, "RS256", kid="r")
    machine.set(-3600)
    clock.follow(clock.look())
    assert tokens.identify(own).user == tokens.identify(theirs).user == "T1"
    for times in ({"iat": now + 45}, {"nbf": now + 45}):
        ahead = sign(changed(exp=now + 7200, **times), RSA, "RS256", kid="r")
        with pytest.raises(BadToken, match="not valid yet: the clocks of hub and issuer differ"):
            tokens.identify(ahead)


@pytest.mark.parametrize("by", [3600, 400 * 24 * 3600])
def test_the_hub_s_own_tokens_last_as_long_as_they_say_when_the_clock_is_set_forward(machine, by):
    """They were made by the same clock; another issuer's end is its own to say."""
    clock = machine.clock()
    tokens = Tokens({"k1": SECRET}, OTHERS, clock=clock)
    now = int(machine.wall())
    own = tokens.issue("T1", Role.TTE, ["1"], timedelta(minutes=30))
    theirs = sign(changed(iat=now, exp=now + 1800), RSA, "RS256", kid="r")
    machine.pass_(60)
    machine.set(by)
    clock.follow(clock.look())
    who = tokens.identify(own)
    with pytest.raises(BadToken, match="expired"):
        tokens.identify(theirs)
    machine.pass_(1800 + LEEWAY.total_seconds())
    assert "expired" in tokens.objection(who)


def test_a_revocation_allows_for_the_clock_of_another_issuer():
    """As the end of a token does: half a minute. The hub's own tokens are of the same clock."""
    now = int(time.time())
    users = Revocations(users={"T1": float(now)})
    tokens = Tokens({"k1": SECRET}, OTHERS, users)
    for ahead in (0, 20, 30):
        with pytest.raises(BadToken, match="revoked"):
            tokens.identify(sign(changed(iat=now + ahead), RSA, "RS256", kid="r"))
    own = {user: tokens.issue(user, Role.TTE, ["1"]) for user in ("T1", "T2")}
    assert [tokens.identify(token).user for token in own.values()] == ["T1", "T2"]


def test_a_token_made_after_a_revocation_is_good_though_the_clock_was_set_back(machine):
    """The clock shows again a time of before the revocation: that says nothing of their order."""
    clock = machine.clock()
    users = Revocations(users={"T1": machine.wall()})
    machine.set(-3600)
    clock.follow(clock.look())
    tokens = Tokens({"k1": SECRET}, revoked=users, clock=clock)
    assert tokens.identify(tokens.issue("T1", Role.TTE, ["1"])).user == "T1"


def test_nobody_and_the_hub_s_own_hand_need_no_token():
    """There is nothing to take back."""
    assert TOKENS.objection(ANONYMOUS) is None
    assert TOKENS.objection(Identity("operator", Role.ADMIN, frozenset({"*"}))) is None


@pytest.mark.parametrize(
    "token",
    [
        *("", "x", "a.b.c", jwt.encode({}, SECRET, headers={"kid": "k1"})),
        sign(changed(exp="soon", jti="t")),
        sign(changed(exp=10**400, jti="t")),
        sign(GOOD),
    ],
)
def test_what_cannot_be_taken_back_is_said(token):
    """Without an id or an end there is nothing to write down."""
    with pytest.raises(BadToken, match="no token with an id"):
        id_and_end(token)


def test_an_end_beyond_all_numbers_is_refused():
    """`exp` is a number that a clock can come to."""
    with pytest.raises(BadToken):
        TOKENS.identify(sign(changed(exp=10**400)))


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "x" * 5_000])
def test_a_claim_that_cannot_be_stored_is_refused(text):
    """A user or train that the journal cannot store is rejected: it would stop the hub."""
    for claims in (changed(sub=text), changed(trains=[text])):
        with pytest.raises(BadToken, match="a claim of the token"):
            TOKENS.identify(sign(claims))


# --- the files ----------------------------------------------------------------------------------


def test_files_that_change_are_read_again(tmp_path):
    """Keys, revocations and public keys, each by itself; nothing else is a change."""
    public = tmp_path / "public.pem"
    public.write_bytes(pem_of(RSA))
    files = TrustFiles(tmp_path, public)
    tokens = Tokens(*files.read())
    first = tokens.issue("T1", Role.TTE, ["1"])
    ((kid, _),) = load_keys(tmp_path / "keys.json").items()

    def believed(token):
        files.renew(tokens)
        try:
            return tokens.identify(token).user
        except BadToken:
            return None

    add_key(tmp_path / "keys.json")
    assert believed(first) == "T1"
    second = tokens.issue("T1", Role.TTE, ["1"])
    drop_key(tmp_path / "keys.json", kid)
    assert believed(first) is None
    revoke_token(tmp_path / "revoked.json", *id_and_end(second), now=time.time())
    assert believed(second) is None
    revoke_user(tmp_path / "revoked.json", "U1", time.time())
    assert believed(sign(changed(sub="U1"), RSA, "RS256", kid="x")) is None
    assert tokens.identify(sign(GOOD, RSA, "RS256", kid="x")).user == "T1"
    public.write_bytes(pem_of(EC))
    assert believed(sign(GOOD, RSA, "RS256", kid="x")) is None
    assert tokens.identify(sign(GOOD, EC, "ES256", kid="x")).user == "T1"


def test_keys_that_are_gone_are_not_made_anew_while_the_hub_runs(tmp_path, caplog):
    """They may be on their way back from a backup: what was believed stays."""
    files = TrustFiles(tmp_path, None)
    tokens = Tokens(*files.read())
    good = tokens.issue("T1", Role.TTE, ["1"])
    (tmp_path / "keys.json").unlink()
    with caplog.at_level("INFO"):
        files.renew(tokens)
        files.renew(tokens)
    assert tokens.identify(good).user == "T1"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert not (tmp_path / "keys.json").exists()
    assert ["the previous ones stay in use" in each for each in files.complaints()] == [True]
    add_key(tmp_path / "keys.json")
    files.renew(tokens)
    assert files.complaints() == []


def test_a_verified_token_is_remembered_by_all_its_bytes():
    """One changed byte is another token, also next to a verified one, and is not believed."""
    tokens = Tokens({"k1": SECRET})
    token = tokens.issue("U1", Role.TTE, ["12345"])
    assert tokens.identify(token) is tokens.identify(token)
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        # The last character of a part may carry bits that no byte needs: then it is the same token.
        with pytest.raises(BadToken) if place + 1 < len(token) else suppress(BadToken):
            tokens.identify(f"{token[:place]}{other}{token[place + 1 :]}")
    assert tokens.identify(token).user == "U1"


def test_the_oldest_verified_token_makes_room(monkeypatch):
    """The memory of verified tokens is bounded; a token that left it is verified again."""
    monkeypatch.setattr("trainhub.access.identity.TOKENS_REMEMBERED", 2)
    tokens = Tokens({"k1": SECRET})
    issued = [tokens.issue(f"U{n}", Role.TTE, ["12345"]) for n in range(3)]
    first, *_ = [tokens.identify(token) for token in issued]
    again = tokens.identify(issued[0])
    assert again == first
    assert again is not first
