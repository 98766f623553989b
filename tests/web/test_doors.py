"""Doors as clients, monitors and operators use them: HEAD, tokens, queries, one form of names."""

import json

import pytest
from railway import chart, person
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect
from waiting import PATIENCE

from trainhub.domain.model import Role

pytestmark = pytest.mark.gen_test(timeout=PATIENCE)
READ = ("/healthz", "/readyz", "/version", "/api/trains", "/api/monitor", "/", "/static/monitor.js")


@pytest.mark.parametrize("path", READ)
async def test_head_is_get_without_the_body(call, path):
    """RFC 9110 asks it of every server, and uptime monitors send it."""
    got, head = [await call(each, path, decompress_response=False) for each in ("GET", "HEAD")]
    assert (head.status, head.body) == (got.status, b"") == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert abs(int(head.headers["Content-Length"]) - len(got.body)) < 100


async def test_head_needs_the_token_that_get_needs(call, site):
    """It tells no more than GET."""
    await site.register(person(1))
    path = "/api/trains/12345/passengers/4512345601"
    for who in (None, "PASSENGER", "OTHER_TTE", "TTE"):
        got, head = await call("GET", path, who=who), await call("HEAD", path, who=who)
        assert (head.status, head.body) == (got.status, b"")


async def test_head_is_not_answered_where_get_is_not(call):
    """A command's address has its own method, and a socket has no body."""
    for path, allowed in (("/api/trains/12345/start", "POST"), ("/ws", "GET, OPTIONS")):
        answer = await call("HEAD", path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("name", ["token", "access_token", "jwt"])
async def test_a_token_in_an_address_is_refused(call, site, name):
    """Addresses end in logs; and a client that sends a token never means to have none."""
    answer = await call("GET", f"/api/trains?{name}={site.token('TTE')}")
    assert (answer.status, answer.code) == (401, "BAD_TOKEN")
    assert "Authorization: Bearer" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/api/trains?dte=2026-11-23", "this address has none"),
        ("/api/trains/12345?dte=2026-11-23", "expected one of date"),
        ("/api/trains/12345/passengers?statu=RAC", "expected one of date, status, state"),
    ],
)
async def test_an_unknown_parameter_is_named(call, site, path, known):
    """A misspelt filter must not answer more than was asked."""
    await site.register(person(1))
    answer = await call("GET", path, who="TTE")
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert known in answer.json["error"]["message"]


async def test_watchdogs_may_add_what_they_like(call):
    """Monitors break caches with a parameter of their own."""
    for path in ("/healthz", "/readyz", "/version", "/"):
        assert (await call("GET", f"{path}?_=1764200000")).status == 200


async def handshake(port, path="/ws", **headers):
    """Open a socket with these headers. Returns it, or the HTTP status."""
    request = HTTPRequest(f"ws://127.0.0.1:{port}{path}", headers=headers)
    try:
        return await websocket_connect(request)
    except HTTPClientError as error:
        return error.code


async def test_a_token_in_the_handshake_counts(site, http_server, http_port):
    """Native clients put it there; browsers cannot."""
    await site.register(person(1))
    socket = await handshake(http_port, Authorization=f"Bearer {site.token('TTE')}")
    heard = [json.loads(await socket.read_message()) for _ in range(2)]
    assert [each["type"] for each in heard] == ["WELCOME", "IDENTIFIED"]
    assert heard[1]["role"] == Role.TTE
    socket.close()


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic dXNlcg==", "nonsense"])
async def test_a_bad_token_in_the_handshake_is_a_401(http_server, http_port, header):
    """The client learns at once that no one knows it, and not by what it does not see."""
    assert await handshake(http_port, Authorization=header) == 401


async def test_a_socket_has_no_query(site, http_server, http_port):
    """A token there is refused with 401, anything else with 400."""
    assert await handshake(http_port, f"/ws?token={site.token('TTE')}") == 401
    assert await handshake(http_port, "/ws?train=12345") == 400


async def test_a_token_for_a_train_in_small_letters_covers_it(call, site):
    """1a23 and " 1A23 " are one train in charts, addresses, commands and tokens."""
    await site.register(person(1), trainNo="1a23")
    for name in ("1a23", " 1A23 ", "1a23/2026-11-23"):
        token = site.tokens.issue(" T1 ", Role.TTE, [name])
        assert site.tokens.identify(token).user == "T1"
        answer = await call(
            "GET", "/api/trains/1a23/passengers", headers={"Authorization": f"Bearer {token}"}
        )
        assert len(answer.result) == 1


async def test_codes_have_one_form(call, site):
    """Blanks and small letters in a station's code change nothing."""
    body = chart(person(1, " aaa ", "Eee"))
    body["stations"][1]["code"] = "bbb "
    answer = await call("POST", "/api/trains", body, "ADMIN")
    assert answer.result["rejected"] == []
    await call("POST", "/api/trains/12345/start", b"", "ADMIN")
    left = await call("POST", "/api/trains/12345/departures", {"stationCode": " aaa"}, "ADMIN")
    assert left.status == 200
    came = await call("POST", "/api/trains/12345/arrivals", {"stationCode": "Bbb"}, "ADMIN")
    assert came.result["station"]["code"] == "BBB"


async def test_a_coach_has_one_form(call, site):
    """Small letters and blanks around its code change nothing, in commands and in reads."""
    await site.register()
    await call("POST", "/api/trains/12345/start", {}, "ADMIN")
    checked = await call("POST", "/api/trains/12345/coaches/%20s1/check", {}, "TTE")
    assert (checked.status, checked.result["coach"]) == (200, "S1")
    people = (await call("GET", "/api/trains/12345/passengers?coach=s1", who="TTE")).result
    assert {each["coach"] for each in people} == {"S1"}


async def test_a_number_that_may_have_lost_zeros_is_a_warning(call):
    """Spreadsheets make 851 of 00851, which is another train."""
    answer = await call("POST", "/api/trains", chart(trainNo=851), "ADMIN")
    assert "send it as a text like 00851" in answer.result["warnings"][0]["reason"]


async def test_a_feed_starts_a_run_and_may_miss_a_departure(call, site):
    """SERVICE may START, and an arrival implies the departure that was not reported."""
    await site.register(person(1), boarding="auto")
    assert (await call("POST", "/api/trains/12345/start", b"", "SERVICE")).status == 200
    answer = await call("POST", "/api/trains/12345/arrivals", {"stationCode": "BBB"}, "SERVICE")
    assert (answer.status, answer.result["station"]["code"]) == (200, "BBB")
    kinds = [type(record.event).__name__ for record in site.journal.records]
    assert kinds[2:5] == ["StationDeparture", "PassengerBoarded", "StationArrival"]
    left = site.journal.records[2].event
    assert left.actual <= site.journal.records[4].event.actual
