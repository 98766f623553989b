"""Clients of a bench, in a process of their own: sockets that listen, and callers that ask.

The process is cheap: it has one epoll, makes no object for a frame, and masks with zero.
Each call has its number in its text, as #17#, by which the sockets that hear of it count it.
"""

import json
import multiprocessing
import re
import resource
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

# Sockets that are opened at a time: fewer than the backlog of a listening socket.
UNDER_WAY = 100
# Seconds that frames may take which are missing after the last answer.
LATE_SECONDS = 20
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"
NUMBER = re.compile(rb"#(\d+)#")
FAULT = re.compile(rb'HTTP/1\.1 [45]|"type":"ERROR"')


# --- what clients send --------------------------------------------------------------------------


def hello(path: str = "/ws") -> bytes:
    """Return the handshake of a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def text(payload: str) -> bytes:
    """Return a client's text frame. The mask is zero, so masking takes no time."""
    data = payload.encode()
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return b"\x81" + length + bytes(4) + data


def message(fields: Mapping[str, Any]) -> bytes:
    """Return a client's text frame of a JSON object."""
    return text(json.dumps(fields))


def post(path: str, fields: Mapping[str, Any], token: str | None = None) -> bytes:
    """Return a whole HTTP request of a JSON object, on a connection that stays open."""
    body = json.dumps(fields)
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


@dataclass(frozen=True)
class Opening:
    """A client's first bytes, and what the server's last answer to them contains."""

    data: bytes
    until: bytes


@dataclass(frozen=True)
class Call:
    """What a caller sends, and how many sockets are to hear of it."""

    number: int
    data: bytes
    hearers: int = 0


@dataclass(frozen=True)
class Round:
    """What came of the calls of a round. Times are in milliseconds, sorted."""

    seconds: float
    answered: Sequence[float]
    # From a call until the last of the sockets that are to hear of it.
    last: Sequence[float]
    heard: int
    missing: int
    twice: int
    # The share of a core that the process of the clients used.
    busy: float


# --- the bench's side ---------------------------------------------------------------------------


class Crowd:
    """Clients of one server. Each call waits for its result."""

    def __init__(self, port: int, door: int | None = None) -> None:
        """`door` is the port of callers, if it is not that of the sockets."""
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        ports = port, door or port
        self._process = context.Process(target=_serve, args=(theirs, *ports), daemon=True)
        self._process.start()
        theirs.close()

    def open(self, openings: Sequence[Opening]) -> float:
        """Open sockets that listen, and return the seconds until the last one is there."""
        return self._order("open", openings)

    def call_on(self, openings: Sequence[Opening], answer: bytes) -> None:
        """Open the connections of the next round's callers, which end with it.

        Each answer to a call contains `answer`.
        """
        self._order("call_on", openings, answer)

    def round(
        self,
        calls: Sequence[Call],
        seconds: float | None = None,
        rate: float | None = None,
    ) -> Round:
        """Let the callers make the calls, each when its previous one is answered.

        No call begins after `seconds`. With `rate`, that number of calls falls due each second, and
        their times count from then.
        """
        return self._order("round", calls, seconds, rate)

    def pings(self) -> int:
        """Return how many pings the sockets have answered."""
        return self._order("pings")

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _order(self, name: str, *arguments: Any) -> Any:
        self._orders.send((name, arguments))
        return self._orders.recv()


# --- the clients' side --------------------------------------------------------------------------


class _Clients:
    def __init__(self, orders: Connection, port: int, door: int) -> None:
        self._orders, self._port, self._door = orders, port, door
        self._poll = select.epoll()
        self._poll.register(orders.fileno(), select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}  # the start of a frame that is not whole
        self._opening: dict[int, bytes] = {}  # what its opening is to end with
        self._heard: dict[int, list[bytes]] = {}  # of each socket that listens
        self._callers: list[int] = []
        self._answer = b""
        self._pings = 0
        self._clear()

    def _clear(self) -> None:
        self._under_way: dict[int, float] = {}  # caller → when its call was due
        self._free: deque[int] = deque()
        self._due: dict[bytes, float] = {}
        self._left: dict[bytes, int] = {}
        self._answered: list[float] = []
        self._last: list[float] = []
        for heard in self._heard.values():
            heard.clear()

    def serve(self) -> None:
        """Carry out orders, and answer pings meanwhile."""
        while True:
            if self._turn(-1):
                name, arguments = self._orders.recv()
                self._orders.send(getattr(self, name)(*arguments))

    def _turn(self, seconds: float) -> bool:
        """Read what has come. Return whether there is an order."""
        ordered = False
        for descriptor, _ in self._poll.poll(seconds):
            if descriptor == self._orders.fileno():
                ordered = True
                continue
            data = self._sockets[descriptor].recv(1 << 18)
            assert data, "the server closed a connection"
            if descriptor in self._rest:
                data = self._rest.pop(descriptor) + data
            if descriptor in self._opening:
                self._open_on(descriptor, data)
            elif descriptor in self._heard:
                self._hear(descriptor, data)
            else:
                self._end_call(descriptor, data)
        return ordered

    def _connect(self, openings: Iterable[Opening], port: int, *, listen: bool) -> list[int]:
        made = []
        for each in openings:
            while len(self._opening) >= UNDER_WAY:
                self._turn(-1)
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.append(client.fileno())
            self._sockets[client.fileno()] = client
            self._poll.register(client, select.EPOLLIN)
            if listen:
                self._heard[client.fileno()] = []  # from now on, as a server pings meanwhile
            if each.data:
                self._opening[client.fileno()] = each.until
                client.sendall(each.data)
        while self._opening:
            self._turn(-1)
        return made

    def _open_on(self, descriptor: int, data: bytes) -> None:
        _check(data)
        if self._opening[descriptor] in data:
            del self._opening[descriptor]
        else:
            self._rest[descriptor] = data

    def _hear(self, descriptor: int, data: bytes) -> None:
        if PING in data:  # no text has these bytes
            self._sockets[descriptor].send(PONG)
            self._pings += 1
            data = data.replace(PING, b"")
        if not data.endswith((b"}", b"]")):  # as each message does
            if data:
                self._rest[descriptor] = data
            return
        now = time.perf_counter()
        for number in NUMBER.findall(data):
            self._heard[descriptor].append(number)
            left = self._left.get(number, 0)
            if left == 1:
                self._last.append(now - self._due[number])
            self._left[number] = left - 1

    def _end_call(self, descriptor: int, data: bytes) -> None:
        _check(data)
        if self._answer in data and descriptor in self._under_way:
            self._answered.append(time.perf_counter() - self._under_way.pop(descriptor))
            self._free.append(descriptor)

    # --- the orders -----------------------------------------------------------------------------

    def open(self, openings: Sequence[Opening]) -> float:
        start = time.perf_counter()
        self._connect(openings, self._port, listen=True)
        return time.perf_counter() - start

    def call_on(self, openings: Sequence[Opening], answer: bytes) -> None:
        self._callers = self._connect(openings, self._door, listen=False)
        self._answer = answer

    def round(self, calls: Sequence[Call], seconds: float | None, rate: float | None) -> Round:
        self._clear()
        self._free.extend(self._callers)
        waiting = deque(calls)
        start, busy = time.perf_counter(), time.process_time()
        end = start + (seconds or 1e9)
        while (now := time.perf_counter()) < end and waiting:
            while waiting and self._free:
                due = now if rate is None else start + (len(calls) - len(waiting)) / rate
                if due > now:
                    break
                self._begin_call(waiting.popleft(), due)
            pause = end - now
            if rate is not None and self._free and waiting:
                pause = start + (len(calls) - len(waiting)) / rate - now
            self._turn(max(0.0, min(pause, 1.0)))
        while self._under_way:
            self._turn(1)
        took = time.perf_counter() - start
        for each in self._callers:
            self._poll.unregister(each)
            self._sockets.pop(each).close()
        end = time.perf_counter() + LATE_SECONDS
        while any(left > 0 for left in self._left.values()) and time.perf_counter() < end:
            self._turn(0.01)
        twice = sum(len(each) - len(set(each)) for each in self._heard.values())
        return Round(
            took,
            sorted(each * 1e3 for each in self._answered),
            sorted(each * 1e3 for each in self._last),
            sum(map(len, self._heard.values())),
            sum(max(0, left) for left in self._left.values()),
            twice,
            (time.process_time() - busy) / took,
        )

    def _begin_call(self, call: Call, due: float) -> None:
        caller = self._free.popleft()
        self._under_way[caller] = due
        if call.hearers:
            number = b"%d" % call.number
            self._due[number], self._left[number] = due, call.hearers
        self._sockets[caller].sendall(call.data)

    def pings(self) -> int:
        return self._pings


def _check(data: bytes) -> None:
    """Raise AssertionError if the hub refuses something."""
    assert not FAULT.search(data), data[:500]


def _serve(orders: Connection, port: int, door: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _Clients(orders, port, door).serve()


def at(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the sorted values is."""
    return values[min(int(len(values) * share), len(values) - 1)]
