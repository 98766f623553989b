"""trainhub/web/streams.py: bytes from and to a client, in their order, until either side closes."""

import asyncio
import socket

import pytest
from load import seeded
from waiting import PATIENCE, until

from trainhub.web.poller import LoopPoller, best_poller
from trainhub.web.streams import READ_BYTES, PlainStream


class Owner:
    """A receiver that notes what it gets, and whether the descriptor was open at the end."""

    def __init__(self):
        self.heard = b""
        self.lost_at = []

    def received(self, data):
        self.heard += data

    def lost(self):
        self.lost_at.append(self.stream.socket.fileno())


@pytest.fixture(params=[best_poller, LoopPoller])
def ends(io_loop, request):
    """A stream on a socket with a small buffer, its owner, and the client at its other end."""

    async def make():
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        ours.setblocking(False)
        theirs.setblocking(False)
        owner = Owner()
        owner.stream = PlainStream(ours, owner, request.param())
        return owner.stream, owner, theirs

    stream, owner, theirs = io_loop.run_sync(make)
    yield stream, owner, theirs

    async def close():
        stream.close()

    io_loop.run_sync(close)
    theirs.close()


@pytest.mark.gen_test
async def test_nothing_is_read_before_it_is_resumed(ends):
    """A paused stream leaves the bytes to the kernel, and loses none."""
    stream, owner, theirs = ends
    theirs.send(b"one")
    await asyncio.sleep(0.01)
    assert owner.heard == b""
    stream.resume()
    stream.resume()
    await until(lambda: owner.heard == b"one")
    stream.pause()
    theirs.send(b"two")
    await asyncio.sleep(0.01)
    assert owner.heard == b"one"
    stream.resume()
    await until(lambda: owner.heard == b"onetwo")


@pytest.mark.gen_test
async def test_what_is_written_arrives_in_its_order(ends):
    """Whatever the client takes at a time; each `done` follows its bytes."""
    seed, chance = seeded()
    print(f"seed {seed}")
    stream, _, theirs = ends
    expected, heard, done, loop = b"", b"", [], asyncio.get_running_loop()
    for number in range(500):
        data = chance.randbytes(chance.choice((0, 1, 100, 10_000)))
        expected += data
        written = len(expected)
        stream.write(data, lambda number=number: done.append(number))
        assert stream.writing == (stream.descriptor < 0)
        if chance.random() < 0.3 and len(heard) < written - 100_000:
            heard += await loop.sock_recv(theirs, chance.choice((1, 5_000, 100_000)))
    while len(heard) < len(expected):
        heard += await loop.sock_recv(theirs, READ_BYTES)
    assert heard == expected
    await until(lambda: len(done) == 500)
    assert done == list(range(500))
    assert not stream.writing
    assert stream.descriptor == stream.socket.fileno()


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["client closes", "hub closes", "client resets while bytes wait"])
async def test_the_end_is_told_once_and_before_the_descriptor_is_free(ends, how):
    """After it nothing is written, and the kernel may give the number to the next client."""
    stream, owner, theirs = ends
    stream.resume()
    number = stream.socket.fileno()
    if how == "hub closes":
        stream.close()
    else:
        if "wait" in how:
            stream.write(b"x" * 1_000_000)
        theirs.close()
    async with asyncio.timeout(PATIENCE):
        await until(lambda: stream.closed)
    stream.close()
    stream.write(b"more")
    assert owner.lost_at == [number]
    assert (stream.descriptor, stream.writing) == (-1, False)
