"""trainhub/web/backlog.py: the bytes that wait for a slow client, in order and bounded."""

import asyncio
import socket

import pytest
from load import seeded
from waiting import PATIENCE, until

from trainhub.web.backlog import PIECE, Backlog
from trainhub.web.frames import frames_end, text_frame
from trainhub.web.poller import best_poller
from trainhub.web.streams import PlainStream

MOST = 100_000


class Pair:
    """A stream on a socket with a small buffer, and the client at its other end."""

    def __init__(self):
        ours, self.client = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        self.client.setblocking(False)
        ours.setblocking(False)
        self.stream = PlainStream(ours, self, best_poller())
        self.done = 0

    def lost(self):
        pass

    def stall(self, most=MOST):
        """Fill the socket; return a backlog behind it, and the number of bytes under way."""
        filling, sent = b"." * 4_096, 0
        while True:
            try:
                sent += self.stream.send(filling)
            except BlockingIOError:
                return Backlog(self.stream, b"<rest>", 0, most, self._is_done), sent

    def _is_done(self):
        self.done += 1

    async def read(self, count):
        """Read `count` bytes as the client; return them."""
        loop, found = asyncio.get_running_loop(), b""
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                found += await loop.sock_recv(self.client, 65_536)
        assert len(found) == count
        return found

    def close(self):
        self.stream.close()
        self.client.close()


@pytest.fixture
def pair(io_loop):
    made = []

    async def make():
        made.append(Pair())

    io_loop.run_sync(make)
    yield made[0]
    made[0].close()


@pytest.mark.gen_test
async def test_what_waits_is_sent_in_its_order(pair):
    """The rest of the interrupted write comes first, then all later bytes; then it is done."""
    backlog, sent = pair.stall()
    assert all(backlog.add(b"<%d>" % number) for number in range(100))
    expected = b"<rest>" + b"".join(b"<%d>" % number for number in range(100))
    assert backlog.unsent == len(expected)
    assert (await pair.read(sent + len(expected)))[sent:] == expected
    await until(lambda: pair.done)
    assert (pair.done, backlog.unsent) == (1, 0)


@pytest.mark.gen_test
async def test_a_newer_figure_takes_the_place_of_the_older_one(pair):
    """Of each figure the newest is sent, at the place of the first; its bytes are counted."""
    backlog, sent = pair.stall()
    backlog.add(b"<before>")
    for number in range(1_000):
        assert backlog.show("BOARDING", b"<boarding %d>" % number)
        assert backlog.show("PRESENCE", b"<presence %d>" % number)
    backlog.add(b"<after>")
    expected = b"<rest><before><boarding 999><presence 999><after>"
    assert backlog.unsent == len(expected)
    assert (await pair.read(sent + len(expected)))[sent:] == expected
    backlog.show("BOARDING", b"<again>")  # a figure that was sent is not replaced
    assert backlog.unsent == len(b"<again>")


@pytest.mark.gen_test
async def test_the_bytes_that_may_wait_are_bounded(pair):
    """Bytes above the limit are refused, and those that wait stay as they were."""
    backlog, _ = pair.stall(most=1_000)
    assert backlog.add(b"x" * 494)
    assert backlog.show("A", b"y" * 500)
    assert backlog.unsent == 1_000
    assert not backlog.add(b"x")
    assert not backlog.show("B", b"x")
    assert not backlog.show("A", b"y" * 501)
    assert backlog.show("A", b"y" * 499)
    assert backlog.add(b"x")
    assert backlog.unsent == 1_000


@pytest.mark.gen_test
async def test_a_large_snapshot_leaves_room_for_what_comes_after_it(pair):
    """A snapshot may be larger than the limit; half the limit stays free for later messages."""
    _, sent = pair.stall()
    await pair.read(sent + len(b"<rest>"))
    snapshot = b"s" * 10 * MOST
    backlog = Backlog(pair.stream, snapshot, 0, MOST, pair._is_done)
    assert backlog.add(b"x" * (MOST // 2))
    assert not backlog.add(b"x")


@pytest.mark.gen_test
async def test_a_large_write_is_handed_over_in_pieces_between_frames(pair):
    """Bytes that bypass the backlog come between two frames, and wait for few of them."""
    _, sent = pair.stall()
    await pair.read(sent + len(b"<rest>"))
    message = text_frame(b"x" * 1_000_000)
    backlog = Backlog(pair.stream, message, 5_000, MOST, pair._is_done)
    assert backlog.add(text_frame(b"y" * 100))
    pair.stream.write(b"<ping>")
    heard = await pair.read(len(message) - 5_000 + 102 + len(b"<ping>"))
    at = heard.index(b"<ping>")
    assert at < 3 * PIECE
    assert frames_end(message, 5_000 + at) == 5_000 + at
    assert heard[:at] + heard[at + 6 :] == message[5_000:] + text_frame(b"y" * 100)
    await until(lambda: pair.done)


@pytest.mark.gen_test
async def test_a_dropped_backlog_is_gone_at_once(pair):
    """All is dropped except bytes under way: the client gets those, then a close can follow."""
    backlog, sent = pair.stall()
    for number in range(50):
        backlog.add(b"x" * 1_000)
        backlog.show(str(number), b"y" * 100)
    backlog.clear()
    assert backlog.unsent == len(b"<rest>")
    pair.stream.write(b"<close>")
    assert (await pair.read(sent + 13))[sent:] == b"<rest><close>"


@pytest.mark.gen_test
async def test_a_close_comes_after_all_that_waits(pair):
    """The backlog hands its bytes to the stream in order."""
    backlog, sent = pair.stall()
    backlog.add(b"<event>")
    backlog.show("FIGURE", b"<figure>")
    backlog.hand_over()
    pair.stream.write(b"<close>")
    expected = b"<rest><event><figure><close>"
    assert (await pair.read(sent + len(expected)))[sent:] == expected


@pytest.mark.gen_test
async def test_a_client_that_goes_leaves_nothing(pair):
    """When its stream closes, the stream drops what it has, and no callback runs."""
    backlog, _ = pair.stall()
    backlog.add(b"x" * 1_000)
    pair.stream.close()
    assert not pair.stream.writing
    pair.stream.write(b"more", pair._is_done)
    await asyncio.sleep(0.01)
    assert pair.done == 0


@pytest.mark.gen_test
async def test_whatever_comes_and_however_it_is_read(pair):
    """Events come once and in order; an older figure never follows a newer one."""
    seed, chance = seeded()
    print(f"seed {seed}")
    backlog, sent = pair.stall(most=1 << 30)
    events, newest, heard = [], {}, b""
    loop = asyncio.get_running_loop()
    for number in range(2_000):
        if chance.random() < 0.5:
            events.append(b"<e %d %s>" % (number, b"x" * chance.randrange(200)))
            backlog.add(events[-1])
        else:
            name = chance.choice("AB")
            newest[name] = number
            backlog.show(name, b"<%s %d>" % (name.encode(), number))
        if chance.random() < 0.1 and backlog.unsent:
            heard += await loop.sock_recv(pair.client, chance.randrange(1, 20_000))
        if pair.done:
            break
    async with asyncio.timeout(PATIENCE):
        while not pair.done:
            heard += await loop.sock_recv(pair.client, 65_536)
            await asyncio.sleep(0)
    pair.stream.close()
    while more := await loop.sock_recv(pair.client, 65_536):
        heard += more
    told = [part for part in heard[sent:].decode().split("<") if part]
    assert told[0] == "rest>"
    assert [f"<{part}".encode() for part in told if part.startswith("e ")] == events
    for name in "AB":
        numbers = [int(part[2:-1]) for part in told if part.startswith(f"{name} ")]
        assert numbers == sorted(set(numbers))
        # The backlog may have ended before the other figure was shown.
        assert (numbers or [None])[-1] == newest.get(name)
