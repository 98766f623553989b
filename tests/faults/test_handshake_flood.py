"""A flood of unfinished handshakes: listeners hear all, and newcomers get in."""

import asyncio
import collections
import contextlib
import itertools
import multiprocessing
import os
import re
import socket
import time

import pytest
from load import asker
from railway import chart
from waiting import PATIENCE, wait_for

HALF_OPEN = int(os.environ.get("HALF_OPEN", "500"))
LISTENERS = int(os.environ.get("LISTENERS", "50"))
# The hub's limit of open files: a quarter of it is less than the flood.
FILES = HALF_OPEN + 4 * LISTENERS + 300
EVENTS, NEWCOMERS = 200, 30
LOOPBACK = "127.0.0.1"

HALF = b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEYS = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
SUBSCRIBE = b'{"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}'
PONG = b"\x8a\x80\0\0\0\0"


def flood(address, port, count, opened, over):
    """Open half handshakes, with a pause after some of them; hold the newest `count`."""
    held = collections.deque()
    while not over.is_set():
        with contextlib.suppress(ConnectionError):  # it was refused at once
            held.append(socket.create_connection((address, port)))
            held[-1].sendall(HALF)
        opened.value += 1
        if len(held) > count:
            held.popleft().close()
        if opened.value % max(count // 1_000, 1) == 0:
            over.wait(0.005)


def bystander(port, over):
    """Accept a flood in another server: the test measures what the flood costs this machine."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as server:
        port.value = server.getsockname()[1]
        server.settimeout(0.1)
        held = collections.deque(maxlen=4_000)
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                held.append(server.accept()[0])


class Listener(asyncio.Protocol):
    """A subscribed socket, which records when each announcement came."""

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
    """Return `count` listeners that have all joined."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        made = [await loop.create_connection(Listener, "127.0.0.1", port) for _ in range(count)]
        await asyncio.gather(*(each.joined for _, each in made))
    return [each for _, each in made]


async def p99_of(hub, listeners, numbers):
    """Announce the numbers one by one to all listeners; return the delivery's p99 in seconds."""
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


def own_address():
    """Return an address of this machine, the loopback's only if there is no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.77", 9))  # nothing is sent
        return probe.getsockname()[0]
    return LOOPBACK


@pytest.mark.sized
@pytest.mark.parametrize("whence", ["everywhere", "one address"])
def test_a_flood_of_half_open_handshakes(start_hub, mongodb_uri, database_name, whence):
    """Every event reaches every listener, none is dropped, and all newcomers get in.

    The loopback stands for a flood from everywhere, as the hub's own machine is not counted.
    """
    address = LOOPBACK if whence == "everywhere" else own_address()
    if whence == "one address" and address == LOOPBACK:
        pytest.skip("this machine has no address but the loopback's")
    hub = start_hub(
        "--mongodb-uri",
        mongodb_uri,
        "--database",
        database_name,
        "--address",
        "0.0.0.0",
        "--max-connections",
        str(2 * LISTENERS),
        "--address-rate",
        str(HALF_OPEN // 50),
        prefix=("prlimit", f"--nofile={FILES}:{FILES}"),
    )
    asker(hub)("/api/trains", chart())
    fork = multiprocessing.get_context("spawn")
    opened, aside, port = fork.Value("i"), fork.Value("i"), fork.Value("i")
    over, calm = fork.Event(), fork.Event()
    numbers = itertools.count()

    def begin(target, *args):
        process = fork.Process(target=target, args=args)
        process.start()
        started.append(process)

    async def p99(listeners):
        return await p99_of(hub, listeners, itertools.islice(numbers, EVENTS))

    async def listen():
        listeners = await join(hub.port, LISTENERS)
        found = [await p99(listeners)]
        begin(bystander, port, calm)
        await asyncio.to_thread(wait_for, lambda: port.value)
        begin(flood, LOOPBACK, port.value, HALF_OPEN, aside, calm)
        await asyncio.to_thread(wait_for, lambda: aside.value >= HALF_OPEN)
        found.append(await p99(listeners))
        calm.set()
        begin(flood, address, hub.port, HALF_OPEN, opened, over)
        await asyncio.to_thread(wait_for, lambda: opened.value >= HALF_OPEN)
        found.append(await p99(listeners))
        newcomers = await join(hub.port, NEWCOMERS)
        await p99_of(hub, listeners + newcomers, itertools.islice(numbers, 3))
        assert not any(each.lost for each in listeners + newcomers)
        for each in listeners + newcomers:
            each.transport.abort()
        return found

    started = []
    try:
        quiet, shared, flooded = asyncio.run(listen())
    finally:
        over.set()
        calm.set()
        for process in started:
            process.join(PATIENCE)
    print(
        f"{opened.value} half-open handshakes from {whence}, {LISTENERS} listeners: p99 of "
        f"delivery {quiet * 1000:.1f} ms without, {shared * 1000:.1f} ms while another "
        f"server here is flooded, {flooded * 1000:.1f} ms while the hub is"
    )
    said = "made room" if whence == "everywhere" else "comes too often"
    assert any(said in line for line in hub.logged)
