"""Measure the durable commands per second of a hub, and the time of each command.

    python bench/durable_commands.py
    python bench/durable_commands.py --rounds 5 --seconds 10 --clients 1,100 --keys off

A real hub with a mongod, and TTEs who mark passengers as boarded. Each TTE has its own socket, is
in no room, and sends the next mark when the last one is answered. All TTEs share a separate
process. A mark is one event, and is answered when it is on disk. Between rounds MongoDB catches up,
and new runs are registered; the times do not include that. The CPU of a command is all CPU that
the hub used until MongoDB had caught up. Times are of this machine, this disk and this run.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hub_process import RUN, HubProcess
from load import admin_token, asker, behind, opened, wait_for
from mongods import Mongod
from railway import chart, person

DAY = "2026-11-23"
# A run of the bench: coaches of 72 berths. All passengers travel from end to end.
COACHES, BERTHS = 20, 72
# Marks prepared for each second. If the hub is faster, the round ends early, with a valid rate.
MOST_MARKS = 5_000
# Above this share of a core the load process limits the result.
BUSY = 0.9


# --- the load: a process of its own -------------------------------------------------------------


class Client(asyncio.Protocol):
    """A TTE's socket, with only the part of RFC 6455 that a hub's answers need.

    The mask is zero, so that the load process spends no time on masking.
    """

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._upgraded = False
        self._sent = 0.0
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._send(1, json.dumps({"type": "IDENTIFY", "token": self._load.token}).encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head[:20], head
            self._upgraded, self._buffer = True, rest
        while (frame := self._frame()) is not None:
            self._heard(*frame)

    def _frame(self) -> tuple[int, bytes] | None:
        """Remove the next complete frame from the buffer. Return its opcode and payload."""
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        start, size = 2, buffer[1]
        if size == 126:
            start, size = 4, struct.unpack_from("!H", buffer, 2)[0]
        assert size < 127 or start == 4, "a long frame, which no answer is"
        if len(buffer) < start + size:
            return None
        self._buffer = buffer[start + size :]
        return buffer[0] & 15, buffer[start : start + size]

    def _heard(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self._send(10, payload)
        elif b'"DONE"' in payload[:20]:
            self._load.done(time.perf_counter() - self._sent)
            self.go()
        elif b'"IDENTIFIED"' in payload[:30]:
            self.ready.set_result(None)
        elif b'"WELCOME"' not in payload[:30]:
            self._load.failed(payload)

    def go(self) -> None:
        """Send the next command, if there is one."""
        command = self._load.next()
        if command is not None:
            self._sent = time.perf_counter()
            self._send(1, command)

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
        self._transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)


class Load:
    """All clients and their remaining commands. Orders come as JSON lines on stdin."""

    def __init__(self, port: int, token: str, keys: bool) -> None:
        self.port, self.token, self._keys = port, token, keys
        self._marks: deque[tuple[str, int]] = deque()
        self._number = 0
        self._clients: list[Client] = []
        self._millis: list[float] = []
        self._until = 0.0
        self._open = 0
        self._over: asyncio.Future[None]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            self._marks.extend((train, who) for train in order["trains"] for who in _people())
            while len(self._clients) < order["clients"]:
                made = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
                await made[1].ready
                self._clients.append(made[1])
            print(json.dumps(await self._round(order["clients"], order["seconds"])), flush=True)

    async def _round(self, clients: int, seconds: float) -> dict[str, Any]:
        self._millis, self._open = [], clients
        self._over = asyncio.get_running_loop().create_future()
        start, busy = time.perf_counter(), time.process_time()
        self._until = start + seconds
        for client in self._clients[:clients]:
            client.go()
        await self._over
        took = time.perf_counter() - start
        busy = time.process_time() - busy
        return {"millis": sorted(self._millis), "seconds": took, "busy": busy / took}

    def next(self) -> bytes | None:
        if not self._marks or time.perf_counter() >= self._until:
            self._open -= 1
            if not self._open:
                self._over.set_result(None)
            return None
        train, who = self._marks.popleft()
        self._number += 1
        key = f',"key":"{self._number}"' if self._keys else ""
        return (
            f'{{"type":"MARK_BOARDED","trainNo":"{train}","startDate":"{DAY}",'
            f'"pnr":"{_pnr(who)}","index":1{key}}}'
        ).encode()

    def done(self, seconds: float) -> None:
        self._millis.append(seconds * 1000)

    def failed(self, said: bytes) -> None:
        if not self._over.done():
            self._over.set_exception(RuntimeError(said.decode()))


def _people() -> range:
    return range(1, COACHES * BERTHS + 1)


def _pnr(who: int) -> str:
    return f"45{who:08}"


# --- the bench: what it starts, and what it reads of it -----------------------------------------


class Bench:
    """A hub, its mongod and the load process, all in a temporary folder."""

    def __init__(self, stack: ExitStack, keys: bool, folder: str | None, *options: str) -> None:
        mongod = Mongod()
        stack.callback(mongod.remove)
        mongod.start()
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=folder))
        self._hub = HubProcess(
            Path(place) / "data", "--mongodb-uri", mongod.uri, *options, command=RUN
        )
        stack.callback(self._hub.stop)
        self._hub.wait_until_listening()
        self._trains = 10_000
        self._ready = 0
        self.ask = asker(self._hub)
        command = [sys.executable, __file__, "--load", str(self._hub.port), "--keys"]
        self._load = subprocess.Popen(
            [*command, "on" if keys else "off"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TOKEN": admin_token(self._hub)},
        )
        stack.callback(self._end_load)

    def _end_load(self) -> None:
        self._load.stdin.close()
        self._load.stdout.close()
        self._load.wait(10)

    def round(self, clients: int, seconds: float) -> dict[str, float]:
        """Return the figures of a round, by the names of COLUMNS."""
        trains = self._register(int(seconds * MOST_MARKS))
        before = self._read()
        order = {"trains": trains, "clients": clients, "seconds": seconds}
        self._load.stdin.write(json.dumps(order) + "\n")
        self._load.stdin.flush()
        said = self._load.stdout.readline()
        assert said, "the load has failed"
        at_end, end = self._cpu(), time.monotonic()
        result = json.loads(said)
        wait_for(lambda: not behind(self._hub.folder), 300)
        caught_up = time.monotonic() - end
        grown = {name: now - before[name] for name, now in self._read().items()}
        millis, took = result["millis"], result["seconds"]
        self._ready -= len(millis)
        return {
            "clients": clients,
            "rate": len(millis) / took,
            **{f"p{share:g}": _at(millis, share / 100) for share in (50, 99, 99.9)},
            "cpu": grown["cpu"] / len(millis) * 1e6,
            "hub": (at_end - before["cpu"]) / took * 100,
            "load": result["busy"] * 100,
            "journal": self._row_bytes(),
            "written": grown["written"] / len(millis),
            "caught up": caught_up,
        }

    def _register(self, marks: int) -> list[str]:
        """Register new runs, so that enough passengers wait for their mark. Not timed."""
        trains = []
        while self._ready < marks:
            self._trains += 1
            train = str(self._trains)
            coaches = [{"code": f"S{n}", "class": "SL", "berths": BERTHS} for n in range(COACHES)]
            people = [
                person(
                    who,
                    pnr=_pnr(who),
                    coach=f"S{(who - 1) // BERTHS}",
                    berth=(who - 1) % BERTHS + 1,
                )
                for who in _people()
            ]
            self.ask("/api/trains", chart(*people, trainNo=train, startDate=DAY, coaches=coaches))
            self.ask(f"/api/trains/{train}/start?date={DAY}", {})
            self._ready += len(people)
            trains.append(train)
        wait_for(lambda: not behind(self._hub.folder), 300)
        return trains

    def _cpu(self) -> float:
        """Return the seconds of CPU that all threads of the hub have used."""
        stat = Path(f"/proc/{self._hub.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self) -> dict[str, float]:
        io = Path(f"/proc/{self._hub.process.pid}/io").read_text().split()
        return {"cpu": self._cpu(), "written": int(io[io.index("write_bytes:") + 1])}

    def _row_bytes(self) -> float:
        """Return the bytes of each new mark in the journal, with the answer of its key."""
        with opened(self._hub.folder) as journal:
            (record,) = journal.execute(
                "SELECT avg(length(run) + length(type) + length(event) + length(deed) + 20)"
                " FROM records WHERE type = 'PASSENGER_BOARDED'"
            ).fetchone()
            (answer,) = journal.execute(
                "SELECT avg(length(user) + length(key) + length(command) + length(result) + 20)"
                " FROM answers"
            ).fetchone()
        return record + (answer or 0)


def _at(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]


# Name of a figure → its head and how it is written.
COLUMNS = {
    "clients": ("clients", "{:.0f}"),
    "rate": ("commands/s", "{:.0f}"),
    "p50": ("p50 ms", "{:.2f}"),
    "p99": ("p99 ms", "{:.2f}"),
    "p99.9": ("p99.9 ms", "{:.2f}"),
    "cpu": ("CPU us/command", "{:.0f}"),
    "hub": ("hub % core", "{:.0f}"),
    "load": ("load % core", "{:.0f}"),
    "journal": ("journal B/event", "{:.0f}"),
    "written": ("disk B/command", "{:.0f}"),
    "caught up": ("MongoDB after s", "{:.2f}"),
}


def table(rounds: dict[int, list[dict[str, float]]]) -> None:
    """Print the median of each figure over the rounds, one line for each number of clients."""
    print("  ".join(head for head, _ in COLUMNS.values()))
    for those in rounds.values():
        median = {name: statistics.median(each[name] for each in those) for name in COLUMNS}
        cells = [
            form.format(median[name]).rjust(len(head)) for name, (head, form) in COLUMNS.items()
        ]
        rates = [each["rate"] for each in those]
        bound = "  bounded by the load" if median["load"] > BUSY * 100 else ""
        print("  ".join(cells) + f"  ({min(rates):.0f} to {max(rates):.0f}/s){bound}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", default="1,10,100,1000", help="how many at once")
    parser.add_argument("--rounds", type=int, default=3, help="of each; the medians are shown")
    parser.add_argument("--seconds", type=float, default=4, help="of one round")
    parser.add_argument("--keys", choices=("on", "off"), default="on", help="idempotency keys")
    parser.add_argument("--folder", help="where to make the data folder: the disk to measure")
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        asyncio.run(Load(given.load, os.environ["TOKEN"], given.keys == "on").run())
        return
    levels = [int(each) for each in given.clients.split(",")]
    print(
        f"medians of {given.rounds} rounds of {given.seconds:g} s, keys {given.keys}, "
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"
    )
    rounds: dict[int, list[dict[str, float]]] = {level: [] for level in levels}
    with ExitStack() as stack:
        bench = Bench(stack, given.keys == "on", given.folder)
        for _ in range(given.rounds):
            for level in random.sample(levels, len(levels)):
                rounds[level].append(bench.round(level, given.seconds))
    table(rounds)


if __name__ == "__main__":
    main()
