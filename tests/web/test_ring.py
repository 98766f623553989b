"""trainhub/web/ring.py: a room in one system call, and not one byte out of place."""

import asyncio
import errno
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress

import pytest
from railway import RUN
from waiting import PATIENCE, until

from trainhub.core.audience import Standing
from trainhub.core.rooms import OneByOne
from trainhub.web.frames import text_frame
from trainhub.web.rfc6455 import PING, control_frame
from trainhub.web.ring import NoRing, Ring, RingDelivery, Sends, best_delivery
from trainhub.web.websocket import PING_FRAME, TrainSocket

FRAMES = text_frame(b'{"seq":1}')


def rings():
    try:
        Ring().close()
    except NoRing:
        return False
    return True


needs_ring = pytest.mark.skipif(not rings(), reason="the kernel forbids io_uring here")


@pytest.fixture
def pairs():
    """Twenty pairs of sockets; the first of each does not block."""
    made = [socket.socketpair() for _ in range(20)]
    for ours, theirs in made:
        ours.setblocking(False)
        theirs.settimeout(PATIENCE)
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def descriptors(pairs):
    return [ours.fileno() for ours, _ in pairs]


@needs_ring
def test_each_descriptor_gets_the_frames(pairs):
    """Also when the crowd does not divide the ring, time and again, and when frames change."""
    ring = Ring(8)
    sends = [Sends(descriptors(pairs[first : first + 7])) for first in (0, 7, 14)]
    for number in range(50):
        frames = text_frame(b"x" * (number * 7))
        for each in sends:
            assert ring.send(each, frames) == {}
        for _, theirs in pairs:
            assert theirs.recv(len(frames), socket.MSG_WAITALL) == frames
    ring.close()


@needs_ring
def test_a_crowd_may_be_larger_than_the_ring():
    """More sockets than entries are told in more than one call."""
    made = [socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(2)]
    sends = Sends([made[number % 2][0].fileno() for number in range(2_100)])
    assert [len(part.descriptors) for part in sends.parts] == [1024, 1024, 52]
    for ours, theirs in made:
        ours.close()
        theirs.close()


@needs_ring
def test_a_short_send_says_how_much_was_taken(pairs):
    """The rest is the backlog's; the others of the crowd have all."""
    ring = Ring()
    frames = text_frame(b"x" * 10_000_000)
    (ours, theirs), *_ = pairs
    taken = ring.send(Sends([ours.fileno()]), frames)[ours.fileno()]
    assert 0 < taken < len(frames)
    assert len(theirs.recv(taken, socket.MSG_WAITALL)) == taken
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    # A full socket takes nothing, and says so.
    while ring.send(Sends([ours.fileno()]), frames) != {ours.fileno(): -errno.EAGAIN}:
        pass
    ring.close()


@needs_ring
def test_a_failed_send_does_not_harm_the_others(pairs):
    """A client that has gone and a descriptor that is closed are named, each with its errno."""
    ring = Ring()
    pairs[1][1].close()
    closed = os.dup(pairs[0][0].fileno())
    os.close(closed)
    faults = ring.send(Sends([*descriptors(pairs), closed]), FRAMES)
    assert faults == {pairs[1][0].fileno(): -errno.EPIPE, closed: -errno.EBADF}
    for number, (_, theirs) in enumerate(pairs):
        if number != 1:
            assert theirs.recv(100) == FRAMES
    ring.close()


def test_a_machine_without_a_ring_is_told_socket_by_socket():
    """A kernel that refuses the ring costs speed, and nothing else."""
    code = """
        import resource
        from trainhub.core.rooms import OneByOne
        from trainhub.web.ring import best_delivery
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        assert isinstance(best_delivery(), OneByOne)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=PATIENCE)


# --- any mixture of clients, byte by byte -------------------------------------------------------


class Reader:
    """A client that reads raw bytes, and takes them apart as RFC 6455 has it."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self.parts = []
        self.seqs = []
        self.closed = False

    async def open(self, port, small):
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, ("127.0.0.1", port))
        await loop.sock_sendall(
            self.socket,
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        )
        while b"\r\n\r\n" not in self.raw:
            self.raw += await loop.sock_recv(self.socket, 65536)
        del self.raw[: self.raw.index(b"\r\n\r\n") + 4]

    def send(self, opcode):
        """Send an empty frame, masked."""
        with suppress(OSError):  # the hub has cut off a client that reads too slowly
            self.socket.send(bytes((0x80 | opcode, 0x80, 0, 0, 0, 0)))

    def read(self, most):
        """Read what has come, and take it apart. Every byte belongs to a sound frame."""
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.closed |= not data
        self.raw += data
        while len(self.raw) >= 2:
            final, opcode = self.raw[0] & 0x80, self.raw[0] & 0x0F
            size, head = self.raw[1] & 0x7F, 2
            assert not self.raw[1] & 0x80, "a server does not mask"
            assert opcode in (0, 1, 8, 9, 10), self.raw[:20]
            if size == 126:
                size, head = int.from_bytes(self.raw[2:4], "big"), 4
            if len(self.raw) < head + size:
                return
            payload = bytes(self.raw[head : head + size])
            del self.raw[: head + size]
            if opcode >= 8:
                assert final, "a control frame is whole"
                continue
            assert (opcode == 0) == bool(self.parts), "a message began within another"
            self.parts.append(payload)
            if final:
                message = json.loads(b"".join(self.parts))
                self.parts.clear()
                if "text" in message:
                    self.seqs.append(message["seq"])


async def crowd_of(count, site, port, small=False):
    """Open sockets, and put them into one room. Returns each reader with its handler."""
    made = []
    for _ in range(count):
        before = set(TrainSocket.sockets)
        reader = Reader()
        await reader.open(port, small)
        await until(lambda before=before: TrainSocket.sockets - before)
        (handler,) = TrainSocket.sockets - before
        site.hub.rooms.join(RUN, handler, Standing())
        made.append((reader, handler))
    return made


def tell(site, seq):
    site.hub.rooms.broadcast(RUN, text_frame(json.dumps({"seq": seq, "text": ""}).encode()))
    site.hub.rooms.flush()


@needs_ring
@pytest.mark.gen_test(timeout=PATIENCE)
async def test_a_closed_descriptor_is_not_written_to(site, http_server, http_port):
    """The kernel may give a closed descriptor to the next socket at once: it hears nothing."""
    made = await crowd_of(6, site, http_port)
    tell(site, 1)
    closed = made[2][1]
    number = closed._stream.socket.fileno()
    ours, theirs = socket.socketpair()
    closed._stream.close()
    os.dup2(ours.fileno(), number)
    tell(site, 2)
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    os.close(number)
    ours.close()
    theirs.close()
    for reader, handler in made:
        while handler is not closed and reader.seqs != [1, 2]:
            reader.read(1_000)
        reader.socket.close()


@needs_ring
@pytest.mark.gen_test(timeout=PATIENCE)
async def test_what_tornado_still_has_to_send_goes_first(site, http_server, http_port):
    """A pong that the socket has not taken whole is not broken by an event."""
    made = await crowd_of(4, site, http_port, small=True)
    tell(site, 1)
    for _, handler in made:
        while not handler._stream.writing:
            handler._control(control_frame(PING, b"x" * 125))
        assert handler._stream.writing
    # The kernel has room again, and tornado has had no turn to use it.
    for reader, _ in made:
        for _ in range(1_000):
            reader.read(10_000)
    tell(site, 2)
    for reader, _ in made:
        while reader.seqs != [1, 2]:
            reader.read(1_000)
            await asyncio.sleep(0)
        reader.socket.close()


@pytest.mark.parametrize("delivery", [best_delivery(), OneByOne()], ids=["ring", "plain"])
@pytest.mark.gen_test(timeout=PATIENCE)
async def test_bytes_of_a_socket_never_interleave(site, http_server, http_port, delivery):
    """Fast, slow, closing and pinging clients in one room: each reads whole frames, in order.

    Descriptors of closed clients go to new ones at once, who must hear nothing from before.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rooms = site.hub.rooms
    rooms._delivery = delivery
    readers, joined, sent, numbers = [], {}, [], itertools.count(1)

    async def come():
        ((reader, handler),) = await crowd_of(1, site, http_port, chance.random() < 0.3)
        joined[reader] = handler
        reader.first = next(numbers)
        readers.append(reader)

    for _ in range(12):
        await come()
    for _ in range(300):
        kind = chance.random()
        if kind < 0.7:
            seq = next(numbers)
            text = "x" * chance.choice((0, 100, 3_000, 30_000))
            for _ in range(chance.choice((1, 1, 3))):
                sent.append(seq)
                rooms.broadcast(RUN, text_frame(json.dumps({"seq": seq, "text": text}).encode()))
                seq = next(numbers)
            rooms.flush()
        elif kind < 0.75:
            for handler in tuple(joined.values()):
                if handler in TrainSocket.sockets:
                    handler.send(PING_FRAME)
        elif kind < 0.85 and readers:
            chance.choice(readers).send(9)  # a ping, which tornado answers
        elif kind < 0.9 and readers:
            leaver = chance.choice(readers)
            readers.remove(leaver)
            if chance.random() < 0.5:
                leaver.send(8)
            leaver.socket.close()
            await come()
        for reader in readers:
            if chance.random() < 0.5:
                reader.read(chance.choice((10, 1_000, 100_000)))
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    last = next(numbers)
    sent.append(last)
    rooms.broadcast(RUN, text_frame(json.dumps({"seq": last, "text": ""}).encode()))
    rooms.flush()
    behind = set(readers)
    while behind:
        await asyncio.sleep(0)
        for reader in tuple(behind):
            reader.read(100_000)
            if reader.closed or reader.seqs[-1:] == [last]:
                behind.discard(reader)
    whole = [reader for reader in readers if not reader.closed]
    assert whole
    for reader in readers:
        told = [seq for seq in sent if seq > reader.first]
        assert reader.seqs == (told if reader in whole else told[: len(reader.seqs)])
        reader.socket.close()


@needs_ring
def test_a_hub_uses_the_ring(site):
    """What the product chooses by itself is what these tests run on."""
    assert isinstance(site.hub.rooms._delivery, RingDelivery)
