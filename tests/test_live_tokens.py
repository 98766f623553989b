"""Tokens that expire or are revoked while their sockets are open, on a running hub."""

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hub_process import ROOT
from railway import chart
from waiting import PATIENCE, wait_for
from websockets.exceptions import ConnectionClosed
from witness import connect

from trainhub.access.identity import LEEWAY
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role
from trainhub_client import connect as connect_client

HERE = {"trainNo": "12345", "startDate": "2026-11-23"}


class Line:
    """A client's socket that sends and gets one message at a time."""

    def __init__(self, socket):
        self.socket = socket
        self.socket.recv(timeout=PATIENCE)

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, "id": 1, **fields}))
        while "id" not in (answer := json.loads(self.socket.recv(timeout=PATIENCE))):
            pass
        return answer

    def closed_with(self, code, reason):
        with pytest.raises(ConnectionClosed) as raised:
            deque(iter(lambda: self.socket.recv(timeout=PATIENCE), None))
        assert raised.value.rcvd.code == code
        assert reason in raised.value.rcvd.reason
        return True


@pytest.fixture
def call():
    """Opens a line to a hub."""
    with ExitStack() as stack:
        yield lambda hub: Line(stack.enter_context(connect(hub.url.replace("http", "ws") + "/ws")))


def order(hub, name, *arguments):
    """Run `python run.py NAME` while the hub runs; return what it prints."""
    command = [sys.executable, str(ROOT / "run.py"), name, *arguments]
    where = [] if name == "check" else ["--data-dir", str(hub.folder)]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture
def hub(start_hub, mongod_options):
    return start_hub(*mongod_options)


def tokens_of(hub):
    return hub.tokens


def ends_in(seconds):
    """Return the life of a token whose socket should close after `seconds`."""
    return timedelta(seconds=seconds) - LEEWAY


def test_a_socket_is_closed_when_its_token_has_ended(call, hub):
    """It gets 4403, unless it identifies again in time; a socket without a token stays."""
    tokens = tokens_of(hub)
    late, renewed, silent, gone = call(hub), call(hub), call(hub), call(hub)
    silent.say("PING")
    for each in (late, renewed, gone):
        token = tokens.issue("T1", Role.TTE, ["12345"], ends_in(3))
        assert each.say("IDENTIFY", token=token)["type"] == "IDENTIFIED"
    fresh = tokens.issue("T1", Role.TTE, ["12345"])
    assert renewed.say("IDENTIFY", token=fresh)["type"] == "IDENTIFIED"
    assert gone.say("LOGOUT")["type"] == "LOGGED_OUT"
    assert late.closed_with(4403, "the token has expired")
    for each in (renewed, silent, gone):
        assert each.say("PING")["type"] == "PONG"


def test_what_is_taken_back_is_gone_from_live_sockets_and_at_the_door(call, hub):
    """One command revokes a token, a user or a key of a running hub; other clients stay."""
    tokens = tokens_of(hub)
    ((old, _),) = load_keys(hub.folder / "keys.json").items()
    lost = tokens.issue("T1", Role.TTE, ["12345"])
    phone, tablet, traveller = call(hub), call(hub), call(hub)
    phone.say("IDENTIFY", token=lost)
    tablet.say("IDENTIFY", token=tokens.issue("T1", Role.TTE, ["12345"]))
    traveller.say("IDENTIFY", token=tokens.issue("IR_1", Role.PASSENGER, ["12345"]))

    order(hub, "revoke", "--token", lost)
    assert phone.closed_with(4403, "revoked")
    assert call(hub).say("IDENTIFY", token=lost)["code"] == "BAD_TOKEN"
    assert tablet.say("PING")["type"] == "PONG"

    order(hub, "revoke", "--user", "IR_1")
    assert traveller.closed_with(4403, "revoked")
    assert tablet.say("PING")["type"] == "PONG"

    (_, new) = order(hub, "keys", "--new")
    (token,) = order(hub, "token", "--role", "TTE", "--user", "T2", "--train", "12345")
    assert jwt.get_unverified_header(token)["kid"] == new
    again = call(hub)
    wait_for(lambda: again.say("IDENTIFY", token=token)["type"] == "IDENTIFIED")
    assert tablet.say("PING")["type"] == "PONG"
    order(hub, "keys", "--drop", old)
    assert tablet.closed_with(4403, "revoked")
    assert again.say("PING")["type"] == "PONG"


def test_what_was_taken_back_stays_so_after_a_restart(call, hub, start_hub, mongodb_uri):
    """The list of revoked tokens is in the data folder."""
    token = tokens_of(hub).issue("T1", Role.TTE, ["12345"])
    order(hub, "revoke", "--user", "T1")
    hub.kill()
    hub = start_hub("--mongodb-uri", mongodb_uri, folder=hub.folder)
    assert call(hub).say("IDENTIFY", token=token)["code"] == "BAD_TOKEN"


def test_broken_files_leave_the_hub_as_it_is(call, hub):
    """Valid tokens stay valid, revoked ones stay revoked, and the log names the broken file."""
    tokens = tokens_of(hub)
    good, bad = (tokens.issue(user, Role.TTE, ["12345"]) for user in ("T1", "T2"))
    order(hub, "revoke", "--user", "T2")
    wait_for(lambda: call(hub).say("IDENTIFY", token=bad)["type"] == "ERROR")
    line = call(hub)
    assert line.say("IDENTIFY", token=good)["type"] == "IDENTIFIED"
    for name in ("revoked.json", "keys.json"):
        hub.logged.clear()
        whole = (hub.folder / name).read_bytes()
        (hub.folder / name).write_bytes(whole[:-3])
        wait_for(lambda: any("stay in use" in line for line in list(hub.logged)))
        assert line.say("PING")["type"] == "PONG"
        assert call(hub).say("IDENTIFY", token=good)["type"] == "IDENTIFIED"
        assert call(hub).say("IDENTIFY", token=bad)["type"] == "ERROR"
        (hub.folder / name).write_bytes(whole)
        wait_for(lambda: any("reloaded the keys" in line for line in list(hub.logged)))


def test_another_service_s_keys_change_while_the_hub_runs(call, start_hub, tmp_path, mongodb_uri):
    """When a JWKS file is replaced, the hub accepts the new key and no longer the old one."""
    path = tmp_path / "jwks.json"
    keys = {kid: ec.generate_private_key(ec.SECP256R1()) for kid in ("a", "b")}

    def publish(*kids):
        listed = [
            {**jwt.algorithms.ECAlgorithm.to_jwk(keys[kid].public_key(), as_dict=True), "kid": kid}
            for kid in kids
        ]
        path.write_text(json.dumps({"keys": listed}))

    def token(kid):
        claims = {"sub": "T1", "role": "TTE", "trains": ["12345"], "exp": time.time() + 600}
        claims |= {"aud": "trainhub", "iss": "rail"}
        return jwt.encode(claims, keys[kid], algorithm="ES256", headers={"kid": kid})

    publish("a")
    asked = ("--token-audience", "trainhub", "--token-issuer", "rail")
    hub = start_hub("--mongodb-uri", mongodb_uri, "--public-keys", str(path), *asked)
    first, second = call(hub), call(hub)
    assert first.say("IDENTIFY", token=token("a"))["type"] == "IDENTIFIED"
    assert second.say("IDENTIFY", token=token("b"))["code"] == "BAD_TOKEN"
    publish("a", "b")
    wait_for(lambda: second.say("IDENTIFY", token=token("b"))["type"] == "IDENTIFIED")
    publish("b")
    assert first.closed_with(4403, "revoked")
    assert second.say("PING")["type"] == "PONG"
    own = tokens_of(hub).issue("T1", Role.TTE, ["12345"])
    assert call(hub).say("IDENTIFY", token=own)["code"] == "BAD_TOKEN"  # it names no audience


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--public-keys", "nowhere.pem"], "--public-keys: there is no file nowhere.pem"),
        (["--public-keys", "private.pem"], "neither a PEM file of one public key nor a JWKS"),
    ],
)
def test_keys_that_cannot_be_used_end_the_start(start_hub, tmp_path, options, said):
    """The hub's last line says what to do. It exits with 2, and quotes no private key."""
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "private.pem").write_bytes(private)
    hub = start_hub(*options, wait=False)
    assert hub.wait() == 2
    assert said in hub.logged[-1]
    assert "PRIVATE KEY" not in "".join(hub.logged)


@pytest.mark.gen_test
async def test_a_client_with_a_source_of_tokens_goes_on_after_4403(hub):
    """The Python client fetches a fresh token and misses nothing."""
    tokens = tokens_of(hub)
    made = []

    def fetch():
        made.append(tokens.issue("T1", Role.TTE, ["*"], ends_in(2) if not made else ends_in(600)))
        return made[-1]

    operator = tokens.issue("control", Role.ADMIN, ["*"])
    url = hub.url.replace("http", "ws") + "/ws"
    async with connect_client(url, token=operator) as control, asyncio.timeout(30):
        await control.command("REGISTER_TRAIN", **chart())
        async with connect_client(url, token=fetch) as client:
            train = aiter(client.subscribe("12345"))
            while len(made) < 2:
                await control.command("ANNOUNCE", **HERE, text="on and on", to="STAFF")
                await asyncio.sleep(0.1)
            last = await control.command("ANNOUNCE", **HERE, text="at last", to="STAFF")
            seqs = []
            while not seqs or seqs[-1] < last["seq"]:
                message = await anext(train)
                if message["type"] == "ANNOUNCEMENT":
                    seqs.append(message["seq"])
            assert seqs == list(range(seqs[0], last["seq"] + 1))
            assert seqs[0] <= 3
