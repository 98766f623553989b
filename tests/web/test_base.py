"""trainhub/web/base.py: rules that hold for every HTTP answer."""

import asyncio
import base64
import json
import re
from contextlib import closing
from http.client import HTTPConnection

import pytest
from railway import RUN
from waiting import PATIENCE

from trainhub.core import errors
from trainhub.hub.protocol import MOST_BODY_BYTES, MOST_SOCKET_BYTES
from trainhub.web.base import HEADERS, STATUS, status_of
from trainhub.web.monitor import PAGE_POLICY
from trainhub.web.routes import ROUTES

START = "/api/trains/12345/start"
ANNOUNCE = "/api/trains/12345/announcements"


def every_error(cls=errors.HubError):
    for each in cls.__subclasses__():
        yield each
        yield from every_error(each)


@pytest.fixture
def running(io_loop, site):
    """Train 12345 is registered, and has not started."""
    io_loop.run_sync(site.register)


def announcement_of(size):
    """Return a body of `size` bytes that announces something."""
    body = json.dumps({"text": "hello"}).encode()
    return body + b" " * (size - len(body))


def in_parts(body):
    """Return options that send a body in chunks, without Content-Length."""

    async def produce(write):
        for start in range(0, len(body), 8_192):
            await write(body[start : start + 8_192])

    return {"body_producer": produce, "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize("error", dict.fromkeys(every_error()), ids=lambda each: each.__name__)
def test_every_error_has_its_status(error):
    """The nearest class in the table decides, so a new subclass of Conflict is a 409."""
    expected = {
        "BAD_MESSAGE": 400,
        "UNKNOWN_TYPE": 400,
        "NOT_IDENTIFIED": 401,
        "BAD_TOKEN": 401,
        "FORBIDDEN": 403,
        "UNKNOWN_TRAIN": 404,
        "UNKNOWN_STATION": 404,
        "UNKNOWN_PASSENGER": 404,
        "UNKNOWN_COACH": 404,
        "CONFLICT": 409,
        "AMBIGUOUS_RUN": 409,
        "AMBIGUOUS_STATION": 409,
        "TOO_MANY_ROOMS": 409,
        "RATE_LIMITED": 429,
        "UNAVAILABLE": 503,
    }
    status = status_of(error("x"))
    assert status == next(STATUS[cls] for cls in error.__mro__ if cls in STATUS)
    assert status == expected.get(getattr(error, "code", None), status)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/api/trains", 200),
        ("GET", "/api/trains/99999", 404),
        ("GET", "/api/me", 401),
        ("GET", "/nowhere", 404),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/monitor.js", 200),
        ("PUT", "/api/trains", 405),
        ("GET", "/ws", 400),
    ],
)
async def test_every_answer_has_the_safe_headers(call, method, path, status):
    """Every answer forbids sniffing, framing and foreign scripts, and names no server version."""
    answer = await call(method, path, {} if method == "PUT" else None)
    assert answer.status == status
    found = {name: answer.headers.get(name) for name in HEADERS}
    policy = found.pop("Content-Security-Policy")
    assert policy == (PAGE_POLICY if path == "/" else HEADERS["Content-Security-Policy"])
    assert policy.startswith("default-src 'none'; ")
    assert found.items() <= HEADERS.items()
    assert answer.headers["Server"] == "trainhub"
    assert "Strict-Transport-Security" not in answer.headers
    for told in ("Tornado", "Python"):
        assert told.lower() not in str(dict(answer.headers)).lower()


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/api/trains", "/api/monitor", "/api/trains/99999", "/api/me"])
async def test_an_answer_is_for_its_reader_only(call, path):
    """No cache may store an answer of the API, also not an error."""
    answer = await call("GET", path)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers.get("Cache-Control") == "no-store"


# --- who asks -----------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_a_token_comes_as_bearer(site, call, scheme):
    """The scheme Bearer is read in any case of letters."""
    headers = {"Authorization": scheme + site.token("TTE")}
    assert (await call("GET", "/api/me", headers=headers)).result["user"] == "T1"


def deep_token():
    head = b'{"a":' * 1_700 + b"1" + b"}" * 1_700
    return base64.urlsafe_b64encode(head).decode().rstrip("=") + ".e30.x"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic dXNlcjpwYXNz"),
        *("Bearer é.é.é", f"Bearer {deep_token()}", "Bearer " + "W1tb" * 3_000 + ".e30.x"),
    ],
    ids=lambda value: value[:20],
)
@pytest.mark.parametrize("path", ["/api/me", "/api/trains", "/api/monitor"])
async def test_a_bad_token_is_a_401_everywhere(call, header, path):
    """A caller with a bad token gets an error, and is not treated as without a token."""
    answer = await call("GET", path, headers={"Authorization": header})
    assert (answer.status, answer.code) == (401, "BAD_TOKEN")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.gen_test
async def test_a_token_in_the_address_is_ignored(site, call):
    """The hub reads no token from a URL, since logs and histories keep URLs."""
    token = site.token("TTE")
    for name in ("token", "access_token", "Authorization"):
        answer = await call("GET", f"/api/me?{name}={token}")
        assert (answer.status, answer.code) == (401, "NOT_IDENTIFIED")


# --- what is sent -------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_empty_body_is_an_empty_object(call, site, running):
    """A command without fields needs no body and no Content-Type."""
    assert (await call("POST", START, b"", "TTE")).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_a_body_is_json_and_says_so(call, running, kind, status):
    """Other content types get 415: a form of another site's page cannot give a command."""
    body = b'{"text": "hello"}'
    answer = await call("POST", ANNOUNCE, body, "TTE", headers={"Content-Type": kind})
    assert answer.status == status
    if status == 415:
        assert answer.code == "BAD_MESSAGE"


@pytest.mark.gen_test
@pytest.mark.parametrize("route", [each for each in ROUTES if each.command], ids=lambda r: r.name)
async def test_every_command_wants_json(call, site, running, route):
    """No address accepts a form."""
    path = re.sub(r"{\w+}", "1", route.path)
    answer = await call(route.method, path, b"a=b", "ADMIN", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (415, "BAD_MESSAGE")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b"null", b'"text"', b"\xff", b"[" * 60_000, b" ", b"{} {}"),
        *(b'{"text": NaN}', b'{"text": 1e999}', b'{"text": "\\ud800"}', b'{"\\ud800": 1}'),
        b'{"text": "x", "more": 1}',
    ],
    ids=repr,
)
async def test_a_malformed_body_is_a_400(call, site, running, body):
    """The answer is JSON with the protocol's code, and nothing has happened."""
    headers = {"Content-Type": "application/json"}
    answer = await call("POST", ANNOUNCE, body, "TTE", headers=headers)
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert answer.json["error"]["message"]
    assert site.hub.state(RUN).seq == 1


@pytest.mark.gen_test
async def test_a_body_may_have_64_kb(call, running):
    """The limit itself passes; one byte more does not, by Content-Length or in chunks."""
    headers = {"Content-Type": "application/json"}
    fits, over = announcement_of(MOST_SOCKET_BYTES), announcement_of(MOST_SOCKET_BYTES + 1)
    assert (await call("POST", ANNOUNCE, fits, "TTE", headers=headers)).status == 200
    assert (await call("POST", ANNOUNCE, None, "TTE", **in_parts(fits))).status == 200
    for answer in (
        await call("POST", ANNOUNCE, over, "TTE", headers=headers),
        await call("POST", ANNOUNCE, None, "TTE", **in_parts(over)),
    ):
        assert (answer.status, answer.code) == (413, "BAD_MESSAGE")
    assert (await call("GET", "/healthz")).status == 200


def post_with_the_standard_library(port, path, token, size):
    """Send as most clients do: the whole body first, then read the answer."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", path, b" " * size, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        (ANNOUNCE, MOST_SOCKET_BYTES + 1, 413),
        (ANNOUNCE, 5_000_000, 413),
        ("/api/trains", MOST_BODY_BYTES + 1, 413),
        ("/nowhere", 5_000_000, 404),
    ],
)
async def test_a_refusal_reaches_a_client_that_sends_first(
    site, http_server, http_port, call, path, size, status
):
    """A client that sends its whole body before it reads gets the reason for the refusal."""
    found, body = await asyncio.to_thread(
        post_with_the_standard_library, http_port, path, site.token("ADMIN"), size
    )
    assert found == status
    assert body["error"]["message"]
    assert (await call("GET", "/healthz")).status == 200


@pytest.mark.gen_test
async def test_after_a_refused_body_the_connection_goes_on_or_says_that_it_ends(
    site, http_server, http_port, running
):
    """The next request on the connection is answered, or the answer said Connection: close."""

    def post_and_get():
        with closing(HTTPConnection("127.0.0.1", http_port, timeout=PATIENCE)) as connection:
            headers = {"Authorization": f"Bearer {site.token('TTE')}"}
            connection.request("POST", ANNOUNCE, b" " * 70_000, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.headers.get("Connection") == "close":
                return answer.status, None
            connection.request("GET", "/healthz")
            return answer.status, connection.getresponse().status

    assert await asyncio.to_thread(post_and_get) in ((413, None), (413, 200))


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [MOST_SOCKET_BYTES + 1, 10 * MOST_SOCKET_BYTES])
async def test_a_command_whose_body_is_refused_does_not_happen(call, site, running, size):
    """A refused command changes nothing, also if it needs no body and its body came in parts."""
    answer = await call("POST", START, None, "TTE", **in_parts(b" " * size))
    assert answer.status == 413
    await call("GET", "/healthz")
    assert site.hub.state(RUN).status == "SCHEDULED"
    assert len(site.journal.records) == 1


@pytest.mark.gen_test
async def test_the_train_and_date_of_an_address(call, site):
    """?date= names the run; a malformed date, or bytes that are not UTF-8, get 400."""
    for day in ("2026-11-24", "2026-11-25"):
        await site.register(startDate=day)
    ambiguous = await call("GET", "/api/trains/12345")
    assert (ambiguous.status, ambiguous.code) == (409, "AMBIGUOUS_RUN")
    assert ambiguous.json["error"]["details"]["startDates"] == ["2026-11-24", "2026-11-25"]
    for day in ("2026-11-24", "2026-11-25"):
        assert (await call("GET", f"/api/trains/12345?date={day}")).result["startDate"] == day
    for bad in ("yesterday", "2026-02-30", "", "2026-11-23T00:00", "%FF", "%ED%A0%80", "%00"):
        answer = await call("GET", f"/api/trains/12345?date={bad}")
        assert (answer.status, answer.code) == (400, "BAD_MESSAGE"), bad
    assert (await call("GET", "/api/trains/12345?date=2026-11-26")).status == 404
    assert (await call("GET", "/api/trains/%FF")).status == 400


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["%2012345%20", "12345%2F2026-11-23", "%00", "*", "x" * 900])
async def test_an_odd_train_number_is_just_another_train(call, site, running, path):
    """12345 with blanks around it is 12345; any other number is an unknown train."""
    answer = await call("GET", f"/api/trains/{path}")
    assert answer.status == (200 if path == "%2012345%20" else 404)


# --- when the hub cannot ------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_while_the_runs_are_loaded_it_is_a_503(call, site):
    """Every read and command gets UNAVAILABLE, for every caller."""
    site.hub.loaded = False
    for method, path in (("GET", "/api/trains"), ("GET", "/api/me"), ("POST", START)):
        answer = await call(method, path, b"" if method == "POST" else None, "ADMIN")
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")


@pytest.mark.gen_test
async def test_when_the_journal_has_failed_it_is_a_503(call, site, running):
    """The command that met the failure gets 503, and so do all later ones."""
    site.journal.broken = True
    for _ in range(2):
        answer = await call("POST", ANNOUNCE, {"text": "hello"}, "TTE")
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert (await call("GET", "/api/trains")).status == 503


@pytest.mark.gen_test
async def test_a_fault_of_the_hub_is_a_500_that_says_nothing(call, site, monkeypatch, caplog):
    """The traceback goes to the log; the client gets JSON without a word of it."""
    monkeypatch.setattr(site.hub.runs, "all", lambda: 1 / 0)
    answer = await call("GET", "/api/monitor")
    assert (answer.status, answer.code) == (500, "UNAVAILABLE")
    assert b"division" not in answer.body
    assert b"Traceback" not in answer.body
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/passengers/4512345601?date=%ff", "date is to be text in UTF-8"),
        ("/passengers/4512345601%ff", "pnr is to be text in UTF-8"),
    ],
)
async def test_an_address_that_is_not_utf_8(call, caplog, site, running, path, said):
    """The answer is 400 with what to do; the address, which may hold a PNR, is in no log."""
    caplog.set_level("DEBUG")
    answer = await call("GET", f"/api/trains/12345{path}", who="TTE")
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert answer.json["error"]["message"] == said
    assert "4512345601" not in caplog.text


@pytest.mark.gen_test
async def test_refusals_are_not_logged_as_faults(call, caplog, site, running):
    """A client's errors neither fill the log nor bring a PNR into it."""
    caplog.set_level("DEBUG")
    await call("POST", "/api/trains/12345/passengers/4598765432/1/board", b"", "TTE")
    await call("GET", "/api/trains/12345/passengers?q=Zarathustra", who="TTE")
    await call("POST", ANNOUNCE, {"text": 5}, "TTE")
    await call("POST", ANNOUNCE, b"x" * 70_000, "TTE")
    assert site.token("TTE") not in caplog.text
    assert "4598765432" not in caplog.text
    assert "Zarathustra" not in caplog.text
