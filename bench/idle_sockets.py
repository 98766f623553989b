"""Measure what a socket costs: CPU to come, memory while idle, and CPU of its heartbeats.

    python bench/idle_sockets.py
    python bench/idle_sockets.py --sockets 4000 --rounds 5 --against ../older

A real hub with a mongod and a train for each 200 sockets. Every socket is a passenger's: it
identifies, subscribes, gets its snapshot, and is then idle. A separate process opens the sockets
and answers pings. Each round starts a new hub. `--against` is a checkout of another version: its
hub takes each second round, so that both are measured side by side.
"""

import argparse
import json
import os
import resource
import select
import socket
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

from hub_process import ROOT, HubProcess
from load import DAY, asker
from mongods import Mongod
from railway import chart, person

from trainhub.access.identity import Tokens
from trainhub.access.keys import load_keys
from trainhub.domain.model import Role

EACH = 200
# Handshakes at a time: fewer than the backlog of the hub's listening socket.
UNDER_WAY = 500
HELLO = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"


# --- the sockets: a process of its own ----------------------------------------------------------


def load(port: int) -> None:
    """Open a socket for each order, say so, and answer pings until the input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    orders = json.loads(sys.stdin.readline())
    poll, clients, waiting = select.epoll(), {}, {}
    pings = 0

    def turn(seconds: float) -> None:
        nonlocal pings
        for descriptor, _ in poll.poll(seconds):
            if descriptor == sys.stdin.fileno():
                raise SystemExit(print(json.dumps({"pings": pings})))
            data = clients[descriptor].recv(1 << 18)
            assert data, "the hub closed a socket"
            if descriptor not in waiting:
                if data.endswith(PING):
                    clients[descriptor].send(PONG)
                    pings += 1
                continue
            waiting[descriptor] += data
            assert b'"ERROR"' not in waiting[descriptor], waiting[descriptor]
            if b'"BOARDING_UPDATE"' in waiting[descriptor]:
                del waiting[descriptor]

    for train, token in orders:
        while len(waiting) >= UNDER_WAY:
            turn(-1)
        client = socket.socket()
        client.connect(("127.0.0.1", port))
        ask = {"type": "SUBSCRIBE_TRAIN", "trainNo": train, "startDate": DAY}
        client.send(HELLO + _frame({"type": "IDENTIFY", "token": token}) + _frame(ask))
        clients[client.fileno()] = client
        waiting[client.fileno()] = b""
        poll.register(client, select.EPOLLIN)
    while waiting:
        turn(-1)
    print("there", flush=True)
    poll.register(sys.stdin, select.EPOLLIN)
    while True:
        turn(-1)


def _frame(message: dict[str, Any]) -> bytes:
    """Return a client's text frame. The mask is zero, so masking takes no time."""
    payload = json.dumps(message).encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return b"\x81" + length + bytes(4) + payload


# --- the measure ----------------------------------------------------------------------------------


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) << 10


def measure(code: Path, sockets: int, idle_seconds: float) -> dict[str, float]:
    with ExitStack() as stack:
        mongod = Mongod()
        stack.callback(mongod.remove)
        mongod.start()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        most = str(sockets + 100)
        hub = HubProcess(
            folder / "data",
            *("--mongodb-uri", mongod.uri, "--max-connections", most),
            *("--max-connections-per-address", most),
            command=(sys.executable, "-u", str(code / "run.py")),
        )
        stack.callback(hub.stop)
        hub.wait_until_listening()
        ask = asker(hub)
        for n in range(-(-sockets // EACH)):
            people = [person(who, berth=who) for who in range(1, 21)]
            train = chart(*people, trainNo=str(30_000 + n), startDate=DAY)
            ask("/api/trains", train)
        tokens = Tokens(load_keys(hub.folder / "keys.json"))
        orders = []
        for n in range(sockets):
            train_no = str(30_000 + n // EACH)
            orders.append((train_no, tokens.issue(f"IR_{n}", Role.PASSENGER, [train_no])))
        time.sleep(3)  # what the registration left to do
        pid = hub.process.pid
        before, used = memory(pid), cpu(pid)
        call = f"import sys; sys.path[:0]={sys.path[:2]!r}; import idle_sockets as i; "
        call += f"i.load({hub.port})"
        process = subprocess.Popen(
            [sys.executable, "-c", call],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
        )
        stack.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(orders) + "\n")
        process.stdin.flush()
        start = time.monotonic()
        assert process.stdout.readline() == "there\n"
        took = time.monotonic() - start
        came = cpu(pid) - used
        time.sleep(2)
        size = memory(pid) - before
        used, start = cpu(pid), time.monotonic()
        time.sleep(idle_seconds)
        idle = (cpu(pid) - used) / (time.monotonic() - start)
        said, _ = process.communicate("enough\n")
        pings = json.loads(said)["pings"] / sockets
        assert pings >= int(idle_seconds / 25), f"{pings} pings a socket"
        return {
            "KB a socket": size / sockets / 1024,
            "us of CPU to come": came / sockets * 1e6,
            "% of a core while idle": idle * 100,
            "s until all were there": took,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=18_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=26, help="seconds; a heartbeat is 25")
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    asked = parser.parse_args()
    ways = {"here": ROOT}
    if asked.against:
        ways["there"] = asked.against.resolve()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, code in ways.items():
            found[name].append(measure(code, asked.sockets, asked.idle))
            figures = ", ".join(f"{value:.4g} {what}" for what, value in found[name][-1].items())
            print(f"{name}: {figures}", flush=True)
    print(f"{asked.sockets} sockets, Python {sys.version.split()[0]}, medians of {asked.rounds}")
    for what in found["here"][0]:
        middles = {n: statistics.median(each[what] for each in found[n]) for n in ways}
        line = f"{what}: " + ", ".join(f"{name} {middle:.4g}" for name, middle in middles.items())
        if asked.against:
            ratios = [a[what] / b[what] for a, b in zip(found["here"], found["there"], strict=True)]
            line += f"; ratio {statistics.median(ratios):.2f}"
            line += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)


if __name__ == "__main__":
    main()
