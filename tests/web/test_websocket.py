"""trainhub/web/websocket.py: a socket's handshake, messages, limits and end."""

import asyncio
import base64
import contextlib
import json
import socket
import struct
import time
from random import Random

import pytest
from railway import RUN, person
from tornado.httpclient import HTTPClientError
from waiting import until
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.utils import accept_key
from witness import connect_async as websockets_connect

from trainhub.access.identity import Identity
from trainhub.core.rooms import Room
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.hub.protocol import MOST_SOCKET_BYTES
from trainhub.web.close_codes import GOING_AWAY, TOO_SLOW
from trainhub.web.frames import text_frame
from trainhub.web.limits import BYTES_A_MESSAGE, Limits
from trainhub.web.liveness import sent
from trainhub.web.websocket import TrainSocket

HERE = {"trainNo": "12345", "startDate": "2026-11-23"}
OPERATOR = Identity("operator", Role.ADMIN, frozenset({"*"}))

KEY = base64.b64encode(bytes(16)).decode()


@pytest.fixture
def running(io_loop, site):
    """Trains 12345 and 54321 stand at their first stations."""

    async def start():
        for train_no in ("12345", "54321"):
            await site.register(trainNo=train_no)
            await site.hub.execute(c.StartJourney(train_no=train_no), OPERATOR)

    io_loop.run_sync(start)


def announce(site, text, train_no="12345", **fields):
    return site.hub.execute(c.Announce(train_no=train_no, text=text, **fields), OPERATOR)


def texts(client):
    return [m["data"]["text"] for m in client.heard if m["type"] == "ANNOUNCEMENT"]


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_the_handshake(raw):
    """It gets 101 with the key's answer and no unrequested extension; WELCOME comes first."""
    socket, head = await raw()
    assert head.startswith("HTTP/1.1 101 ")
    assert f"Sec-Websocket-Accept: {accept_key(socket.key)}\r\n".lower() in head.lower()
    assert "extensions" not in head.lower()
    assert "protocol:" not in head.lower()
    (frame,) = await socket.frames(1)
    welcome = json.loads(frame.data)
    assert welcome["type"] == "WELCOME"
    assert (welcome["protocol"], welcome["heartbeatSeconds"]) == (1, Limits().heartbeat_seconds)
    assert welcome["serverTime"] == "2026-11-23T02:30:00.000+00:00"


@pytest.mark.gen_test
async def test_every_client_has_its_own_id(connect):
    """WELCOME has a clientId, which cannot be guessed from another's."""
    ids = {(await connect()).heard[0]["clientId"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(each) >= 16 for each in ids)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Origin: http://elsewhere.example"], 403),
        (["Origin: http://127.0.0.1"], 101),
        (["Origin: null"], 403),
        ([], 101),
    ],
)
async def test_a_page_of_another_site_cannot_open_a_socket(raw, headers, status):
    """A browser names its page's origin; programs send no Origin, and are accepted."""
    _, head = await raw(*headers)
    assert head.split()[1] == str(status)
    assert len(TrainSocket.sockets) == (status == 101)


@pytest.mark.gen_test
async def test_a_request_without_a_handshake_is_refused(call):
    """A plain GET or POST to /ws gets a 4xx and opens no socket."""
    assert (await call("GET", "/ws")).status == 400
    assert (await call("POST", "/ws", b"")).status in (403, 405)
    assert not TrainSocket.sockets


@pytest.mark.gen_test
async def test_a_token_in_the_subprotocol(connect, site):
    """trainhub.v1 and bearer.<token>: IDENTIFIED follows WELCOME, and the token is not repeated."""
    offered = ["trainhub.v1", "bearer." + site.token("TTE")]
    client = await connect(subprotocols=offered)
    identified = await client.until("IDENTIFIED")
    assert (identified["role"], identified["user"]) == ("TTE", "T1")
    assert client.connection.selected_subprotocol == "trainhub.v1"
    assert [message["type"] for message in client.heard] == ["WELCOME", "IDENTIFIED"]


@pytest.mark.gen_test
async def test_a_token_alone_in_the_subprotocols(raw, site):
    """Without trainhub.v1 no subprotocol is chosen, least of all the token."""
    token = site.token("PASSENGER")
    socket, head = await raw(f"Sec-WebSocket-Protocol: bearer.{token}")
    assert head.startswith("HTTP/1.1 101 ")
    assert token not in head
    _, identified = await socket.frames(2)
    assert json.loads(identified.data)["user"] == "IR_1"


@pytest.mark.gen_test
@pytest.mark.parametrize("token", ["forged", "a.b.c", "", "W1tb" * 500 + ".e30.x"])
async def test_a_bad_token_in_the_subprotocol(connect, site, running, token):
    """ERROR BAD_TOKEN follows WELCOME; the socket stays open, without an identity."""
    client = await connect(subprotocols=["trainhub.v1", "bearer." + token])
    assert (await client.until("ERROR"))["code"] == "BAD_TOKEN"
    assert (await client.ask("ERROR", "START_JOURNEY", **HERE))["code"] == "NOT_IDENTIFIED"
    await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)


@pytest.mark.gen_test
async def test_another_subprotocol_is_not_chosen(connect):
    """The answer names no subprotocol if the client offers only unknown ones."""
    client = await connect(subprotocols=["chat", "trainhub.v2"])
    assert client.connection.selected_subprotocol is None


@pytest.mark.gen_test
@pytest.mark.parametrize("why", ["not loaded", "journal failed"])
async def test_while_the_hub_cannot_there_are_no_sockets(connect, site, running, why):
    """While the hub loads or its journal has failed, the handshake gets 503."""
    if why == "not loaded":
        site.hub.loaded = False
    else:
        site.journal.broken = True
        with contextlib.suppress(Exception):
            await announce(site, "x")
    with pytest.raises(HTTPClientError) as raised:
        await connect()
    assert raised.value.code == 503
    assert not TrainSocket.sockets


@pytest.mark.gen_test
@pytest.mark.parametrize("settings_of_web", [{"max_connections": 2}])
async def test_the_number_of_sockets_is_bounded(connect, call):
    """Above it a handshake gets 503 until a socket closes; HTTP still works."""
    first, _ = await connect(), await connect()
    for _ in range(3):
        with pytest.raises(HTTPClientError) as raised:
            await connect()
        assert raised.value.code == 503
    assert len(TrainSocket.sockets) == 2
    assert (await call("GET", "/healthz")).status == 200
    first.connection.close()
    await until(lambda: len(TrainSocket.sockets) == 1)
    await (await connect()).all_told()
    assert raised.value.response.headers.get("Retry-After") == "5"


@pytest.mark.gen_test
@pytest.mark.parametrize("settings_of_web", [{"anonymous": False}])
async def test_anonymous_off(connect, running):
    """A socket may join rooms only with a token, given at once or later."""
    client = await connect()
    assert (await client.ask("ERROR", "SUBSCRIBE_TRAIN", **HERE))["code"] == "NOT_IDENTIFIED"
    client = await connect("PASSENGER")
    await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)


# --- who hears what -----------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_two_clients_on_two_trains_hear_only_their_own(connect, site, running):
    """An event of a run reaches the sockets of that run, and no other."""
    one, two, none = await connect(), await connect(), await connect()
    await one.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", trainNo="12345")
    await two.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", trainNo="54321")
    assert TrainSocket.rooms.keys() == {RUN, "54321/2026-11-23"}
    for number in range(3):
        await announce(site, f"one {number}", "12345")
        await announce(site, f"two {number}", "54321")
    for client in (one, two, none):
        await client.all_told()
    assert texts(one) == ["one 0", "one 1", "one 2"]
    assert texts(two) == ["two 0", "two 1", "two 2"]
    assert texts(none) == []


@pytest.mark.gen_test
async def test_staff_and_passenger_hear_what_is_theirs(connect, site, running):
    """A passenger's mark goes to that passenger and the staff, and to no other socket."""
    clients = {}
    for who in ("ADMIN", "TTE", "PASSENGER", "OTHER_PASSENGER", "OTHER_TTE", "SERVICE", None):
        clients[who] = await connect(who)
        await clients[who].ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
        await clients[who].all_told()
        clients[who].heard.clear()
    marked = await clients["TTE"].ask("DONE", "MARK_NO_SHOW", **HERE, pnr="4512345601", index=1)
    assert marked["result"]["name"] == "Person 1"
    heard = {who: [m["type"] for m in await clients[who].all_told()][:-1] for who in clients}
    staff = ["NO_SHOW", "BERTH_VACATED"]
    assert heard.pop("TTE") == [*staff, "DONE"]
    assert heard.pop("ADMIN") == staff
    assert heard.pop("PASSENGER") == ["NO_SHOW"]
    assert set(map(tuple, heard.values())) == {()}


@pytest.mark.gen_test
async def test_a_client_comes_back_without_a_gap(connect, site, running):
    """A new socket with `since` gets each missed event once and in order."""
    client = await connect()
    subscribed = await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    client.connection.close()
    for number in range(5):
        await announce(site, f"{number}")
    again = await connect()
    since = {"epoch": subscribed["epoch"], "seq": subscribed["seq"]}
    recovered = await again.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE, since=since)
    assert recovered["recovered"] is True
    await announce(site, "5")
    await again.all_told()
    assert texts(again) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.gen_test
async def test_a_run_that_was_registered_can_be_shown(connect, site):
    """The snapshot of the largest chart reaches a TTE who reads it."""
    await site.register(*(person(who, berth=None, coach=None, status="WL", number=who + 1,
                                 pnr=f"{4_000_000_000 + who}", phone="+919876543210",
                                 name="राजेश कुमार शर्मा") for who in range(5_000)))  # fmt: skip
    client = await connect("TTE", max_message_size=1 << 30)
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    snapshot = await client.until("SNAPSHOT")
    assert len(snapshot["run"]["passengers"]) == 5_000


# --- what a client may send ---------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_error_leaves_the_socket_open(connect):
    """After any bad message the next one is answered."""
    client = await connect()
    for said in ("", "{", "[]", '{"type": 5}', "\0", '{"type": "PING", "\\ud800": 1}', b"binary"):
        await client.connection.write_message(said, binary=isinstance(said, bytes))
        assert (await client.next())["code"] == "BAD_MESSAGE", said
    await client.ask("PONG", "PING")


@pytest.mark.gen_test
async def test_a_message_may_have_64_kb(connect, site, running):
    """The limit itself passes; one byte more closes with 1009, and the others go on."""
    client, other = await connect(), await connect()
    await other.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    ping = json.dumps({"type": "PING"})
    await client.connection.write_message(ping + " " * (MOST_SOCKET_BYTES - len(ping)))
    assert (await client.next())["type"] == "PONG"
    await client.connection.write_message(ping + " " * (MOST_SOCKET_BYTES - len(ping) + 1))
    assert (await client.closed())[0] == 1009
    await until(lambda: len(TrainSocket.sockets) == 1)
    await announce(site, "still here")
    await other.all_told()
    assert texts(other) == ["still here"]


@pytest.mark.gen_test
async def test_a_message_in_many_parts_has_the_same_limit(raw, connect):
    """The limit counts the whole message, not each fragment."""
    other = await connect()
    socket, _ = await raw()
    part = b"x" * 30_000
    for first in (0x01, 0x00, 0x00):  # a text without an end
        size = struct.pack("!BBH", first, 0x80 | 126, len(part))
        socket.writer.write(size + bytes(4) + part)
    assert await socket.is_closed()
    await until(lambda: len(TrainSocket.sockets) == 1)
    await other.ask("PONG", "PING")


@pytest.mark.gen_test
async def test_text_that_is_not_utf_8_closes_that_socket_only(raw, connect):
    """RFC 6455, 8.1: a text must be UTF-8."""
    other = await connect()
    socket, _ = await raw()
    socket.send(Opcode.TEXT, b'{"type": "\xff"}')
    assert await socket.is_closed()
    await until(lambda: len(TrainSocket.sockets) == 1)
    await other.ask("PONG", "PING")


@pytest.mark.gen_test
async def test_messages_are_answered_in_their_order(raw, site, running):
    """A client may send its next message before the answer to the last one."""
    socket, _ = await raw()
    for number in range(20):
        kind = "SUBSCRIBE_TRAIN" if number == 7 else "PING"
        socket.say(kind, **(HERE if number == 7 else {}), id=number)
    frames = await socket.frames(1 + 20 + 2)  # WELCOME, the answers, a SNAPSHOT and the figures
    answers = [json.loads(frame.data) for frame in frames]
    assert [each["id"] for each in answers if "id" in each] == list(range(20))


# --- going --------------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["close", "abort", "half closed", "unsubscribe first"])
async def test_a_socket_that_goes_leaves_no_trace(raw, running, site, how):
    """After it TrainSocket.rooms and .sockets, and every index of the rooms, are empty."""
    socket, _ = await raw()
    socket.say("IDENTIFY", token=site.token("PASSENGER"))
    for train_no in ("12345", "54321"):
        socket.say("SUBSCRIBE_TRAIN", trainNo=train_no)
    await until(lambda: len(TrainSocket.rooms) == 2)
    if how == "unsubscribe first":
        socket.say("UNSUBSCRIBE_TRAIN", trainNo="12345")
        await until(lambda: len(TrainSocket.rooms) == 1)
    if how in ("close", "unsubscribe first"):
        socket.send(Opcode.CLOSE, struct.pack("!H", 1000))
    elif how == "abort":
        socket.writer.transport.abort()
    else:
        socket.writer.write_eof()
    await until(lambda: not TrainSocket.sockets)
    assert TrainSocket.rooms == {}
    assert site.hub.rooms._rooms_of == {}
    assert site.hub.rooms._outgoing == {}


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["of its own", "dropped by the beat"])
async def test_a_socket_that_goes_while_it_is_put_into_a_room(raw, site, running, how):
    """Its subscription waits for the commit in flight, and then finds the socket gone."""
    socket, _ = await raw()
    (handler,) = TrainSocket.sockets
    site.journal.gate.clear()
    command = asyncio.ensure_future(announce(site, "x"))
    await until(lambda: site.hub.state(RUN).seq == 3)
    socket.say("SUBSCRIBE_TRAIN", **HERE)
    await until(lambda: site.hub.log._waiting)
    if how == "of its own":
        socket.writer.transport.abort()
    else:
        handler.beat()
        handler.beat()
        assert await socket.is_closed()
    site.journal.gate.set()
    await command
    await until(lambda: not TrainSocket.sockets)
    await until(lambda: not site.hub.rooms._rooms_of)
    assert TrainSocket.rooms == {}


@pytest.mark.gen_test
async def test_a_client_that_goes_at_once_leaves_no_trace(raw):
    """A hundred clients close before their WELCOME is written, and no table has them."""
    for _ in range(100):
        socket, _ = await raw()
        socket.writer.transport.abort()
    await until(lambda: not TrainSocket.sockets)


@pytest.mark.gen_test
async def test_goodbye(connect, running):
    """GOODBYE {reason, retryAfterMs} comes before a planned close, which has the reason too."""
    client = await connect()
    await client.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    for handler in list(TrainSocket.sockets):
        handler.leave(GOING_AWAY, "the hub is stopping", 3_000)
    goodbye = await client.until("GOODBYE")
    assert goodbye == {
        "type": "GOODBYE",
        "reason": "the hub is stopping",
        "retryAfterMs": 3_000,
    }
    assert await client.closed() == (1001, "the hub is stopping")


# --- large messages -------------------------------------------------------------------------------


def crowd(count):
    """Return people on WL, with names that do not compress well."""
    chance = Random(count)
    return [
        person(who, berth=None, coach=None, status="WL", number=who,
               pnr=f"{4_000_000_000 + who}", name=chance.randbytes(20).hex())
        for who in range(1, count + 1)
    ]  # fmt: skip


@pytest.mark.gen_test
@pytest.mark.parametrize("who", ["TTE", "PASSENGER", None])
async def test_a_client_that_can_inflate_gets_its_snapshot_compressed(
    connect, http_port, site, who
):
    """It reads the same text from fewer bytes, and may compress its own messages."""
    await site.register(*crowd(300))
    plain = await connect(who)
    await plain.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    expected = await plain.until("SNAPSHOT")
    async with websockets_connect(f"ws://127.0.0.1:{http_port}/ws") as client:
        assert "no_context_takeover" in client.response.headers["Sec-WebSocket-Extensions"]
        (handler,) = TrainSocket.sockets - {next(iter(TrainSocket.rooms[RUN].listeners))}
        assert json.loads(await client.recv())["type"] == "WELCOME"
        if who is not None:
            await client.send(json.dumps({"type": "IDENTIFY", "token": site.token(who)}))
            assert json.loads(await client.recv())["type"] == "IDENTIFIED"
        before = sent(handler._stream.socket).taken
        await client.send(json.dumps({"type": "SUBSCRIBE_TRAIN", **HERE}))
        while (told := json.loads(await client.recv()))["type"] != "SNAPSHOT":
            pass
        assert told == expected
        await client.send(json.dumps({"type": "PING", "id": 1}))
        while json.loads(await client.recv())["type"] != "PONG":
            pass
        assert sent(handler._stream.socket).taken - before < len(json.dumps(told)) / 1.5


@pytest.mark.gen_test
async def test_a_ping_does_not_wait_for_a_large_message(raw):
    """RFC 6455, 5.4: pings and pongs may come between the parts of a message."""
    socket, _ = await raw()
    (handler,) = TrainSocket.sockets
    await socket.frames(1)
    socket.writer.transport.pause_reading()
    handler.send(text_frame(b"x" * 8_000_000))
    waits = 0
    while handler.unsent != waits:
        waits = handler.unsent
        await asyncio.sleep(0.1)
    assert waits > 1_000_000
    handler.beat()
    socket.send(Opcode.PING, b"are you there")
    await until(lambda: handler._liveness.heard)
    socket.writer.transport.resume_reading()
    frames, parser = [], Protocol(Side.CLIENT, state=OPEN, max_size=None)
    while not any(frame.opcode is Opcode.CONT and frame.fin for frame in frames):
        parser.receive_data(await socket.reader.read(65_536))
        frames += parser.events_received()
    kinds = [frame.opcode for frame in frames]
    for kind in (Opcode.PING, Opcode.PONG):
        assert kinds.index(kind) < len(kinds) - waits / 20_000, "it waited for all of it"


@pytest.mark.gen_test
async def test_the_staff_may_ask_for_more_than_may_wait(raw, site):
    """A control room on a slow line may subscribe to many full trains at once."""
    for number in range(8):
        await site.register(*crowd(1_000), trainNo=str(200 + number))
    socket, _ = await raw()
    socket.say("IDENTIFY", token=site.token("ADMIN"))
    await socket.frames(2)
    socket.writer.transport.pause_reading()
    for number in range(8):
        socket.say("SUBSCRIBE_TRAIN", trainNo=str(200 + number))
    await until(lambda: len(TrainSocket.rooms) == 8)
    (handler,) = TrainSocket.sockets
    assert handler.unsent > Limits().max_unsent_bytes
    socket.writer.transport.resume_reading()
    snapshots = 0
    while snapshots < 8:
        found = [json.loads(frame.data)["type"] for frame in await socket.frames(1)]
        snapshots += found.count("SNAPSHOT")


# --- what is asked for ----------------------------------------------------------------------------


def wide(**fields):
    """Return a chart whose snapshot is large for every reader."""
    stations = [
        {"code": f"S{place}", "name": "N" * 900, "day": 1, "distanceKm": place,
         "arrival": f"09:{place:02}" if place else None,
         "departure": f"09:{place:02}" if place < 49 else None}
        for place in range(50)
    ]  # fmt: skip
    return {"stations": stations, "passengers": [], **fields}


@pytest.mark.gen_test
async def test_to_subscribe_over_and_over_brings_no_more_than_messages_may(connect, site):
    """A short message with a long answer counts as many, and closes no socket."""
    await site.register(**wide())
    client = await connect()
    for _ in range(60):
        await client.say("SUBSCRIBE_TRAIN", **HERE)
    answered = 0
    while answered < 60:
        answered += (await client.next())["type"] in ("SUBSCRIBED", "ERROR")
    told = [message["type"] for message in client.heard]
    size = len(json.dumps(next(m for m in client.heard if m["type"] == "SNAPSHOT")))
    brought = told.count("SNAPSHOT") * size
    assert brought < 150 * BYTES_A_MESSAGE + size
    assert TrainSocket.sockets


@pytest.mark.gen_test
@pytest.mark.parametrize("settings_of_web", [{"limits": Limits(identify_seconds=1)}])
async def test_a_client_that_waits_for_the_hub_is_not_idle(connect, site, running):
    """While the hub works on its SUBSCRIBE_TRAIN, its time to identify is extended."""
    client = await connect()
    (handler,) = TrainSocket.sockets
    site.journal.gate.clear()
    command = asyncio.ensure_future(announce(site, "x"))
    await until(lambda: site.hub.state(RUN).seq == 3)
    await client.say("SUBSCRIBE_TRAIN", **HERE)
    await until(lambda: handler._session.is_busy)
    for _ in range(3):
        TrainSocket.newcomers[handler] = time.monotonic() - 1
        TrainSocket.dismiss_idlers()
    assert TrainSocket.newcomers[handler] > time.monotonic()
    site.journal.gate.set()
    await client.until("SUBSCRIBED")
    await command
    TrainSocket.newcomers[handler] = time.monotonic() - 1
    TrainSocket.dismiss_idlers()
    assert handler not in TrainSocket.newcomers
    await client.all_told()


# --- those who do not read or do not answer -----------------------------------------------------


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_a_client_that_does_not_read_is_cut_off(raw, connect, site, running):
    """The hub holds no more than the limit for it, leaves its room, and delays no other."""
    reader = await connect()
    await reader.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    before = set(TrainSocket.sockets)
    slow, _ = await raw()
    slow.say("SUBSCRIBE_TRAIN", **HERE)
    await until(lambda: len(TrainSocket.rooms[RUN].listeners) == 2)
    (handler,) = TrainSocket.sockets - before
    sent, most_held = 0, 0
    while handler in TrainSocket.rooms[RUN].listeners:
        assert sent < 400, "20 MB later it is still there"
        sent += 1
        for _ in range(50):  # an announcement is 1 KB
            site.hub.rooms.broadcast_to_train(
                RUN, site.hub.rooms.frame({"type": "X", "number": sent, "text": "x" * 1_000})
            )
        site.hub.rooms.flush()
        most_held = max(most_held, handler.unsent)
        message = await reader.until("X")
        assert message["number"] == sent
        for _ in range(49):
            await reader.next()
    assert most_held <= Limits().max_unsent_bytes
    assert list(TrainSocket.rooms[RUN].listeners) == list(before)
    await announce(site, "still here")
    await reader.all_told()
    assert texts(reader) == ["still here"]


@pytest.fixture
def slow(raw, site, running):
    """Return a function that opens a subscribed client with a small buffer, which stops reading."""

    async def open_slow():
        before = set(TrainSocket.sockets)
        client, _ = await raw()
        (handler,) = TrainSocket.sockets - before
        client.say("SUBSCRIBE_TRAIN", **HERE)
        await client.frames(4)  # WELCOME, SUBSCRIBED, SNAPSHOT, BOARDING_UPDATE
        client.writer.transport.pause_reading()
        waits = 0
        while not waits or handler.unsent != waits:  # until the client's kernel is full too
            while handler._backlog is None:
                handler.send(text_frame(b'{"type": "FILL", "text": "' + b"x" * 60_000 + b'"}'))
            waits = handler.unsent
            await asyncio.sleep(0.05)
        return client, handler

    return open_slow


@pytest.mark.gen_test
async def test_a_slow_client_is_told_why_it_is_closed(slow):
    """It gets 4408 once it reads on; the hub drops what waited, and queues nothing more."""
    client, handler = await slow()
    frame = text_frame(b"y" * 50_000)
    while handler in TrainSocket.rooms.get(RUN, Room()).listeners:
        handler.send(frame)
        assert handler.unsent <= Limits().max_unsent_bytes
    assert handler.unsent <= 2 * 60_000  # bytes under way
    held = handler.unsent
    for _ in range(100):
        handler.send(frame)
        handler.show("FIGURE", frame)
    assert handler.unsent == held
    client.writer.transport.resume_reading()
    assert await client.close_code() == TOO_SLOW
    client.send(Opcode.CLOSE, struct.pack("!H", TOO_SLOW))
    await until(lambda: not TrainSocket.sockets)


@pytest.mark.gen_test
async def test_a_client_that_reads_nothing_at_all_is_reset(slow, monkeypatch):
    """Its close cannot be sent, so the hub resets the connection."""
    monkeypatch.setattr("trainhub.web.websocket.SOCKET_CLOSE_SECONDS", 0.05)
    client, handler = await slow()
    while handler in TrainSocket.rooms.get(RUN, Room()).listeners:
        handler.send(text_frame(b"y" * 50_000))
    await until(lambda: not TrainSocket.sockets)
    client.writer.transport.resume_reading()
    with pytest.raises(ConnectionResetError):
        await client.reader.read()


@pytest.mark.gen_test
async def test_frames_come_after_what_the_stream_still_holds(http_port, no_trace):
    """A frame is never written into the middle of another one."""
    loop, parser = asyncio.get_running_loop(), Protocol(Side.CLIENT, state=OPEN, max_size=None)
    with socket.create_connection(("127.0.0.1", http_port)) as client:
        client.setblocking(False)
        lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", "", ""]
        await loop.sock_sendall(client, "\r\n".join(lines).encode())
        heard, count = b"", 0
        while b"WELCOME" not in heard:
            heard += await loop.sock_recv(client, 65_536)
        heard = heard.partition(b"\r\n\r\n")[2]
        (handler,) = TrainSocket.sockets
        while not handler._stream.writing:
            handler._stream.write(
                text_frame(b"x" * 60_000)
            )  # pongs and closes are written this way
            count += 1
        with contextlib.suppress(BlockingIOError):
            while True:  # without a turn of the loop, so that the stream cannot go on
                heard += client.recv(1 << 20)
        assert handler._stream.writing
        handler.send(text_frame(b"LAST"))
        while not heard.endswith(b"LAST"):
            heard += await loop.sock_recv(client, 65_536)
    parser.receive_data(heard)
    sizes = [len(frame.data) for frame in parser.events_received()][1:]
    assert sizes == [16_384, 16_384, 16_384, 10_848] * count + [4]


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_the_newest_figure_waits_for_a_slow_client(slow, connect, site):
    """Of a thousand figures a client that did not read gets the last; a reader gets each."""
    client, handler = await slow()
    reader = await connect()
    (other,) = TrainSocket.sockets - {handler}
    for number in range(1_000):
        for each in (handler, other):
            frame = site.hub.rooms.frame({"type": "BOARDING_UPDATE", "number": number})
            each.show(f"BOARDING_UPDATE {RUN}", frame)
        assert (await reader.until("BOARDING_UPDATE"))["number"] == number
    handler.send(text_frame(b'{"type": "LAST"}'))
    client.writer.transport.resume_reading()
    told = []
    while not told or told[-1]["type"] != "LAST":
        told += [json.loads(frame.data) for frame in await client.frames(1)]
    assert [each["number"] for each in told if each["type"] == "BOARDING_UPDATE"] == [999]


@pytest.mark.gen_test
async def test_a_slow_client_gets_a_planned_goodbye_after_all_that_waits(slow):
    """When the hub stops, a client can still read all that waited for it."""
    client, handler = await slow()
    for number in range(10):
        handler.send(text_frame(b'{"type": "X", "number": %d}' % number))
    handler.leave(GOING_AWAY, "the hub is stopping", 3_000)
    handler.leave(GOING_AWAY, "the hub is stopping", 3_000)
    client.writer.transport.resume_reading()
    told = []
    while not told or told[-1].opcode is not Opcode.CLOSE:
        told += await client.frames(1)
    messages = [json.loads(frame.data) for frame in told[:-1]]
    assert [each.get("number") for each in messages[-11:]] == [*range(10), None]
    assert messages[-1]["type"] == "GOODBYE"


@pytest.mark.made_up
@pytest.mark.gen_test
async def test_ten_that_do_not_read_among_a_hundred(raw, connect, slow, site):
    """The others get every event, and the hub holds no more than the limit for each of the ten."""
    stalled = [await slow() for _ in range(10)]
    readers = [await connect() for _ in range(90)]
    for reader in readers:
        await reader.ask("SUBSCRIBED", "SUBSCRIBE_TRAIN", **HERE)
    rounds, most = 40, 0
    for number in range(rounds):
        message = {"type": "X", "number": number, "text": "x" * 50_000}
        site.hub.rooms.broadcast_to_train(RUN, site.hub.rooms.frame(message))
        site.hub.rooms.flush()
        most = max(most, sum(handler.unsent for _, handler in stalled))
        for reader in readers:
            assert (await reader.until("X"))["number"] == number
    assert most <= 10 * Limits().max_unsent_bytes
    assert len(TrainSocket.rooms[RUN].listeners) == 90
    assert sum(handler.unsent for _, handler in stalled) <= 10 * 2 * 60_000


@pytest.mark.gen_test
async def test_a_client_that_reads_waiting_bytes_is_not_dropped_as_silent(slow):
    """A phone on a bad line cannot answer a ping that has not reached it yet."""
    client, handler = await slow()
    handler.send(text_frame(b'{"type": "LAST"}'))
    for _ in range(3):
        handler.beat()
    client.writer.transport.resume_reading()
    heard = []
    while not heard or b"LAST" not in heard[-1].data:
        heard += await client.frames(1)
    assert handler in TrainSocket.sockets


@pytest.mark.gen_test
@pytest.mark.parametrize("settings_of_web", [{"limits": Limits(heartbeat_seconds=1)}])
async def test_a_client_that_takes_no_waiting_bytes_is_dropped_within_two_beats(slow):
    """The kernel notices that, since no ping reaches the client."""
    _client, handler = await slow()
    for _ in range(3):
        handler.beat()
    assert handler in TrainSocket.sockets
    await until(lambda: handler not in TrainSocket.sockets)


@pytest.mark.gen_test
async def test_the_silent_are_dropped_at_the_second_beat(raw, connect):
    """The hub pings at each beat, and drops a client that sent nothing by the next one."""
    alive = await connect()
    (one,) = TrainSocket.sockets
    silent, _ = await raw()
    (two,) = TrainSocket.sockets - {one}
    for handler in (one, two):
        handler.beat()
    reading = asyncio.ensure_future(alive.connection.read_message())  # and answering pings
    await until(lambda: one._liveness.heard)
    assert TrainSocket.sockets == {one, two}
    for handler in (one, two):
        handler.beat()
    await until(lambda: TrainSocket.sockets == {one})
    assert await silent.is_closed()
    await alive.say("PING")
    assert json.loads(await reading)["type"] == "PONG"


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["pong", "message", "error"])
async def test_any_sign_of_life_counts(raw, how):
    """A pong or any message, good or bad, keeps a client for the next beat."""
    socket, _ = await raw()
    (handler,) = TrainSocket.sockets
    for _ in range(3):
        handler.beat()
        assert not handler._liveness.heard
        if how == "pong":
            socket.send(Opcode.PONG, b"")
        elif how == "message":
            socket.say("PING")
        else:
            socket.send(Opcode.TEXT, b"?")
        await until(lambda: handler._liveness.heard)
    handler.beat()
    assert handler in TrainSocket.sockets
    frames = await socket.frames(5)
    assert Opcode.PING in [frame.opcode for frame in frames]


@pytest.mark.gen_test
async def test_a_client_s_ping_is_answered(raw):
    """RFC 6455, 5.5.2: the hub sends a pong with the same data."""
    socket, _ = await raw()
    socket.send(Opcode.PING, b"are you there")
    _, pong = await socket.frames(2)
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"are you there")
