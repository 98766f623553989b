"""docs/asyncapi.yaml and docs/openapi.yaml: valid, complete, and true of a real hub."""

import ast
import copy
import json
import re
import signal
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import chain
from pathlib import Path

import jsonschema
import pytest
import railway
import recorder
import samples
from clocks import MovedClock
from hub_process import ROOT
from openapi_spec_validator import validate
from railway import chart
from samples import APPROVAL, JOURNEY
from websockets.exceptions import ConnectionClosed, InvalidStatus
from witness import WITNESS, connect

from contract.files import generated
from trainhub.access.revocations import revoke_user
from trainhub.core import errors
from trainhub.domain.commands import COMMANDS, Batch, RegisterTrain
from trainhub.domain.events import EVENTS
from trainhub.domain.model import Role
from trainhub.hub.messages import ErrorDetails
from trainhub.hub.protocol import _MESSAGES
from trainhub.web.routes import route_of

# Statuses of the hub's own faults, which a test cannot cause from outside.
FROM_INSIDE = {500}

DAY = "2026-11-23"
DOCUMENTS = [recorder.asyncapi, recorder.openapi]


# --- the documents ------------------------------------------------------------------------------


def test_openapi_is_openapi():
    """Another project's validator accepts it, without the network."""
    validate(recorder.openapi())


def test_asyncapi_is_asyncapi():
    """The specification's own schema, asyncapi-3.0.0.json, accepts it, without the network."""
    schema = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(recorder.asyncapi())


def test_a_document_stands_alone_for_a_viewer():
    """Every reference leads to a part of the same document."""
    for document in (recorder.asyncapi(), recorder.openapi()):
        for name in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
            assert name.startswith("#/"), name
            part = document
            for key in name[2:].split("/"):
                part = part[key]


def test_no_schema_is_left_over():
    """Each schema is used in its document."""
    for document in DOCUMENTS:
        used = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document()))
        assert set(used) == document()["components"]["schemas"].keys()


def objects(part):
    """Yield every object schema in a part of a document."""
    if isinstance(part, dict):
        if part.get("type") == "object" and "properties" in part:
            yield part
        for value in part.values():
            yield from objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from objects(value)


def test_every_object_is_closed():
    """A field outside the contract is a fault, so that the contract lists every field.

    Only of a chart's passenger are they left out, with a warning.
    """
    for document in DOCUMENTS:
        row = document()["components"]["schemas"]["GivenBooking"]
        found = [each for each in objects(document()) if "Sec-WebSocket-Protocol" not in str(each)]
        assert len(found) > 50
        for each in found:
            assert each["additionalProperties"] is (each is row), each
            assert set(each.get("required", ())) <= each["properties"].keys(), each


def test_examples_are_what_they_show():
    """The hub can read every example of the contract."""
    for kind, message in recorder.asyncapi()["components"]["messages"].items():
        for example in message.get("examples", ()):
            assert example["payload"]["type"] == kind
            recorder.check(recorder.asyncapi, "components", "messages", kind, "payload")(
                example["payload"]
            )
    for (method, path), operation in recorder.operations().items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            keys = (path, method.lower(), "requestBody", "content", "application/json", "schema")
            recorder.check(recorder.openapi, "paths", *keys)(content["example"])


def test_what_is_generated_is_up_to_date():
    """The documents, the client's types and the tables match the code."""
    old = [path for path, text in generated().items() if path.read_text("utf-8") != text]
    assert not old, f"run make contract: it changes {', '.join(path.name for path in old)}"


# --- the documents and the source ---------------------------------------------------------------


def test_every_message_is_there():
    """The message types of both directions are those of the hub's tables."""
    assert recorder.sent_by("receive") == _MESSAGES.keys()
    answers = {
        *("WELCOME", "GOODBYE", "IDENTIFIED", "LOGGED_OUT", "SUBSCRIBED", "UNSUBSCRIBED"),
        *("PONG", "DONE", "ERROR", "SNAPSHOT", "BOARDING_UPDATE", "PRESENCE", "NEXT_RUN"),
        *("FLEET_SUBSCRIBED", "FLEET_UNSUBSCRIBED", "FLEET"),
    }
    assert recorder.sent_by("send") == EVENTS.keys() | answers


def test_every_error_code_is_there():
    """The error codes are those of the hub's error classes."""

    def codes(cls):
        return {cls.code} if "code" in vars(cls) else set()

    classes = [errors.HubError]
    for cls in classes:
        classes += cls.__subclasses__()
    assert recorder.error_codes() == set(chain(*map(codes, classes)))


def test_every_close_code_is_there():
    """The close codes are those of the source and of the WebSocket protocol."""
    documented = {int(code) for code in recorder.asyncapi()["channels"]["ws"]["x-close-codes"]}
    assert documented == {1001, 1002, 1007, 1009, 4400, 4401, 4403, 4408, 4410, 4429, 4503}


# --- that it would be noticed -------------------------------------------------------------------

PONG = {"type": "PONG", "serverTime": "2026-11-23T02:30:00.000+00:00"}


@pytest.mark.parametrize(
    "message",
    [
        {**PONG, "more": 1},
        {"type": "PONG"},
        {**PONG, "serverTime": "yesterday"},
        {**PONG, "type": "PANG"},
        {"type": "ERROR", "code": "ODD", "message": "x"},
        {"type": "ERROR", "code": "CONFLICT", "message": "x", "details": {"name": "a person"}},
    ],
)
def test_a_message_that_does_not_fit_is_a_fault(message):
    """An extra or missing field, or a wrong format, type, code or detail is a fault."""
    found = recorder.Recorder()
    found.sent(PONG)
    assert not found.faults
    found.sent(message)
    assert found.faults


@pytest.mark.parametrize(
    ("kind", "row", "sound"),
    [
        ("REGISTER_TRAIN", {"seat": 4}, True),
        ("AMEND_CHART", {"seat": 4}, True),
        ("AMEND_CHART", {"index": "first"}, False),
    ],
)
def test_a_passenger_of_a_chart_may_have_more_fields(kind, row, sound):
    """A field that the hub has no use for is no fault of a chart; a wrong value is."""
    found = recorder.Recorder()
    (booked,) = chart(railway.person(1))["passengers"]
    found.heard({"type": kind, **samples.MESSAGES[kind], "passengers": [{**booked, **row}]})
    assert sound is not bool(found.faults)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/healthz", 200, {"ok": True, "more": 1}),
        ("GET", "/healthz", 201, {"ok": True}),
        ("GET", "/api/secrets", 200, {"result": []}),
        ("POST", "/api/trains/12345/start", 200, {"result": {"seq": 1}}),
        ("GET", "/api/me", 401, {"error": {"code": "BAD_TOKEN"}}),
    ],
)
def test_an_answer_that_does_not_fit_is_a_fault(method, path, status, body):
    """Over HTTP the status and the address must fit too."""
    found = recorder.Recorder()
    found.answered("GET", "/healthz", 200, {"ok": True})
    assert not found.faults
    found.answered(method, path, status, body)
    assert found.faults


# --- one of everything, over a real hub ---------------------------------------------------------


def open_socket(hub):
    return connect(hub.url.replace("http", "ws") + "/ws", max_size=None)


class Visitor:
    """A caller with a token, who speaks HTTP and WebSocket to a hub process."""

    def __init__(self, hub, token, stack):
        self.hub, self.token = hub, token
        self.socket = stack.enter_context(open_socket(hub))
        WITNESS.answered("GET", "/ws", 101, None, None)
        self.heard = [json.loads(self.socket.recv())]
        if token is not None:
            self.say("IDENTIFY", token=token)

    def say(self, kind, **fields):
        """Send a message; return its answer."""
        self._number = getattr(self, "_number", 0) + 1
        message = {"type": kind, "id": self._number, **fields}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            self.heard.append(answer)
            if answer.get("id") == self._number:
                break
        if answer["type"] != "ERROR":
            WITNESS.heard(message)
        return answer

    def acknowledge(self, **fields):
        """Send ACK, the only message without an answer."""
        message = {"type": "ACK", **fields}
        self.socket.send(json.dumps(message))
        WITNESS.heard(message)
        assert self.say("PING")["type"] == "PONG"

    def listen_on(self):
        """Read until the hub closes."""
        while True:
            self.socket.recv(timeout=120)

    def ask(self, method, path, body=None, **headers):
        """Send a request; return its status and JSON, or None if the body is not JSON."""
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.hub.url + path, data, headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=120)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content, kind = answer.read(), answer.headers.get_content_type()
        found = json.loads(content) if kind == "application/json" and content else None
        where = path.partition("?")[0]
        WITNESS.answered(method, where, answer.status, found, kind if content else None)
        if answer.status == 200 and isinstance(body, dict):
            WITNESS.asked(method, where, body)
        return answer.status, found

    def order(self, kind, **fields):
        """Send a command over WebSocket; return its result."""
        answer = self.say(kind, **fields)
        assert answer["type"] == "DONE", (kind, answer)
        return answer["result"]

    def order_by_http(self, kind, **fields):
        """Send a command over HTTP; return its result."""
        method, path, body = as_request(kind, fields)
        status, answer = self.ask(method, path, body)
        assert status == 200, (kind, answer)
        return answer["result"]


def as_request(kind, fields):
    """Return the method, address and body of a command over HTTP."""
    route = route_of(COMMANDS[kind])
    body = dict(fields)
    path = re.sub(r"{(\w+)}", lambda found: str(body.pop(found[1])), route.path)
    return route.method, path, body


def person(who):
    return {"pnr": f"45123456{who:02}", "index": 1}


def play(visitor, listeners, order, journey, train_no):
    """Play a journey of samples.py on a train; the listeners hear it from its start."""
    on = {"trainNo": train_no}
    for step in journey:
        fields = {**step.fields, **on}
        if "offerId" in fields:
            _, answer = visitor.ask("GET", f"/api/trains/{train_no}/offers?state=OPEN")
            fields = {"offerId": answer["result"][0]["offerId"]}
        if step.cls is Batch:
            fields["marks"] = [*fields["marks"], {"mark": "BOARDED", **person(99)}]
        order(step.kind, **fields)
        if step.cls.idempotent:
            order(step.kind, **fields)
        if step.cls is RegisterTrain:
            for each in listeners:
                epoch = each.say("SUBSCRIBE_TRAIN", **on)["epoch"]
                each.say("SUBSCRIBE_TRAIN", **on, since={"epoch": epoch, "seq": 0})


TABLE = {
    "source": "CORRECTION",
    "passengers": "pnr,index,name,from,to,class,status,coach,berth\n"
    "4512345690,1,NEW,AAA,EEE,SL,CNF,S1,30\n4512345691,1,LOST,AAA,ZZZ,SL,CNF,S1,31\n",
}


def read_everything(visitor, anonymous):
    """Ask every address that is only read."""
    train = "/api/trains/1"
    visitor.order("REGISTER_TRAIN", **chart(trainNo="8"))
    for path in (
        *("/api/trains", "/api/me", "/api/audit", "/api/monitor", "/api/attention"),
        *("/api/hour", "/api/connections?q=10.", "/api/rooms"),
        *("/readyz", "/healthz", "/version", "/", "/passenger.html", "/tte.html", "/sw.js"),
        "/api/push/key",
        *("/api/me/preferences", "/api/me/devices", f"{train}/notifications"),
        *(train, f"{train}/passengers?q=person", f"{train}/passengers/4512345601"),
        f"{train}/passengers/4512345610/1/history",
        *(f"{train}/events?after=3", f"{train}/offers", f"{train}/rac", f"{train}/vacancies"),
        f"{train}/coaches/S1/layout",
        *(
            f"{train}/coaches/S1",
            f"{train}/handover",
            f"{train}/report",
            f"{train}/report?format=csv",
        ),
        *("/api/stations/AAA?hours=24", "/static/monitor.js"),
    ):
        assert visitor.ask("GET", path)[0] == 200, path
    assert anonymous.ask("HEAD", "/")[0] == 200
    browser = {"endpoint": "https://fcm.googleapis.com/x"}
    keys = {"p256dh": "B" + "A" * 86, "auth": "a" * 22}
    for method, path, body in (
        ("PUT", "/api/me/preferences", {"language": "hi"}),
        ("POST", "/api/me/devices", {**browser, "keys": keys}),
        ("DELETE", "/api/me/devices", browser),
        ("POST", "/api/notifications/retry", {}),
        ("DELETE", "/api/connections/gone", {}),
        ("POST", "/api/trains/8/chart/check", TABLE),
    ):
        given = json.dumps(body).encode()
        answer = visitor.ask(method, path, given)
        assert answer[0] == 200, (path, answer)


def subscribe_to_a_run_that_is_over(visitor):
    """Get NEXT_RUN: the next day's run has taken over."""
    first, second = (str(date.today() + timedelta(days=days)) for days in (1, 2))
    for day in (first, second):
        visitor.order("REGISTER_TRAIN", **chart(trainNo="8", startDate=day))
    visitor.order("CANCEL_TRAIN", trainNo="8", startDate=first)
    visitor.say("SUBSCRIBE_TRAIN", trainNo="8", startDate=first, nextRun=True)


def do_it_wrong(visitor, passenger, anonymous):
    """Cause each error code and status that a client can cause."""
    train = "/api/trains/1"
    visitor.say("PING", more=1)
    visitor.say("HELLO")
    anonymous.say("START_JOURNEY", trainNo="1")
    anonymous.say("IDENTIFY", token="forged")
    passenger.say("START_JOURNEY", trainNo="1")
    visitor.say("SUBSCRIBE_TRAIN", trainNo="99")
    visitor.say("ARRIVE", trainNo="1", stationCode="ZZZ")
    visitor.say("MARK_BOARDED", trainNo="1", **person(99))
    visitor.say("DENY_OFFER", offerId="1.2026-11-23.99")
    visitor.say("START_JOURNEY", trainNo="1")
    done = [each for each in visitor.heard if each["type"] == "UPGRADE_CLOSED"]
    visitor.say("DENY_OFFER", offerId=done[0]["data"]["offerId"])
    for day in ("2026-11-24", "2026-11-25"):
        visitor.order("REGISTER_TRAIN", **chart(trainNo="9", startDate=day))
    visitor.say("SUBSCRIBE_TRAIN", trainNo="9")
    twice = [railway.station(place) for place in (0, 1, 2, 1, 4)]
    twice[3] |= {"arrival": "12:00", "departure": "12:10", "distanceKm": 300}
    visitor.order("REGISTER_TRAIN", **chart(trainNo="7", stations=twice))
    visitor.say("SKIP_STATION", trainNo="7", stationCode="BBB")
    for number, day in (("1", DAY), ("2", DAY), ("3", DAY), ("4", DAY), ("9", "2026-11-24")):
        anonymous.say("SUBSCRIBE_TRAIN", trainNo=number, startDate=day)
    visitor.ask("GET", f"{train}/events?after=9999")  # beyond the last event: 410
    visitor.ask("GET", f"{train}/events?after=x")
    visitor.ask("GET", "/api/trains/99")
    visitor.ask("GET", f"{train}/coaches/S9")
    visitor.ask("DELETE", train)
    visitor.ask("GET", "/nowhere")
    visitor.ask("POST", f"{train}/start", b"")
    visitor.ask("POST", f"{train}/announcements", b"x" * 70_000)
    visitor.ask("POST", f"{train}/announcements", b"x", **{"Content-Type": "text/plain"})
    anonymous.ask("GET", f"{train}/rac")
    passenger.ask("GET", f"{train}/rac")
    visitor.ask("GET", train, Host="elsewhere.example")
    while anonymous.say("PING")["type"] == "PONG":
        pass  # until the socket is closed for too many messages
    while passenger.ask("GET", "/api/me")[0] == 200:
        pass  # the same over HTTP


def seen_in(way):
    return {name for found, *rest in WITNESS.seen if found == way for name in rest[-1:]}


def test_each_detail_of_an_error_is_documented():
    """What the domain adds to an error is in ErrorDetails, which the documents have."""
    given = set()
    for file in (ROOT / "trainhub" / "domain").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                given |= {each.arg for each in node.exc.keywords if each.arg}
    assert len(given) > 10
    assert given <= ErrorDetails.__annotations__.keys()


def test_one_of_everything(start_hub, tmp_path):
    """A real hub sends each message, answer and error code, as documented.

    A documented type that the hub never sends fails here.
    """
    WITNESS.seen.clear()
    clock = MovedClock(tmp_path / "clock")
    hub = start_hub("--max-connections", "4", environment=clock.environment)
    tokens = hub.tokens
    with ExitStack() as stack:
        visitor = Visitor(hub, tokens.issue("control", Role.ADMIN, ["*"]), stack)
        passenger = Visitor(hub, tokens.issue("IR_10", Role.PASSENGER, ["*"]), stack)
        listeners = [visitor, passenger]
        play(visitor, listeners, visitor.order, JOURNEY, "1")
        play(visitor, listeners, visitor.order, APPROVAL, "2")
        play(visitor, listeners, visitor.order_by_http, JOURNEY, "3")
        play(visitor, listeners, visitor.order_by_http, APPROVAL, "4")
        clock.set(60)
        while all(each["type"] != "CLOCK_CORRECTED" for each in visitor.heard):
            visitor.say("PING")
            time.sleep(0.1)
        visitor.say("UNSUBSCRIBE_TRAIN", trainNo="2")
        for kind in ("SUBSCRIBE_FLEET", "UNSUBSCRIBE_FLEET"):
            assert visitor.say(kind)["type"] != "ERROR"
        visitor.say("PING")
        offer = next(each for each in passenger.heard if each["type"] == "UPGRADE_OFFER")
        passenger.acknowledge(trainNo=offer["trainNo"], startDate=DAY, seq=offer["seq"])
        anonymous = Visitor(hub, None, stack)
        anonymous.say("SUBSCRIBE_TRAIN", trainNo="1")  # the hub closes those that only wait
        read_everything(visitor, anonymous)
        do_it_wrong(visitor, passenger, anonymous)
        subscribe_to_a_run_that_is_over(visitor)
        with open_socket(hub), pytest.raises(InvalidStatus) as refused, open_socket(hub):
            pass
        answer = refused.value.response
        WITNESS.answered("GET", "/ws", answer.status_code, json.loads(answer.body))
        revoke_user(hub.folder / "revoked.json", "IR_10", time.time())
        with pytest.raises(ConnectionClosed, match="4403"):
            passenger.listen_on()
        assert visitor.say("LOGOUT")["type"] == "LOGGED_OUT"
        hub.process.send_signal(signal.SIGTERM)
        for each in (visitor, anonymous):
            with pytest.raises(ConnectionClosed, match="1001"):
                each.listen_on()
    assert hub.wait() == 0
    assert not WITNESS.faults

    # A run is closed hours after its end: test_execute.py has that.
    assert recorder.sent_by("send") - {"RUN_CLOSED"} <= seen_in("sent")
    assert recorder.sent_by("receive") <= seen_in("heard")
    assert recorder.error_codes() <= seen_in("code")
    answers = {key[1:] for key in WITNESS.seen if key[0] == "answer"}
    good = {"GET /ws": 101}
    for method, path in recorder.operations():
        assert (method, path, good.get(f"{method} {path}", 200)) in answers, (method, path)
    statuses = {
        int(status)
        for operation in recorder.operations().values()
        for status, response in operation["responses"].items()
        if "$ref" in response
    }
    assert statuses - {each[-1] for each in answers} == FROM_INSIDE


def test_a_planted_field_is_found():
    """An undocumented field in a real event is a fault."""
    event = copy.deepcopy(
        recorder.asyncapi()["components"]["messages"]["STATION_ARRIVAL"]["examples"][0]["payload"]
    )
    found = recorder.Recorder()
    found.sent(event)
    assert not found.faults
    event["data"]["driver"] = "a person"
    found.sent(event)
    assert found.faults
