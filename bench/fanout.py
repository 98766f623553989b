"""Measure the cost of a broadcast to a room, and the effect of clients that do not read.

    python bench/fanout.py                   CPU of a delivered frame and of a ping, side by side
    python bench/fanout.py --arrival         one arrival, told to its train and told to all sockets
    python bench/fanout.py --stalled 100     delivery to the others with and without stalled readers

The sockets, rooms and frames are the hub's own. There is no journal and no command, so the times
include nothing else. The clients are a separate process that only reads. CPU is that of this
process while it delivers. Times are of this machine and this run: compare within one.
"""

import argparse
import asyncio
import ctypes
import json
import os
import re
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from built import build_of_fakes
from crowd import hello
from figures import ratio
from tornado.web import Application

from trainhub.access.identity import Tokens
from trainhub.core.audience import EVERYONE, Audience, Roles, Standing, User, may_be_told
from trainhub.core.rooms import Crowd, Delivery, OneByOne
from trainhub.domain.model import STAFF, Role
from trainhub.hub.hub import ignore
from trainhub.web.base import Web
from trainhub.web.door import Door
from trainhub.web.frames import text_frame
from trainhub.web.limits import Limits
from trainhub.web.ring import best_delivery
from trainhub.web.websocket import TrainSocket

EVENT_BYTES = 260
# Bytes of an event for stalled readers: at 10 a second 1 MB waits after about 13 seconds.
LARGE_BYTES, LARGE_RATE = 8_000, 10
AT = re.compile(rb'"at":(\d+\.\d{9})')
# Of a mixed room: TTEs, anonymous sockets; the rest are passengers.
TTES, ANONYMOUS = 2, 8
# The audiences of a mixed room's events: a notice, a change of the train, a mark, an offer.
MIXED: tuple[Audience, ...] = (
    EVERYONE,
    (Roles(frozenset({Role.PASSENGER, *STAFF})),),
    (Roles(STAFF), User("IR_20", Role.PASSENGER)),
    (User("IR_20", Role.PASSENGER),),
)
# The seed's case: sockets of a train.
EACH = 18


# --- the clients: a process of their own ----------------------------------------------------------


def read_all(port: int, count: int, stalled: int) -> None:
    """Open the sockets and report that. Then read, and report delays at each line from stdin."""
    _raise_file_limit()
    poll = select.epoll()
    clients = {}
    for number in range(count):
        client = socket.socket()
        if number < stalled:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", port))
        client.sendall(hello())
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
        mixed: bool = False,
    ) -> None:
        """`mixed` rooms have passengers, TTEs and anonymous sockets, not only the last."""
        self._mixed = mixed
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
            self.rooms.join(run, each, self._standing(number // len(self.runs)))
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

    def _standing(self, place: int) -> Standing:
        """Return the standing of a room's socket, by its place there."""
        if not self._mixed or TTES <= place < TTES + ANONYMOUS:
            return Standing()
        return Standing(Role.TTE if place < TTES else Role.PASSENGER, f"IR_{place}")

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

    async def round(self, events: int) -> float:
        """Send each room its events in one flush. Return the microseconds of CPU of a frame."""

        def send(run: str, frame: bytes) -> None:
            for _ in range(events):
                self.rooms.broadcast_to_train(run, frame)
            self.rooms.flush()

        return await self._measure(send, self._count * events)

    async def loop_of_send(self) -> float:
        """Return the same for socket.send in a loop of Python."""

        def send(run: str, frame: bytes) -> None:
            for each in sends[run]:
                each(frame)

        sends = {
            run: [each._stream.socket.send for each in TrainSocket.rooms[run].listeners]
            for run in self.runs
        }
        return await self._measure(send, self._count)

    async def loop_in_c(self, floor: ctypes.PyDLL) -> float:
        """Return the same for send(2) in a loop of C."""

        def send(run: str, frame: bytes) -> None:
            room = descriptors[run]
            assert floor.send_to_all(room, len(room), frame, len(frame)) == 0

        descriptors = {}
        for run in self.runs:
            found = [each.descriptor for each in TrainSocket.rooms[run].listeners]
            descriptors[run] = (ctypes.c_int * len(found))(*found)
        return await self._measure(send, self._count)

    async def round_of(self, audiences: tuple[Audience, ...]) -> float:
        """Send each room an event to each audience, each in a flush of its own."""

        def send(run: str, frame: bytes) -> None:
            for each in audiences:
                self.rooms.tell(run, each, frame)
                self.rooms.flush()

        told = sum(
            may_be_told(audience, standing)
            for audience in audiences
            for run in self.runs
            for standing in TrainSocket.rooms[run].listeners.values()
        )
        return await self._measure(send, told)

    async def _measure(self, send: Callable[[str, bytes], None], told: int) -> float:
        """Call `send` for each room. Return the microseconds of CPU of each of the told frames."""
        took = 0.0
        for run in self.runs:
            frame = self.event(EVENT_BYTES)
            start = time.process_time()
            send(run, frame)
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


PYTHON, C = "socket.send in a loop of Python", "send(2) in a loop of C"
WAYS: list[tuple[str, Delivery]] = [
    ("the hub, as it chooses", best_delivery()),
    ("the hub, socket by socket", OneByOne()),
]


def floor_in_c(stack: ExitStack) -> ctypes.PyDLL | None:
    """Return peers/floor.c as a library, None if there is no compiler."""
    if not shutil.which("gcc"):
        return None
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
    source = Path(__file__).parent / "peers" / "floor.c"
    library = f"{folder}/floor.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return ctypes.PyDLL(library)


async def measure(rounds: int, sockets: int, rooms: int) -> None:
    """Compare the CPU of a frame, and of a ping, for loops of send and for the hub."""
    figures: dict[str, list[float]] = {}
    with ExitStack() as stack:
        floor = floor_in_c(stack)
        for _ in range(3):
            for name, delivery in WAYS:
                async with Bench(delivery, rooms, sockets) as bench:
                    for number in range(rounds + 1):
                        found = {PYTHON: await bench.loop_of_send()}
                        if floor is not None:
                            found[C] = await bench.loop_in_c(floor)
                        found[name] = await bench.round(1)
                        found[f"{name}, ten events in one flush"] = await bench.round(10)
                        found[f"{name}, a ping"] = await bench.beat()
                        if number:  # the first warms up
                            for what, value in found.items():
                                figures.setdefault(what, []).append(value)
    lowest = statistics.median(figures[PYTHON if floor is None else C])
    print(f"{sockets} sockets in {rooms} rooms, {EVENT_BYTES} bytes; CPU of a delivered frame")
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"{middle:7.2f} us  {middle / lowest:5.2f}  {name}  ({min(values):.2f} at the least)")
    plain: list[float] = []
    mixed: list[float] = []
    for _ in range(rounds):
        for found_in, is_mixed in ((plain, False), (mixed, True)):
            async with Bench(best_delivery(), rooms, sockets, mixed=is_mixed) as bench:
                audiences = MIXED if is_mixed else (EVERYONE,) * len(MIXED)
                await bench.round_of(audiences)
                found_in.append(
                    statistics.median([await bench.round_of(audiences) for _ in "12345"])
                )
    print(f"a frame in a mixed room against the plain room: {ratio(mixed, plain)}")


async def arrival(trains: int, rounds: int) -> None:
    """Compare one arrival that is told to its train with an arrival that is told to all sockets."""
    sockets = trains * EACH
    async with Bench(best_delivery(), trains, sockets) as bench:
        everyone: Crowd[None] = Crowd()
        everyone.update((each, None) for each in TrainSocket.sockets)

        def in_its_room(run: str, frame: bytes) -> None:
            bench.rooms.broadcast_to_train(run, frame)
            bench.rooms.flush()

        ways: dict[str, Callable[[str, bytes], object]] = {
            "its room": in_its_room,
            "all sockets, by the ring": lambda run, frame: bench.rooms.deliver(everyone, frame),
            "all sockets, one by one": lambda run, frame: OneByOne().deliver(everyone, frame),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, send in ways.items():
                runs = bench.runs[:100] if send is in_its_room else bench.runs[:1]
                took = 0.0
                for run in runs:
                    frame = bench.event(EVENT_BYTES)
                    start = time.process_time()
                    send(run, frame)
                    took += time.process_time() - start
                    await asyncio.sleep(0.01 if send is in_its_room else 1)
                if number:  # the first round warms up
                    found[name].append(took / len(runs) * 1e6)
    print(f"one arrival with {trains} trains of {EACH} sockets: CPU, median of {rounds} rounds")
    for name, values in found.items():
        frames = EACH if name == "its room" else sockets
        print(f"{statistics.median(values):9.0f} us  {frames:6} frames  {name}")
    for name in list(ways)[1:]:
        print(f"{name} against its room: {ratio(found[name], found['its room'])}")


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


def _raise_file_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
    parser.add_argument("--arrival", action="store_true")
    parser.add_argument("--trains", type=int, default=1_000, help="of the arrival")
    parser.add_argument("--clients", help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.clients:
        read_all(*map(int, given.clients.split(",")))
        return
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    _raise_file_limit()
    if given.arrival:
        asyncio.run(arrival(given.trains, given.rounds))
    elif given.stalled:
        asyncio.run(stall(given.stalled, given.sockets or 1_000, given.seconds))
    else:
        asyncio.run(measure(given.rounds, given.sockets or 2_000, given.rooms))


if __name__ == "__main__":
    main()
