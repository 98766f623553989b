"""A flood of handshakes that nobody ends: those who listen hear all, and who comes gets in.

HALF_OPEN and LISTENERS make it longer: 10000 and 1000 have been run.
"""

import asyncio
import collections
import multiprocessing
import os
import re
import socket
import time

from load import asker, wait_for
from railway import chart

HALF_OPEN = int(os.environ.get("HALF_OPEN", "500"))
LISTENERS = int(os.environ.get("LISTENERS", "50"))
# The hub may have so many files: a quarter of them is less than the flood.
FILES = HALF_OPEN + 4 * LISTENERS + 300
EVENTS, NEWCOMERS = 200, 30

HALF = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEYS = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
SUBSCRIBE = b'{"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}'
PONG = b"\x8a\x80\0\0\0\0"


def flood(port, count, opened, over):
    """Open half handshakes, a thousandth of them and a rest in turn; hold the newest so many."""
    held = collections.deque()
    while not over.is_set():
        held.append(socket.create_connection(("127.0.0.1", port)))
        held[-1].sendall(HALF)
        opened.value += 1
        if len(held) > count:
            held.popleft().close()
        if opened.value % max(count // 1_000, 1) == 0:
            over.wait(0.005)


class Listener(asyncio.Protocol):
    """A socket that has subscribed; it notes when each announcement came."""

    def __init__(self):
        self.came = {}
        self.joined = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport):
        self.transport = transport
        transport.write(HALF + KEYS)
        transport.write(bytes((0x81, 0x80 | len(SUBSCRIBE))) + bytes(4) + SUBSCRIBE)

    def data_received(self, data):
        if not self.joined.done() and b"SNAPSHOT" in data:
            self.joined.set_result(None)
        if b"\x89\x00" in data:
            self.transport.write(PONG)
        for number in re.findall(rb'"text":"(\d+)"', data):
            self.came[int(number)] = time.perf_counter()

    def connection_lost(self, error):
        self.lost = True


async def join(port, count):
    """So many listeners that have all joined."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        made = [await loop.create_connection(Listener, "127.0.0.1", port) for _ in range(count)]
        await asyncio.gather(*(each.joined for _, each in made))
    return [each for _, each in made]


async def p99_of(hub, listeners, numbers):
    """Announce those numbers, each when all have heard the last; the delivery's p99 in seconds."""
    ask, waits = asker(hub), []
    for number in numbers:
        sent = time.perf_counter()
        body = {"text": str(number)}
        await asyncio.to_thread(ask, "/api/trains/12345/announcements", body)
        async with asyncio.timeout(20):
            while not all(number in each.came for each in listeners):
                await asyncio.sleep(0.001)
        waits += [each.came[number] - sent for each in listeners]
    return sorted(waits)[len(waits) * 99 // 100]


def test_a_flood_of_half_open_handshakes(start_hub, mongodb_uri, database_name):
    """Every event reaches every listener, nobody is dropped, and all who come meanwhile get in."""
    hub = start_hub(
        *("--mongodb-uri", mongodb_uri, "--database", database_name),
        *("--max-connections", str(2 * LISTENERS)),
        prefix=("prlimit", f"--nofile={FILES}:{FILES}"),
    )
    asker(hub)("/api/trains", chart())
    fork = multiprocessing.get_context("spawn")
    opened, over = fork.Value("i"), fork.Event()
    flooder = fork.Process(target=flood, args=(hub.port, HALF_OPEN, opened, over))

    async def listen():
        listeners = await join(hub.port, LISTENERS)
        quiet = await p99_of(hub, listeners, range(EVENTS))
        flooder.start()
        await asyncio.to_thread(wait_for, lambda: opened.value >= HALF_OPEN)
        flooded = await p99_of(hub, listeners, range(EVENTS, 2 * EVENTS))
        newcomers = await join(hub.port, NEWCOMERS)
        again = range(2 * EVENTS, 2 * EVENTS + 3)
        await p99_of(hub, listeners + newcomers, again)
        assert not any(each.lost for each in listeners + newcomers)
        for each in listeners + newcomers:
            each.transport.abort()
        return quiet, flooded

    try:
        quiet, flooded = asyncio.run(listen())
    finally:
        over.set()
        if flooder.pid is not None:
            flooder.join(30)
    print(
        f"{opened.value} half-open handshakes against {LISTENERS} listeners: p99 of delivery "
        f"{quiet * 1000:.1f} ms without, {flooded * 1000:.1f} ms with them"
    )
    assert any("made room" in line for line in hub.logged)
