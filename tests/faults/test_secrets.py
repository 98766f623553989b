"""No password, key or token is in anything that a hub prints, logs or answers."""

import base64
import json
import subprocess
import sys
from http.client import HTTPConnection
from urllib.parse import quote

import pytest
from hub_process import ROOT
from load import Fleet, asker
from mongods import as_root
from waiting import wait_for
from websockets.exceptions import ConnectionClosed
from witness import connect

from trainhub.access.identity import Tokens
from trainhub.domain.model import Role
from trainhub.process.private_file import write_private

USER, PASSWORD, KEY = "MARKUSER", "MARKPASS", "MARKKEY" * 8
# With all that has a meaning in a URI, in a shell or in a log.
ODD_PASSWORD = "MARKPASS@/:?#[]%41 &\\'\"wörd"


def unwritten(hub, *more, secrets=(USER, PASSWORD, "MARKKEY")):
    """No secret is in what the process printed, nor in what else was heard of it."""
    said = "\n".join([*hub.said, *hub.logged, *more])
    assert not [secret for secret in secrets if secret in said]


def everything_answered(hub, *paths, **head):
    """The bytes of each answer, its head too."""
    answers = []
    for path in ("/", "/api/monitor", "/readyz", "/healthz", "/version", "/api/trains", *paths):
        connection = HTTPConnection("127.0.0.1", hub.port, timeout=120)
        connection.request("GET", path, headers=head)
        answer = connection.getresponse()
        answers.append(f"{answer.getheaders()} {answer.read().decode()}")
        connection.close()
    return answers


@pytest.mark.parametrize(
    "uri",
    [
        f"http://{USER}:{PASSWORD}@db",
        f"{USER}:{PASSWORD}@db",
        f"mongodb:/{USER}:{PASSWORD}@db",
        f"mongodb://{USER}:{PASSWORD}",
        f"mongodb://{USER}:{PASSWORD}@@db",
        f"mongodb://{USER}:x@{PASSWORD}@db",
        f"mongodb://{USER}:27017/{PASSWORD}@127.0.0.1",
        f"mongodb://{USER}:27017?{PASSWORD}@127.0.0.1",
        f"mongodb://{USER}:27017#{PASSWORD}@127.0.0.1",
        f"mongodb://{USER}:{PASSWORD}%zz@db",
        f"mongodb://{USER}:{PASSWORD}@db:port",
        f"mongodb://{USER}:{PASSWORD}@[::1",
        f"mongodb://{USER}:{PASSWORD}@db/?tls=true&tlsCAFile=/{PASSWORD}",
        f"mongodb+srv://{USER}:{PASSWORD}@db:27017",
        f"mongodb+srv://{USER}:{PASSWORD}@",
    ],
)
def test_a_uri_that_cannot_be_used(start_hub, uri):
    """The hub does not start, and says in one line what a URI looks like, not what this one is."""
    hub = start_hub(environment={"TRAINHUB_MONGODB_URI": uri}, wait=False)
    assert hub.wait(20) == 2
    assert any("a URI looks like mongodb://host:27017" in line for line in hub.logged)
    unwritten(hub)


@pytest.mark.parametrize(
    "options",
    [
        ("--mongodb-ur", f"mongodb://{USER}:{PASSWORD}@db"),
        (f"--mongo=mongodb://{USER}:{PASSWORD}@db",),
        ("--mongodb-uri", "mongodb://a,", f"mongodb://{USER}:{PASSWORD}@db"),
        ("--port", f"mongodb://{USER}:{PASSWORD}"),
        ("--anonymous", f"mongodb://{USER}:{PASSWORD}@db"),
    ],
)
def test_an_option_misspelt(start_hub, options):
    """What is wrong with the command line is said without the URI that is in it."""
    hub = start_hub(*options, wait=False)
    assert hub.wait(20) == 2
    assert any("--help" in line for line in hub.logged)
    unwritten(hub)


def test_a_variable_mistaken(start_hub):
    """The same of the environment."""
    wrong = {"TRAINHUB_MAX_CONNECTIONS": f"mongodb://{USER}:{PASSWORD}@db"}
    hub = start_hub(environment=wrong, wait=False)
    assert hub.wait(20) == 2
    assert any("TRAINHUB_MAX_CONNECTIONS" in line for line in hub.logged)
    unwritten(hub)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("text", "appName=hub"),
        (
            "json",
            f"tls=true&tlsCertificateKeyFilePassword={PASSWORD}&w={PASSWORD}&journal={PASSWORD}",
        ),
    ],
)
def test_a_server_that_is_not_there(start_hub, unused_port, form, options):
    """The hub works on, and neither its log nor any answer has the URI's secrets."""
    uri = f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{unused_port}/?{options}"
    hub = start_hub("--new", "--log-format", form, environment={"TRAINHUB_MONGODB_URI": uri})
    degraded(hub)
    answers = everything_answered(hub)
    assert hub.stop() == 0
    assert any("MongoDB does not" in line for line in hub.logged)
    unwritten(hub, *answers)


def degraded(hub):
    fleet = Fleet(1, 1)
    fleet.begin(hub)
    wait_for(hub.degraded)


@pytest.fixture
def guarded(start_mongod):
    """A mongod that asks for a password."""
    mongod = start_mongod("--auth")
    with as_root(mongod) as root:
        grant = [{"role": "readWrite", "db": "trainhub"}]
        root.admin.command("createUser", USER, pwd=ODD_PASSWORD, roles=grant)
    return mongod


@pytest.mark.parametrize("right", [True, False])
def test_a_server_that_asks_for_a_password(start_hub, guarded, right):
    """An odd password works when it is percent-encoded; whether right or wrong, it is not told."""
    password = quote(ODD_PASSWORD, safe="") + ("" if right else "x")
    uri = guarded.uri_for(f"{USER}:{password}")
    hub = start_hub("--new", environment={"TRAINHUB_MONGODB_URI": uri})
    if right:
        fleet, ask = Fleet(1, 1), asker(hub)
        fleet.begin(hub)
        wait_for(lambda: ask("/api/monitor")["writeBuffer"]["flushed"])
        wait_for(lambda: hub.degraded() == [])
    else:
        degraded(hub)
    answers = everything_answered(hub)
    assert hub.stop() == 0
    unwritten(hub, *answers, secrets=(USER, PASSWORD, password, ODD_PASSWORD))


def test_keys_and_tokens(start_hub, tmp_path):
    """Neither tokens nor the key are in the log, in answers or in what `check` prints.

    Tokens are valid, forged and broken, in a header, a message and a subprotocol.
    """
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    write_private(folder / "keys.json", json.dumps({"k1": KEY}))
    hub = start_hub(folder=folder)
    good = hub.token("ADMIN", "control", "*")
    head, claims, signature = good.split(".")
    forged = Tokens({"k1": "another key, and long enough for it"}).issue("x", Role.ADMIN, ["*"])
    marked = base64.urlsafe_b64encode(b'{"MARKTOKEN": "MARKTOKEN"}').decode().rstrip("=")
    broken = (forged, f"{head}.{marked}.{signature}", f"{head}.{claims}.MARKTOKEN", "MARKTOKEN.x.y")
    answers = []
    for token in (good, *broken):
        answers += everything_answered(hub, "/api/me", Authorization=f"Bearer {token}")
        answers += everything_answered(hub, f"/api/{token}", f"/api/me?token={token}")
        answers += said_on_a_socket(hub, token)
    checked = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "check", str(folder)], capture_output=True, text=True
    )
    assert checked.returncode == 0
    hub.stop()
    secrets = ("MARKKEY", "MARKTOKEN", marked, signature, claims, forged, good)
    unwritten(hub, *answers, checked.stdout, checked.stderr, secrets=secrets)


def said_on_a_socket(hub, token):
    """What a socket hears that comes with the token, and says it."""
    url, heard = f"ws://127.0.0.1:{hub.port}/ws", []
    with connect(url, subprotocols=["trainhub.v1", f"bearer.{token}"]) as socket:
        socket.send(json.dumps({"type": "IDENTIFY", "token": token, "id": 1}))
        while not heard or '"id":1' not in heard[-1]:
            try:
                heard.append(socket.recv(10))
            except ConnectionClosed as error:
                return [*heard, str(error)]
    return heard


@pytest.mark.parametrize("text", ['{"k1": "MARKKEY', '{"MARKKEY": 5}', '["MARKKEY"]', "MARKKEY"])
def test_a_file_of_keys_that_is_broken(start_hub, tmp_path, text):
    """Named by its path, and not quoted."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "keys.json").write_text(text)
    hub = start_hub(folder=folder, wait=False)
    assert hub.wait(20) == 2
    assert any("keys.json" in line for line in hub.logged)
    checked = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "check", str(folder)], capture_output=True, text=True
    )
    unwritten(hub, checked.stdout, checked.stderr)
