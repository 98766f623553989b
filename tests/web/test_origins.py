"""trainhub/web/origins.py: what pages of other sites may do, and what CORS tells browsers."""

import pytest
from waiting import PATIENCE
from websockets.exceptions import InvalidStatus
from witness import connect as connect_socket

from trainhub.web.websocket import TrainSocket

APP, OTHER = "https://app.example", "https://elsewhere.example"
# Where the web view of a phone's app runs: Capacitor on iOS and Android, and Ionic.
IN_APPS = ("capacitor://localhost", "http://localhost", "https://localhost", "ionic://localhost")
CORS = "Access-Control-Allow-Origin"
START = "/api/trains/12345/start"
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


@pytest.fixture
def origins():
    """Return the trusted origins; a test may override them."""
    return frozenset({APP, *IN_APPS})


@pytest.fixture
def settings_of_web(origins):
    return {"origins": origins}


@pytest.fixture
def running(io_loop, site):
    """Train 12345 is registered, and has not started."""
    io_loop.run_sync(site.register)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 101),
        (["Origin: http://127.0.0.1"], 101),
        ([f"Origin: {APP}"], 101),
        ([f"Origin: {APP}", "Sec-Fetch-Site: cross-site"], 101),
        ([f"Origin: {APP}", "Sec-Fetch-Site: same-site"], 101),
        *(([f"Origin: {each}"], 101) for each in IN_APPS),
        (["Origin: capacitor://elsewhere"], 403),
        (["Origin: ionic://localhost:8100"], 403),
        ([f"Origin: {OTHER}"], 403),
        ([f"Origin: {OTHER}", "Sec-Fetch-Site: cross-site"], 403),
        ([f"Origin: {OTHER}", "Sec-Fetch-Site: same-site"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Origin: null"], 403),
        (["Origin: http://app.example"], 403),
        (["Origin: https://app.example:8443"], 403),
        (["Origin: https://app.example.evil.example"], 403),
        (["Origin: https://evilapp.example"], 403),
        (["Origin: https://sub.app.example"], 403),
        (["Origin: *"], 403),
    ],
)
async def test_who_may_open_a_socket(raw, headers, status):
    """Programs, the hub's own pages and pages of exactly the trusted origins may."""
    _, head = await raw(*headers)
    assert head.split()[1] == str(status)
    assert len(TrainSocket.sockets) == (status == 101)


@pytest.mark.gen_test
async def test_the_refusal_says_what_to_do(call):
    """The refusal is JSON and names the setting."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": OTHER}
    socket = await call("GET", "/ws", headers=upgrade)
    command = await call("POST", START, b"", "TTE", headers={"Origin": OTHER})
    for answer in (socket, command):
        assert (answer.status, answer.code) == (403, "FORBIDDEN")
        assert "--trusted-origins" in answer.json["error"]["message"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": APP}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}, 200),
        ({"Origin": OTHER}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": OTHER}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_a_command_of_another_site_s_page(call, site, running, headers, status):
    """It is refused with any token, and changes nothing."""
    assert (await call("POST", START, b"", "TTE", headers=headers)).status == status
    assert (site.hub.state("12345/2026-11-23").status == "SCHEDULED") == (status == 403)


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/", "/api/trains", "/api/me", "/nowhere", "/static/monitor.js"])
async def test_an_app_s_page_may_read_and_command(call, running, path):
    """Its origin comes back as the app sent it, also before a command."""
    for app in IN_APPS:
        assert (await call("GET", path, headers={"Origin": app})).headers[CORS] == app
        answer = await call("OPTIONS", START, headers={"Origin": app, **PREFLIGHT})
        assert (answer.status, answer.headers[CORS]) == (204, app)
    assert (await call("POST", START, b"", "TTE", headers={"Origin": IN_APPS[0]})).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/", "/api/trains", "/api/me", "/nowhere", "/static/monitor.js"])
async def test_a_trusted_page_may_read(call, path):
    """It may read answers and errors; Vary tells caches that they are for this origin."""
    answer = await call("GET", path, headers={"Origin": APP})
    assert answer.headers[CORS] == APP
    assert "Origin" in answer.headers["Vary"].split(",")
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    for headers in ({}, {"Origin": OTHER}, {"Origin": "null"}):
        answer = await call("GET", path, headers=headers)
        assert CORS not in answer.headers
        assert "Origin" in answer.headers["Vary"].split(",")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (START, "POST"),
        ("/api/trains/12345/delay", "PUT"),
        ("/api/trains", "GET, HEAD, POST"),
        ("/api/me", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ],
)
async def test_a_trusted_page_s_browser_asks_first(call, path, methods):
    """The preflight answer has the address's methods and allowed headers; nothing happens."""
    answer = await call("OPTIONS", path, headers={"Origin": APP, **PREFLIGHT})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers[CORS] == APP
    assert answer.headers["Access-Control-Allow-Methods"] == methods
    sent = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert sent == ["Authorization", "Content-Type", "Idempotency-Key"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": OTHER, **PREFLIGHT}, {"Origin": APP}, PREFLIGHT]
)
async def test_other_requests_are_not_told(call, headers):
    """Without a trusted origin OPTIONS is a method that the address does not have."""
    answer = await call("OPTIONS", START, headers=headers)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert "Access-Control-Allow-Methods" not in answer.headers


@pytest.mark.gen_test
@pytest.mark.parametrize("origins", [frozenset()])
async def test_by_default_no_origin_is_trusted(call):
    """No answer has a header of CORS."""
    for method, path in (("GET", "/api/trains"), ("OPTIONS", START), ("GET", "/")):
        answer = await call(method, path, headers={"Origin": APP, **PREFLIGHT})
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert "Origin" not in answer.headers.get("Vary", "")


def test_a_hub_trusts_what_it_is_told(start_hub, mongod_options):
    """A hub process trusts the origins of --trusted-origins."""
    hub = start_hub(*mongod_options, "--trusted-origins", APP)
    url = f"ws://127.0.0.1:{hub.port}/ws"
    with connect_socket(url, origin=APP) as client:
        assert "WELCOME" in client.recv(PATIENCE)
    with pytest.raises(InvalidStatus) as refused:
        connect_socket(url, origin=OTHER)
    assert refused.value.response.status_code == 403
