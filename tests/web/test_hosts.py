"""trainhub/web/hosts.py: a hub answers to its own names only, for every request."""

import socket

import pytest

from trainhub.web.hosts import AllowedHosts
from trainhub.web.websocket import TrainSocket

OWN = socket.gethostname()


@pytest.fixture
def settings_of_web():
    return {"hosts": AllowedHosts(["hub.example", "Station.Example."])}


def head(request_line, *headers):
    return "\r\n".join([request_line, *headers, "Connection: close", "", ""]).encode()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        *(("127.0.0.1", True), ("192.0.2.7", True), ("[::1]", True), ("[2001:db8::7]", True)),
        *(("localhost", True), ("LOCALHOST", True), ("localhost.", True), (OWN, True)),
        *(("hub.example", True), ("HUB.Example", True), ("hub.example.", True)),
        *(("station.example", True), ("sub.hub.example", False), ("example", False)),
        *(("hub.example.evil.example", False), ("evil.example", False), ("hub.example..", False)),
        *(("", False), (".", False), ("*", False), ("::1", False), ("[127.0.0.1]", False)),
        *(("127.0.0.1.evil.example", False), ("2130706433", False), ("0x7f.1", False)),
        *(
            ("127.1", False),
            ("[::1", False),
            ("localhost.evil.example", False),
            ("١٢٧.0.0.1", False),
        ),
    ],
)
def test_names(name, allowed):
    """Numeric addresses and whole names match; case and a last dot do not matter."""
    assert AllowedHosts(["hub.example", "Station.Example."]).allows(name) is allowed


def test_any_name():
    """`*` allows any name, for a hub behind a proxy that checks names itself."""
    assert AllowedHosts(["*"]).allows("evil.example")
    assert not AllowedHosts().allows("hub.example")


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/ws", "/api/trains", "/api/trains/12345/start", "/static/monitor.js"),
        *("/healthz", "/readyz", "/version", "/api/monitor", "/nowhere", "/static/../x"),
    ],
)
async def test_another_name_is_refused_everywhere(call, method, path):
    """It gets 421 with the setting that allows it, and the safe headers of every answer."""
    body = b"{}" if method in ("POST", "PUT") else None
    answer = await call(method, path, body, headers={"Host": "evil.example"})
    assert answer.status == 421
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if method != "HEAD":
        assert "--allowed-hosts" in answer.json["error"]["message"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "host", ["hub.example", "HUB.example:8888", "hub.example.:1", OWN, "[::1]:1"]
)
async def test_a_known_name_is_served(send, host):
    """Any port is right: a proxy or a forwarded port may be in front of the hub."""
    answer = await send(head("GET /api/trains HTTP/1.1", f"Host: {host}"))
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Host: evil.example"], 421),
        (["Host: evil.example:80"], 421),
        (["Host:"], 421),
        ([], 400),
        (["Host: 127.0.0.1", "Host: evil.example"], 400),
        (["Host: 127.0.0.1", "Host: 127.0.0.1"], 400),
        (["Host: 127.0.0.1,evil.example"], 400),
        (["Host: a b"], 400),
        (["Host: evil.example/127.0.0.1"], 400),
        (["Host: user@127.0.0.1"], 400),
        (["Host: evil.example", "X-Forwarded-Host: 127.0.0.1"], 421),
    ],
)
async def test_a_missing_or_malformed_host(send, headers, status):
    """It is refused too, and X-Forwarded-Host does not replace it."""
    answer = await send(head("GET / HTTP/1.1", *headers))
    assert answer.split()[1] == str(status).encode()


@pytest.mark.gen_test
async def test_an_old_client_need_not_name_a_host(send):
    """HTTP/1.0 needs no Host, and no browser speaks it."""
    assert (await send(head("GET /healthz HTTP/1.0"))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.gen_test
async def test_a_rebound_page_gets_no_socket(call):
    """A page with equal Origin and Host looks like the hub's own, and is refused by its name."""
    page = {"Host": "evil.example", "Origin": "http://evil.example"}
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    answer = await call("GET", "/ws", headers={**page, **upgrade, "Sec-Fetch-Site": "same-origin"})
    assert answer.status == 421
    assert not TrainSocket.sockets


@pytest.mark.gen_test
async def test_an_unknown_method_is_no_way_round(send):
    """An unknown method gets 405, whatever its Host."""
    answer = await send(head("BREW /api/trains HTTP/1.1", "Host: evil.example"))
    assert answer.split()[1] == b"405"


def test_a_hub_is_asked_by_the_names_that_it_is_given(start_hub, mongod_options):
    """A hub process answers to the names of --allowed-hosts and --address."""
    hub = start_hub(*mongod_options, "--allowed-hosts", "hub.example", "--address", "localhost")
    for host, status in (("hub.example", b"200"), ("localhost", b"200"), ("x.example", b"421")):
        with socket.create_connection(("localhost", hub.port)) as client:
            client.sendall(head("GET /healthz HTTP/1.1", f"Host: {host}"))
            assert client.recv(100).split()[1] == status
