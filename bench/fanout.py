"""Measure the cost of a broadcast to a room, and the effect of clients that do not read.

    python bench/fanout.py                   CPU of a delivered frame and of a ping, side by side
    python bench/fanout.py --stalled 100     delivery to the others with and without stalled readers

The sockets, rooms and frames are the hub's own. There is no journal and no command, so the times
include nothing else. The clients are a separate process that only reads. CPU is that of this
process while it delivers. Times are of this machine and this run: compare within one.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from built import build_of_fakes
from tornado.web import Application

from trainhub.access.identity import Tokens
from trainhub.core.audience import Standing
from trainhub.core.rooms import Delivery, OneByOne
from trainhub.hub.hub import ignore
from trainhub.web.base import Web
from trainhub.web.door import Door
from trainhub.web.frames import text_frame
from trainhub.web.limits import Limits
from trainhub.web.ring import best_delivery
from trainhub.web.websocket import TrainSocket

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
EVENT_BYTES = 260
# Bytes of an event for stalled readers: at 10 a second 1 MB waits after about 13 seconds.
LARGE_BYTES, LARGE_RATE = 8_000, 10
AT = re.compile(rb'"at":(\d+\.\d{9})')


# --- the clients: a process of their own ----------------------------------------------------------


def read_all(port: int, count: int, stalled: int) -> None:
    """Open the sockets and report that. Then read, and report delays at each line from stdin."""
    poll = select.epoll()
    clients = {}
    for number in range(count):
        client = socket.socket()
        if number < stalled:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", port))
        client.sendall(HANDSHAKE)
        client.recv(4_096)
        client.setblocking(False)
        clients[client.fileno()] = client
        if number >= stalled:
            poll.register(client, select.EPOLLIN)
    print("open", flush=True)
    poll.register(sys.stdin, select.EPOLLIN)
    late: list[float] = []
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == sys.stdin.fileno():
                if not sys.stdin.readline():
                    return
                print(json.dumps(late), flush=True)
                late.clear()
                continue
            with suppress(BlockingIOError):
                data = clients[descriptor].recv(65_536)
                now = time.monotonic()
                late += [now - float(at) for at in AT.findall(data)]
                if not data:
                    poll.unregister(descriptor)


# --- the server -----------------------------------------------------------------------------------


class Bench:
    """Sockets in rooms, and the process that reads."""

    def __init__(
        self,
        delivery: Delivery,
        rooms: int,
        sockets: int,
        stalled: int = 0,
    ) -> None:
        self._count, self._stalled = sockets, stalled
        self.runs = [f"{10_000 + number}/2026-11-23" for number in range(rooms)]
        self._hub = build_of_fakes(
            rooms=TrainSocket.rooms,
            frame=text_frame,
            delivery=delivery,
            clock=lambda: datetime.now(UTC),
            on_taken=ignore,
        ).hub
        self.rooms = self._hub.rooms

    async def __aenter__(self) -> "Bench":
        web = Web(self._hub, Tokens({"k": "x" * 32}), True, self._count, Limits())
        self._server = Door(Application([(r"/ws", TrainSocket, {"web": web})]))
        self._server.listen(0, "127.0.0.1", backlog=4096)
        (listening,) = self._server._sockets.values()
        port = listening.getsockname()[1]
        command = [sys.executable, __file__, "--clients", f"{port},{self._count},{self._stalled}"]
        self._clients = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 30
        )
        assert self._clients.stdout is not None
        await self._clients.stdout.readline()
        await _until(lambda: len(TrainSocket.sockets) == self._count)
        for number, each in enumerate(TrainSocket.newcomers):  # in the order in which they came
            run = self.runs[number % len(self.runs)]
            self.rooms.join(run, each, Standing(None, None))
            while number < self._stalled and not each.unsent:  # fill what the kernel keeps for it
                each.send(text_frame(b"x" * 10_000))
        await asyncio.sleep(0.2)
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._clients.stdin is not None
        self._clients.stdin.close()
        await self._clients.wait()
        self._server.stop()
        await _until(lambda: not TrainSocket.sockets)

    async def late(self) -> list[float]:
        """Return the delay in seconds of each event that clients have read since the last call."""
        assert self._clients.stdin is not None
        assert self._clients.stdout is not None
        self._clients.stdin.write(b"\n")
        found: list[float] = json.loads(await self._clients.stdout.readline())
        return sorted(found)

    def event(self, size: int) -> bytes:
        head = f'{{"at":{time.monotonic():.9f},"text":"'
        return text_frame(f'{head}{"x" * (size - len(head) - 2)}"}}'.encode())

    async def round(self, events: int, plain: bool = False) -> float:
        """Send each room its events in one flush. Return the microseconds of CPU of a frame."""
        told = sum(len(room.listeners) for room in TrainSocket.rooms.values()) * events
        took = 0.0
        for run in self.runs:
            frame = self.event(EVENT_BYTES)
            sends = [each._stream.socket.send for each in TrainSocket.rooms[run].listeners]
            start = time.process_time()
            if plain:
                for send in sends:
                    send(frame)
            else:
                for _ in range(events):
                    self.rooms.broadcast_to_train(run, frame)
                self.rooms.flush()
            took += time.process_time() - start
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        return took / told * 1e6

    async def beat(self) -> float:
        """Ping all sockets. Return the microseconds of CPU of a ping."""
        for each in TrainSocket.sockets:
            each._liveness.heard = True  # the clients answer no ping
        start = time.process_time()
        await TrainSocket.beat_all()
        took = time.process_time() - start
        await asyncio.sleep(0.05)
        return took / self._count * 1e6


WAYS: list[tuple[str, Delivery]] = [
    ("the hub, as it chooses", best_delivery()),
    ("the hub, socket by socket", OneByOne()),
]


async def measure(rounds: int, sockets: int, rooms: int) -> None:
    """Compare the CPU of a frame, and of a ping, for socket.send and for the hub."""
    figures: dict[str, list[float]] = {}
    for _ in range(3):
        for name, delivery in WAYS:
            async with Bench(delivery, rooms, sockets) as bench:
                for number in range(rounds + 1):
                    plain = await bench.round(1, plain=True)
                    one, ten = await bench.round(1), await bench.round(10)
                    if number:  # the first warms up
                        figures.setdefault("socket.send in a loop", []).append(plain)
                        figures.setdefault(name, []).append(one)
                        figures.setdefault(f"{name}, ten events in one flush", []).append(ten)
                        figures.setdefault(f"{name}, a ping", []).append(await bench.beat())
    floor = statistics.median(figures["socket.send in a loop"])
    print(f"{sockets} sockets in {rooms} rooms, {EVENT_BYTES} bytes; CPU of a delivered frame")
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"{middle:7.2f} us  {middle / floor:5.2f}  {name}  ({min(values):.2f} at the least)")


async def stall(stalled: int, sockets: int, seconds: float) -> None:
    """Compare delivery to readers, and memory, with and without stalled clients."""
    print(f"one room of {sockets}, {LARGE_BYTES} bytes {LARGE_RATE} times a second")
    for count in (0, stalled, 0, stalled):
        async with Bench(best_delivery(), 1, sockets, count) as bench:
            before, most, closed = _memory(), 0, 0
            for _ in range(int(seconds * LARGE_RATE)):
                start = time.monotonic()
                bench.rooms.broadcast_to_train(bench.runs[0], bench.event(LARGE_BYTES))
                bench.rooms.flush()
                unsent = sum(each.unsent for each in TrainSocket.sockets)
                most = max(most, unsent)
                await asyncio.sleep(max(0.0, 1 / LARGE_RATE - (time.monotonic() - start)))
            await asyncio.sleep(0.3)
            late = await bench.late()
            closed = sockets - len(TrainSocket.rooms[bench.runs[0]].listeners)
            p50, p99, p999 = (late[int(len(late) * share)] * 1e3 for share in (0.5, 0.99, 0.999))
            print(
                f"{count:4} stalled: p50 {p50:.1f} p99 {p99:.1f} p99.9 {p999:.1f} ms of "
                f"{len(late)} deliveries; at most {most / 2**20:.0f} MB waited "
                f"({count} x limit: {count * Limits().max_unsent_bytes / 2**20:.0f}), memory grew "
                f"by {_memory() - before:.0f} MB, {closed} cut off"
            )


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for has no event of its own
        await asyncio.sleep(0.01)


def _memory() -> float:
    """Return this process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, help="2000, or 1000 in the one room with stalled")
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--stalled", type=int, help="how many of the sockets do not read")
    parser.add_argument("--seconds", type=float, default=16)
    parser.add_argument("--clients", help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.clients:
        read_all(*map(int, given.clients.split(",")))
        return
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    if given.stalled:
        asyncio.run(stall(given.stalled, given.sockets or 1_000, given.seconds))
    else:
        asyncio.run(measure(given.rounds, given.sockets or 2_000, given.rooms))


if __name__ == "__main__":
    main()
