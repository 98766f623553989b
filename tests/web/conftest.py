"""Fixtures for the tests of web/: a hub in memory behind its real HTTP server."""

import asyncio
import base64
import contextlib
import json
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from built import DEFAULTS, build_of_fakes
from callers import OPERATOR
from fakes import MemoryContacts, MemoryJournal
from node import AXE, find_node
from railway import chart
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
from waiting import PATIENCE, until
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side
from witness import WITNESS

from trainhub.access.identity import Tokens
from trainhub.build import Built
from trainhub.core.errors import Unavailable
from trainhub.core.rooms import OneByOne
from trainhub.domain.commands import RegisterTrain
from trainhub.domain.model import Role
from trainhub.hub.hub import Hub
from trainhub.hub.protocol import read_command
from trainhub.process.timers import Timers
from trainhub.web.app import make_app, make_server
from trainhub.web.base import Web
from trainhub.web.frames import text_frame
from trainhub.web.hour import Hour
from trainhub.web.monitor import Monitor, Parts
from trainhub.web.proxies import Proxies
from trainhub.web.ring import best_delivery
from trainhub.web.websocket import TrainSocket

KEY = base64.b64encode(bytes(16)).decode()
# Seconds without a byte after which a request or a frame counts as incomplete.
SILENCE = 0.1
# Who the tests speak as: role, user, trains.
PEOPLE = {
    "ADMIN": (Role.ADMIN, "control", ["*"]),
    "SERVICE": (Role.SERVICE, "feed", ["*"]),
    "TTE": (Role.TTE, "T1", ["12345"]),
    "OTHER_TTE": (Role.TTE, "T2", ["54321"]),
    "PASSENGER": (Role.PASSENGER, "IR_1", ["12345"]),
    "OTHER_PASSENGER": (Role.PASSENGER, "IR_2", ["12345"]),
    # The same roles for other runs: another train, or another day.
    "OTHER_ADMIN": (Role.ADMIN, "control", ["54321"]),
    "OTHER_SERVICE": (Role.SERVICE, "feed", ["54321"]),
    "TTE_OF_ANOTHER_DAY": (Role.TTE, "T1", ["12345/2026-11-22"]),
    "PASSENGER_ELSEWHERE": (Role.PASSENGER, "IR_1", ["54321", "12345/2026-11-22"]),
}


@pytest.fixture(scope="session")
def node():
    """Return the path of Node, with the packages of tests/js installed."""
    return find_node()


@pytest.fixture(scope="session")
def axe(node):
    """Return a function that lists what axe finds against a page as it is now."""

    def faults(page):
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            (each["id"], node["html"], node["failureSummary"])
            for each in found["violations"]
            for node in each["nodes"]
        ]

    return faults


@dataclass
class Site:
    """A hub with its parts, as server.py connects them."""

    hub: Hub
    journal: MemoryJournal
    tokens: Tokens
    web: Web
    parts: Parts
    monitor: Monitor
    hour: Hour

    def token(self, who: str) -> str:
        role, user, trains = PEOPLE[who]
        return self.tokens.issue(user, role, trains)

    async def register(self, *people: dict[str, Any], **fields: Any) -> None:
        await self.hub.execute(read_command(RegisterTrain, chart(*people, **fields)), OPERATOR)


def make_parts(built: Built) -> Parts:
    built.follow()
    return Parts(
        built.hub,
        built.queues,
        built.write_buffer,
        built.followers,
        built.health,
        Timers(),
        demo=False,
    )


@pytest.fixture
def settings_of_web():
    """Return the settings of Web that a test's module or class overrides."""
    return {}


@pytest.fixture
def delivery():
    """Return the way of sending to rooms that the settings choose."""
    return best_delivery() if DEFAULTS.io_uring else OneByOne()


@pytest.fixture
def site(io_loop, settings_of_web, delivery):
    """A loaded hub without trains, whose clock stands at MORNING."""
    journal = MemoryJournal()
    failures: list[BaseException] = []
    built = build_of_fakes(
        journal=journal,
        rooms=TrainSocket.rooms,
        frame=text_frame,
        delivery=delivery,
        on_failure=failures.append,
    )
    hub = built.hub
    tokens = Tokens({"k1": "a secret of tests, long enough for HMAC with SHA-256"})
    plain = Web(hub, tokens, anonymous=True, max_connections=100, contacts=MemoryContacts())
    web = replace(plain, **settings_of_web)
    parts = make_parts(built)
    monitor = Monitor(parts)
    yield Site(hub, journal, tokens, web, parts, monitor, Hour(monitor))
    # A flush may have begun by itself: wait for its end.
    journal.gate.set()
    with suppress(Unavailable):
        io_loop.run_sync(parts.write_buffer.flush_now, timeout=PATIENCE)


@pytest.fixture
def app(site):
    return make_app(site.web, site.monitor, site.hour)


@pytest.fixture
def proxies():
    """Return the trusted proxies; a test's module or class may override them."""
    return Proxies()


@pytest.fixture
def http_server(io_loop, app, proxies, _unused_port):
    """Replace pytest-tornado's server by the hub's own, with its limits."""
    server = make_server(app, proxies=proxies)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=PATIENCE)


@dataclass
class Answer:
    """An HTTP answer, its body read as JSON if it is JSON."""

    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def result(self) -> Any:
        return self.json["result"]


def _as_read(body, result):
    """A chart is read without the passengers that have faults."""
    return {**body, "passengers": []} if result.get("rejected") else body


@pytest.fixture
def call(site, http_client, base_url):
    """Return a function that sends a request as one of PEOPLE or without a token.

    A body other than bytes is sent as JSON.
    """

    async def send(method, path, body=None, who=None, headers=(), **options):
        sent = dict(headers)
        if who is not None:
            sent.setdefault("Authorization", f"Bearer {site.token(who)}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        response = await http_client.fetch(
            base_url + path,
            method=method,
            body=body,
            headers=sent,
            raise_error=False,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            **{"connect_timeout": PATIENCE, "request_timeout": PATIENCE, **options},
        )
        found = response.body or b""
        is_json = "json" in response.headers.get("Content-Type", "")
        data = json.loads(found) if is_json and method != "HEAD" else None
        kind = response.headers.get("Content-Type", "").partition(";")[0] if found else ""
        where = path.partition("?")[0]
        WITNESS.answered(method, where, response.code, data, kind)
        if response.code == 200 and body and method in ("POST", "PUT"):
            WITNESS.asked(method, where, _as_read(json.loads(body), data["result"]))
        return Answer(response.code, response.headers, found, data)

    return send


class Client:
    """A WebSocket client that records the messages it gets."""

    def __init__(self, connection) -> None:
        self.connection = connection
        self.heard: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any] | None:
        """Return the next message, or None once the socket is closed."""
        async with asyncio.timeout(PATIENCE):
            text = await self.connection.read_message()
        if text is None:
            return None
        message = json.loads(text)
        WITNESS.sent(message)
        self.heard.append(message)
        return message

    async def until(self, kind: str) -> dict[str, Any]:
        """Read up to the first message of this type; return it."""
        while True:
            message = await self.next()
            assert message is not None, f"closed before {kind}"
            if message["type"] == kind:
                return message

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.write_message(json.dumps({"type": kind, **fields}))

    async def ask(self, answer: str, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a message and read up to its answer; return that."""
        await self.say(kind, **fields)
        return await self.until(answer)

    async def all_told(self) -> list[dict[str, Any]]:
        """Return everything told so far: what comes before the answer to a PING."""
        await self.ask("PONG", "PING")
        return self.heard

    async def closed(self) -> tuple[int | None, str | None]:
        """Read to the end; return the close code and reason."""
        while await self.next() is not None:
            pass
        return self.connection.close_code, self.connection.close_reason


@pytest.fixture
def no_trace(io_loop, site, http_server):
    """Check that no table has a closed socket of the test, so that the next test begins clean."""
    yield
    site.journal.gate.set()
    try:
        io_loop.run_sync(lambda: until(lambda: not TrainSocket.sockets), timeout=PATIENCE)
        io_loop.run_sync(lambda: until(lambda: not TrainSocket.rooms), timeout=PATIENCE)
        early = site.parts.write_buffer
        io_loop.run_sync(lambda: until(lambda: early._flush is None), timeout=PATIENCE)
    finally:
        TrainSocket.sockets.clear()
        TrainSocket.rooms.clear()


@pytest.fixture
def connect(io_loop, site, http_port, no_trace):
    """Return a function that opens a socket as one of PEOPLE or without a token."""
    clients: list[Client] = []

    async def open_socket(who=None, headers=(), welcome=True, **options) -> Client:
        request = HTTPRequest(f"ws://127.0.0.1:{http_port}/ws", headers=dict(headers))
        client = Client(await websocket_connect(request, **options))
        clients.append(client)
        if welcome:
            await client.until("WELCOME")
        if who is not None:
            await client.ask("IDENTIFIED", "IDENTIFY", token=site.token(who))
        return client

    async def close() -> None:
        for client in clients:
            client.connection.close()

    yield open_socket
    io_loop.run_sync(close)


class RawSocket:
    """A client that does nothing by itself: it neither reads nor answers pings."""

    key = KEY

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self._parser = Protocol(Side.CLIENT, state=OPEN, max_size=None)
        self._parts = []  # of the message that is coming

    def send(self, opcode, payload):
        """Send a complete, masked frame, as a client must."""
        size = len(payload)
        head = bytes((0x80 | opcode,))
        if size < 126:
            head += bytes((0x80 | size,))
        elif size < 1 << 16:
            head += struct.pack("!BH", 0x80 | 126, size)
        else:
            head += struct.pack("!BQ", 0x80 | 127, size)
        self.writer.write(head + bytes(4) + payload)  # a mask of zeros changes nothing

    def send_unmasked(self, opcode, payload):
        """Send a short unmasked frame, which no client may send."""
        self.writer.write(bytes((0x80 | opcode, len(payload))) + payload)

    def say(self, kind, **fields):
        self.send(Opcode.TEXT, json.dumps({"type": kind, **fields}).encode())

    async def frames(self, count):
        """Return the next `count` frames; a message in parts counts as one frame."""
        found = []
        while len(found) < count:
            async with asyncio.timeout(PATIENCE):
                data = await self.reader.read(65_536)
            assert data, "the hub closed"
            self._parser.receive_data(data)
            for frame in self._parser.events_received():
                if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
                    found.append(frame)
                    continue
                self._parts.append(frame)
                if frame.fin:
                    whole = b"".join(each.data for each in self._parts)
                    found.append(replace(self._parts[0], data=whole, fin=True))
                    self._parts.clear()
        return found

    async def close_code(self):
        """Read up to the close frame; return its code."""
        while True:
            for frame in await self.frames(1):
                if frame.opcode is Opcode.CLOSE:
                    return struct.unpack("!H", frame.data[:2])[0]

    async def is_closed(self):
        """Read until the hub has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass
        return True


@pytest.fixture
def read_some(http_port):
    """Return a function that reads the next bytes; None if the hub waits for more of a request.

    On a busy machine the silence begins again once the hub has answered a request that came later.
    """

    async def read(reader):
        try:
            async with asyncio.timeout(SILENCE):
                return await reader.read(65_536)
        except TimeoutError:
            await later_one()
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE):
                return await reader.read(65_536)
        return None

    async def later_one():
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        finally:
            writer.transport.abort()

    return read


@pytest.fixture
def raw(io_loop, http_port, no_trace):
    """Return a function that opens a raw socket; it returns the socket and the answer's head."""
    writers = []

    async def open_raw(*headers, path="/ws", tls=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port, ssl=tls)
        writers.append(writer)
        lines = [
            f"GET {path} HTTP/1.1",
            *("Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"),
            *(f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", *headers),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        return RawSocket(reader, writer), head.decode()

    async def abort():
        for writer in writers:
            writer.transport.abort()

    yield open_raw
    io_loop.run_sync(abort)


@pytest.fixture
def send(http_server, http_port):
    """Return a function that sends bytes on a new connection and returns all that comes back."""

    async def exchange(*pieces: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
        for piece in pieces:
            writer.write(piece)
        heard = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65_536):
                    heard += data
        writer.close()
        return heard

    return exchange


@pytest.fixture(autouse=True)
def no_faults_logged(caplog):
    """Check that no test leaves an error in the log: a client's acts are no fault of the hub."""
    yield
    faults = [each for each in caplog.get_records("call") if each.levelname == "ERROR"]
    assert [each.getMessage() for each in faults] == []
