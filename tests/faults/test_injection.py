"""What users send reaches MongoDB as values only: never as an operator, a field or a command."""

import asyncio
import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import count
from urllib.parse import quote

import jwt
import pytest
from load import admin_token, asker, settled
from pymongo import MongoClient
from railway import chart, person, rac, station
from samples import STEPS
from waiting import wait_for
from websockets.exceptions import ConnectionClosed
from witness import connect

from trainhub.access.identity import load_keys
from trainhub.domain.commands import COMMANDS
from trainhub.web.routes import route_of

DAY = "2026-11-23"
# Texts with a meaning for MongoDB, for its driver or for JavaScript.
TEXTS = (
    "$where", "$$ROOT", "$epoch", "$seq", "$gt", "a.b", "run.$[].name", "__proto__", "constructor",
    '{"$gt": ""}', "'; db.dropDatabase(); '", "_id", "true", "1e400",
)  # fmt: skip
VALUES = (
    *TEXTS,
    {"$gt": ""}, {"$ne": None}, {"$where": "sleep(9000)"}, {"$literal": 1}, {"__proto__": {"a": 1}},
    {"a.b": 1}, {"$oid": "0" * 24}, {"$date": 0}, {"$regex": ".*"}, [{"$gt": ""}], ["$where"], [],
    {}, None, True, 2**70, -1, 1.5, "a\0b", "x" * 20_000, "",
)  # fmt: skip
NAMES = ("$where", "$set", "$inc", "a.b", "__proto__", "constructor", "a\0b", "_id", "epoch", "")
# All fields of each command, without those that name its run.
FULL = {kind: steps[-1].full for kind, steps in STEPS.items() if kind != "REGISTER_TRAIN"}
# The fields of each collection (docs/reference/mongodb.md); in `data` those of the protocol.
FILED = {"_id", "epoch", "seq", "schema"}
STOP = {
    "code", "name", "platform", "platformConfirmed", "skipped", "scheduledArrival",
    "scheduledDeparture", "actualArrival", "actualDeparture",
}  # fmt: skip
FIELDS = {
    "runs": FILED | {
        "trainNo", "trainName", "startDate", "timezone", "policy", "boarding", "status", "endedAt",
        "index", "departed", "delayMinutes", "stations", "coaches",
    },
    "passengers": FILED | {
        "run", "pnr", "index", "irctcId", "name", "age", "gender", "from", "to", "class", "number",
        "phone", "email", "status", "state", "coach", "berth", "upgradedFrom", "need", "quota",
        "waitingKind", "markedAt", "assumed", "left",
    },
    "offers": FILED | {
        "run", "irctcId", "offerId", "state", "pnr", "index", "name", "coach", "berth", "berthType",
        "oldCoach", "oldBerth", "from", "to", "cause", "expiresAt", "closedAt", "reason",
        "passedOver", "answeredBy", "delivered", "deliveredAt",
    },
    "notifications": FILED
    | {"run", "event", "kind", "channel", "user", "about", "outcome", "attempts", "at", "detail"}
    | {"queuedAt", "sentAt", "seenAt"},
    "events": FILED | {"run", "trainNo", "startDate", "type", "timestamp", "data"},
    "audit": FILED | {"at", "user", "role", "address", "command", "run", "about", "result"},
    "meta": {"_id", "version", "lease", "place"},
}  # fmt: skip
# The commands that a hub sends to a server, and the operators in its queries.
ASKED = {"find", "findAndModify", "getMore", "insert", "update", "createIndexes"}
OPERATORS = {"$and", "$or", "$eq", "$in", "$lt", "$lte", "$gt", "$gte", "$exists"}


class Client:
    """A client that sends anything, over HTTP and WebSocket; `said` counts the answers by kind."""

    def __init__(self, hub, token):
        self.hub, self.token = hub, token
        self.said = {}
        self._stack, self._left, self._numbers = ExitStack(), 0, count(1)

    def http(self, method, path, body=None, **head):
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **head}
        connection = HTTPConnection("127.0.0.1", self.hub.port, timeout=120)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), head)
            answer = connection.getresponse()
            data = answer.read()
            self._note(answer.status, path, data)
            return answer.status, json.loads(data)
        finally:
            connection.close()

    def _note(self, status, what, answer):
        assert status != 500, (what, answer)
        assert status < 500 or b"MongoDB" in answer, (what, answer)
        self.said[status] = self.said.get(status, 0) + 1

    def say(self, message):
        """Send a message on a socket; return its answer. Replace a socket near its limit."""
        for _ in range(3):
            try:
                if self._left == 0:
                    self.close()
                    url = f"ws://127.0.0.1:{self.hub.port}/ws"
                    self._socket = self._stack.enter_context(connect(url, compression=None))
                    self._left = 5
                    self._ask({"type": "IDENTIFY", "token": self.token})
                self._left -= 1
                return self._ask(message)
            except ConnectionClosed as error:
                self._left, closed = 0, error
        raise closed

    def _ask(self, message):
        number = next(self._numbers)
        self._socket.send(json.dumps({**message, "id": number}))
        if message["type"] == "ACK":  # the hub does not answer it
            self._socket.send(json.dumps({"type": "PING", "id": number}))
        while True:  # the answer to an unreadable message has no id
            answer = json.loads(self._socket.recv(10))
            if answer.get("id", number if answer["type"] == "ERROR" else None) == number:
                break
        code = answer.get("code", answer["type"])
        assert code != "UNAVAILABLE", (message, answer)
        self.said[code] = self.said.get(code, 0) + 1
        return answer

    def close(self):
        self._stack.close()


def spoilt(fields):
    """Yield the fields with each odd value in each field, and with each odd name added."""
    for name in fields:
        for value in VALUES:
            yield {**fields, name: value}
    for name in NAMES:
        yield {**fields, name: {"$gt": ""}}


def path_of(address, fields):
    """Return the address with its fields filled in, and the other fields for the body."""
    left = dict(fields)
    path = address
    for name in ("trainNo", "pnr", "index", "offerId"):
        group = f"{{{name}}}"
        if group in path:
            value = left.pop(name, "x")
            text = value if isinstance(value, str) else json.dumps(value)
            path = path.replace(group, quote(text[:2_000] or "x", safe=""))
    return path, left


@pytest.fixture
def server(start_mongod):
    return start_mongod("--slowms", "-1", "--setParameter", "logLevel=0")


@pytest.fixture
def hub(start_hub, server, mongod_database):
    return start_hub("--mongodb-uri", server.uri, "--database", mongod_database.name)


@pytest.fixture
def mongod_database(server):
    """Return the hub's database, in which the server profiles every operation."""
    with MongoClient(server.uri, tz_aware=True) as client:
        database = client["trainhub"]
        database.create_collection("system.profile", capped=True, size=256 << 20)
        database.command("profile", 2, slowms=0)
        yield database


def test_nothing_that_users_send_is_more_than_a_value(hub, mongod_database, capsys):
    """Texts with a meaning for MongoDB change neither documents, queries nor answers.

    They are sent in every field, and in paths, query strings, tokens, keys and `since`.
    """
    client = Client(hub, admin_token(hub))
    ask = asker(hub)
    ask("/api/trains", chart(person(1), person(2), person(3, "BBB"), rac(10, 1)))
    ask("/api/trains/12345/start", {})
    charts(client)
    literal = texts_that_may_be(client)
    commands(client)
    keys_and_questions(client)
    users = tokens(client)
    client.close()
    asyncio.run(settled(hub))
    wait_for(lambda: not ask("/api/monitor")["writeBuffer"]["depth"])
    found = {name: list(mongod_database[name].find()) for name in FIELDS}
    names = set(mongod_database.list_collection_names()) - {"system.profile"}
    assert names == set(FIELDS)
    for name, documents in found.items():
        for document in documents:
            assert document.keys() <= FIELDS[name], (name, document)
            for field in fields_of(document):
                assert field.isalnum() or field == "_id", (name, field)
    arrived_literally(found, literal, users)
    what_the_server_was_asked(mongod_database)
    # A hostile address is given up, and the log names the letter alone.
    lines = [line for line in hub.logged if "is given up after" not in line]
    assert not [line for line in lines if " ERROR " in line or "Traceback" in line]
    assert hub.stop() == 0
    with capsys.disabled():
        said = ", ".join(f"{n} {code}" for code, n in client.said.items())
        print(f"\n{sum(client.said.values())} hostile messages: {said}")


def charts(client):
    """Send charts with odd values in each field, also of stations, coaches and people."""
    for whole in spoilt(chart(timezone="Asia/Kolkata", policy="OFFER", boarding="verify")):
        client.http("POST", "/api/trains", {**whole, "startDate": whole.get("startDate", DAY)})
    for part, one in (
        ("stations", station(0)),
        ("coaches", {"code": "S1", "class": "SL", "berths": 72}),
        ("passengers", person(1, age=5, gender="F", phone="1", number=1)),
    ):
        number = count(20_000)
        for each in spoilt(one):
            rest_of_it = chart()[part][1:]
            whole = chart(trainNo=str(next(number)), **{part: [each, *rest_of_it]})
            client.http("POST", "/api/trains", whole)


def texts_that_may_be(client):
    """Send charts whose free texts are odd, which the hub accepts; return the texts by train."""
    sent = {}
    for number, text in enumerate(TEXTS, start=30_000):
        who = person(1, name=text, irctcId=text, email=text, phone=text, gender=text)
        whole = chart(who, trainNo=str(number), trainName=text)
        assert client.http("POST", "/api/trains", whole)[0] == 200, text
        train = {"trainNo": str(number)}
        assert client.say({"type": "START_JOURNEY", **train})["type"] == "DONE"
        assert client.say({"type": "ANNOUNCE", **train, "text": text})["type"] == "DONE"
        sent[str(number)] = text
    return sent


def commands(client):
    """Send all commands except REGISTER_TRAIN, with those last that would end the run."""
    for name in sorted(FULL, key=lambda name: name == "CANCEL_TRAIN"):
        route = route_of(COMMANDS[name])
        train = {} if "offerId" in FULL[name] else {"trainNo": "12345", "startDate": DAY}
        for fields in spoilt({**FULL[name], **train, "key": "k"}):
            client.say({**fields, "type": name})
        for fields in spoilt({**FULL[name], **train}):
            path, body = path_of(route.path, fields)
            client.http(route.method, path, body)


def keys_and_questions(client):
    """Send odd idempotency keys, `since` and query strings."""
    train = {"trainNo": "12345", "startDate": DAY}
    for text in TEXTS:
        client.http("POST", "/api/trains/12345/delay", {"delayMinutes": 1}, **{
            "Idempotency-Key": text})  # fmt: skip
    for value in VALUES:
        client.say({"type": "SET_DELAY", **train, "delayMinutes": 2, "key": value})
        for since in ({"epoch": value, "seq": 0}, {"epoch": "e", "seq": value}, value):
            client.say({"type": "SUBSCRIBE_TRAIN", **train, "since": since})
        client.say({"type": "ACK", **train, "seq": value})
        client.say({"type": "UNSUBSCRIBE_TRAIN", "trainNo": value, "startDate": value})
        client.say({"type": value})
    everybody = len(client.http("GET", "/api/trains/12345/passengers")[1]["result"])
    assert everybody == 5  # the four of the chart, and the one of AMEND_CHART
    named = {each["trainNo"] for each in client.http("GET", "/api/trains")[1]["result"]}
    texts = {*TEXTS, '{"$ne": ""}', "[$ne]", "x" * 3_000}
    for value in sorted(text for text in texts if text.upper() not in named):
        text = quote(value, safe="")
        for field in ("status", "state", "coach", "q"):
            status, answer = client.http("GET", f"/api/trains/12345/passengers?{field}={text}")
            assert (status, answer["result"]) == (200, []), (field, value)
        assert client.http("GET", f"/api/trains/12345/offers?state={text}")[1]["result"] == []
        for path in (f"passengers/{text}", f"coaches/{text}", f"events?after={text}"):
            assert client.http("GET", f"/api/trains/12345/{path}")[0] in (400, 404)
        for path in (text, f"{text}/passengers", f"{text}/events", f"12345?date={text}"):
            assert client.http("GET", f"/api/trains/{path}")[0] in (400, 404), path
        for field in ("run", "before", "limit", f"user[{text}]", text or "x"):
            status, answer = client.http("GET", f"/api/audit?{field}={text}")
            assert status == 400, (field, value)
        status, answer = client.http("GET", f"/api/audit?user={text}")
        assert status == 400 or all(e["user"] == value for e in answer["result"]), value


def tokens(client):
    """Send signed tokens with odd claims; return the users that the hub accepted."""
    kid, key = load_keys(client.hub.folder / "keys.json").popitem()
    good = {"sub": "u", "role": "ADMIN", "trains": ["*"]}
    good["exp"] = datetime.now(UTC) + timedelta(hours=1)
    users = []
    for claims in (*spoilt(good), {**good, "sub": "\ud800"}, {**good, "trains": ["\ud800"]}):
        token = jwt.encode({**claims}, key, algorithm="HS256", headers={"kid": kid})
        if len(token) > 12_000:
            continue
        caller = Client(client.hub, token)
        status, _ = caller.http("GET", "/api/me")
        if status == 200:
            users.append(claims["sub"])
            delay = {"delayMinutes": len(users)}
            caller.http("PUT", "/api/trains/30000/delay", delay, **{"Idempotency-Key": "k"})
            caller.http("GET", "/api/audit")
    return users


def fields_of(value):
    """Return the names of all fields in a document, at any depth."""
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from fields_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from fields_of(each)


def arrived_literally(found, literal, users):
    """Check that each free text is stored exactly as it was sent."""
    for train_no, text in literal.items():
        run = f"{train_no}/{DAY}"
        (train,) = (each for each in found["runs"] if each["_id"] == run)
        assert train["trainName"] == text
        (who,) = (each for each in found["passengers"] if each["run"] == run)
        free = ("name", "irctcId", "email", "phone", "gender")
        assert [who[field] for field in free] == [text] * len(free)
        told = [e["data"].get("text") for e in found["events"] if e["run"] == run]
        assert text in told
    assert {each["user"] for each in found["audit"]} >= set(users)
    assert len(set(users)) > len(TEXTS)


def what_the_server_was_asked(database):
    """Check that the hub sent only its own commands and operators, and that none failed."""
    account = list(database["system.profile"].find({"ns": {"$not": {"$regex": "system.profile"}}}))
    asked = [each for each in account if each.get("appName") is None and "command" in each]
    assert len(asked) > 100
    for each in asked:
        kind = next(iter(each["command"]))
        assert kind in ASKED | {"q", "listCollections", "profile", "drop"}, each
        failed = each.get("errCode")
        assert failed is None or (kind, failed) == ("insert", 11000), each
        question = each["command"].get("filter", {})
        assert {f for f in fields_of(question) if f.startswith("$")} <= OPERATORS, question
