"""Measure how long the hub takes when 15,000 sockets reconnect at once with their last seq.

    python bench/reconnect_storm.py
    python bench/reconnect_storm.py --sockets 2000 --rounds 3

A real hub with a mongod and a train for each 200 sockets. Every socket is a passenger's: it
identifies, subscribes with `since`, and has twenty events to catch up with. A separate process
opens the sockets. Another one requests /healthz meanwhile, to measure how long all requests wait.
"""

import argparse
import asyncio
import json
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hub_process import RUN, HubProcess
from load import DAY, asker, wait_for
from mongods import Mongod
from probe import Probe
from railway import chart, person

from trainhub.access.identity import Tokens
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role

EACH, MISSED = 200, 20
# Handshakes at a time: fewer than the backlog of the hub's listening socket.
UNDER_WAY = 3_000


# --- the sockets: a process of its own ----------------------------------------------------------


class Socket(asyncio.Protocol):
    """A passenger's app that reconnects. It is done when it has received all missed events."""

    def __init__(self, train: str, token: str, since: dict[str, Any]) -> None:
        self._ask = [
            {"type": "IDENTIFY", "token": token},
            {"type": "SUBSCRIBE_TRAIN", "trainNo": train, "startDate": DAY, "since": since},
        ]
        self._heard = b""
        self.caught_up = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        hello = (
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        transport.write(hello + b"".join(map(_frame, self._ask)))

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if self.caught_up.done():
            return
        if b'"ERROR"' in self._heard or b"HTTP/1.1 5" in self._heard[:12]:
            self.caught_up.set_exception(RuntimeError(self._heard[:500].decode(errors="replace")))
        elif b'"BOARDING_UPDATE"' in self._heard and b'"SUBSCRIBED"' in self._heard:
            events = self._heard.count(b'"ANNOUNCEMENT"')
            assert b'"recovered":true' in self._heard, "it was not recovered"
            assert events == MISSED, f"{events} events"
            self.caught_up.set_result(time.monotonic())
            self._heard = b""

    def connection_lost(self, error: Exception | None) -> None:
        if not self.caught_up.done():
            self.caught_up.set_exception(ConnectionResetError("cut off before it had caught up"))


def _frame(message: dict[str, Any]) -> bytes:
    """Return a client's text frame. The mask is zero, so masking takes no time."""
    payload = json.dumps(message).encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return b"\x81" + length + bytes(4) + payload


async def come_back(port: int, orders: list[Any]) -> None:
    """Run a round for each order: open its sockets, print when each caught up, and close them."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(UNDER_WAY)

    async def one(train: str, token: str, since: dict[str, Any]) -> tuple[float, Any]:
        async with gate:
            start = time.monotonic()
            made = await loop.create_connection(
                lambda: Socket(train, token, since), "127.0.0.1", port
            )
            return await made[1].caught_up - start, made[0]

    start = time.monotonic()
    found = await asyncio.gather(*(one(*order) for order in orders))
    took = time.monotonic() - start
    waits = sorted(wait for wait, _ in found)
    print(json.dumps({"seconds": took, "waits": waits, "busy": time.process_time()}), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for _, transport in found:
        transport.abort()


# --- the bench ----------------------------------------------------------------------------------


def trains(ask: Any, count: int) -> list[str]:
    """Register runs with EACH passengers and some events. Return their numbers."""
    people = [person(1 + n % 72, coach=f"S{1 + n // 72}", pnr=f"46{n:08}", irctcId=f"IR_{n}")
              for n in range(EACH)]  # fmt: skip
    coaches = [{"code": f"S{n}", "class": "SL", "berths": 72} for n in (1, 2, 3)]
    numbers = [str(40_000 + n) for n in range(count)]
    for number in numbers:
        ask("/api/trains", chart(*people, trainNo=number, startDate=DAY, coaches=coaches))
        for n in range(MISSED + 5):
            ask(f"/api/trains/{number}/announcements", {"text": f"We are late, number {n}."})
    return numbers


def memory(pid: int) -> dict[str, int]:
    """Return the hub's resident memory in MB: now, and its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) >> 10 for name in ("VmRSS", "VmHWM")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, default=15_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        mongod = Mongod()
        stack.callback(mongod.remove)
        mongod.start()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        most = str(asked.sockets + 100)
        options = ("--mongodb-uri", mongod.uri, "--max-connections", most)
        options += ("--max-connections-per-address", most)
        hub = HubProcess(folder / "data", *options, command=RUN)
        stack.callback(hub.stop)
        hub.wait_until_listening()
        ask = asker(hub)
        numbers = trains(ask, -(-asked.sockets // EACH))
        epoch, seq = ask("/api/monitor")["epoch"], 1 + 5
        tokens = Tokens(load_keys(hub.folder / "keys.json"))
        orders = [
            (
                numbers[n // EACH],
                tokens.issue(f"IR_{n % EACH}", Role.PASSENGER, [numbers[n // EACH]]),
                {"epoch": epoch, "seq": seq},
            )
            for n in range(asked.sockets)
        ]
        before, totals = memory(hub.process.pid), []
        for _ in range(asked.rounds):
            with (
                Probe(hub) as probe,
                subprocess.Popen(
                    [sys.executable, "-c", f"import sys; sys.path[:0]={sys.path[:2]!r};"
                     f"import reconnect_storm as r; r.load({hub.port})"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                    cwd=Path(__file__).parent,
                ) as load,
            ):  # fmt: skip
                load.stdin.write(json.dumps(orders) + "\n")
                load.stdin.flush()
                said = json.loads(load.stdout.readline())
                there = memory(hub.process.pid)
                load.communicate("enough\n")
            waits = said["waits"]
            totals.append(said["seconds"])
            print(
                f"{len(waits)} sockets back in {said['seconds']:.1f} s "
                f"({len(waits) / said['seconds']:.0f}/s); a socket waited p50 "
                f"{statistics.median(waits):.2f} s, longest {waits[-1]:.2f} s; 0 failed\n"
                f"  the load used {said['busy']:.1f} s of CPU; {probe}\n"
                f"  the hub's memory: {before['VmRSS']} MB before, {there['VmRSS']} MB with them, "
                f"{there['VmHWM']} MB at the peak"
            )
            wait_for(lambda: ask("/api/monitor")["sockets"] == 0)
        print(f"median {statistics.median(totals):.1f} s of {asked.rounds} rounds")


def load(port: int) -> None:
    """Run the process that opens the sockets."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(come_back(port, json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
