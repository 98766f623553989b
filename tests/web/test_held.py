"""trainhub/web/held.py: the bytes that wait are bounded, for an address and for all clients."""

import asyncio
import socket

import pytest
from callers import OPERATOR
from railway import chart
from waiting import until

from trainhub.domain.commands import RegisterTrain
from trainhub.hub.protocol import read_command
from trainhub.web.held import HeldBytes
from trainhub.web.limits import Limits

MOST = 2 << 20
REQUEST = b"GET /api/trains/12345 HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Connection:
    """A web.held.Holder that records whether it was cut off."""

    def __init__(self):
        self.is_cut_off = False

    def cut_off(self):
        self.is_cut_off = True


@pytest.fixture
def settings_of_web():
    return {"limits": Limits(max_held_bytes=MOST)}


def test_an_address_has_half_of_all_and_its_longest_behind_goes_first():
    """Above it the address's longest waiting connection is cut off; other addresses keep theirs."""
    held = HeldBytes(1_000)
    other, crowd = Connection(), [Connection() for _ in range(20)]
    held.hold(other, "10.0.0.2", 400)
    for each in crowd:
        held.hold(each, "10.0.0.1", 100)
    assert not other.is_cut_off
    assert [each.is_cut_off for each in crowd] == [True] * 15 + [False] * 5
    assert (held.total, held.cut_off) == (900, 15)


def test_all_together_have_a_bound_and_the_address_with_the_most_makes_room():
    """The rule holds for this machine too, where a proxy may speak for many clients."""
    held = HeldBytes(1_000)
    own, other = [Connection() for _ in range(9)], Connection()
    for each in own:
        held.hold(each, "127.0.0.1", 100)
    assert not any(each.is_cut_off for each in own)
    held.hold(other, "10.0.0.1", 300)
    assert [each.is_cut_off for each in own] == [True] * 2 + [False] * 7
    assert not other.is_cut_off


def test_a_connection_that_has_read_leaves_no_trace():
    """A connection that has caught up and falls behind again is the newest."""
    held = HeldBytes(1_000)
    first, second = Connection(), Connection()
    held.hold(first, "10.0.0.1", 300)
    held.hold(second, "10.0.0.1", 100)
    held.hold(first, "10.0.0.1", 0)
    held.hold(first, "10.0.0.1", 450)
    assert (first.is_cut_off, second.is_cut_off) == (False, True)
    held.hold(first, "10.0.0.1", 0)
    held.hold(Connection(), "10.0.0.9", 0)
    assert held.total == 0
    assert (held._of_address, held._connections) == ({}, {})


def test_it_says_so_before_it_comes_to_that():
    """A warning in megabytes is in /readyz before connections are cut off."""
    held = HeldBytes(4 << 20)
    held.hold(Connection(), "127.0.0.1", 1 << 20)
    assert held.complaints() == []
    held.hold(Connection(), "127.0.0.1", 2 << 20)
    assert held.complaints() == ["clients leave 3 of 4 MB unread, at which connections are cut off"]


@pytest.mark.gen_test
async def test_unread_answers_are_bounded(site, http_server, http_port, call):
    """Of a crowd that asks and does not read, the longest waiting are closed first."""
    stations = [
        {"code": f"S{n:03}", "name": "न" * 900, "distanceKm": n, "day": 1}
        | ({"departure": "09:00"} if n == 0 else {"arrival": "09:00", "departure": "09:00"})
        for n in range(150)
    ]
    long = chart(stations=stations, coaches=[], passengers=[])
    await site.hub.execute(read_command(RegisterTrain, long), OPERATOR)
    crowd = []
    for _ in range(12):
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        each.setblocking(False)
        crowd.append(each)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(each, ("127.0.0.1", http_port))
        # The kernel buffers the first megabytes.
        await loop.sock_sendall(
            each, 9 * b"GET /api/trains/12345 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
    held = site.web.held
    await until(lambda: held.cut_off)
    assert MOST // 2 < held.total <= MOST
    figures = (await call("GET", "/api/monitor")).json["clients"]
    assert figures["heldLimit"] == MOST
    assert figures["cutOff"] == held.cut_off
    for each in crowd:
        each.close()
    await until(lambda: held.total == 0)


@pytest.mark.gen_test
async def test_bodies_that_are_not_sent_to_the_end_count_too(site, http_server, http_port):
    """Their bytes are released with the connection, or once the request is refused."""
    writers = []
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", http_port)
        head = (
            b"POST /api/trains/1/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n"
        )
        writer.write(head + b"x" * 50_000)
        writers.append(writer)
    await until(lambda: site.web.held.total == 150_000)
    for writer in writers:
        writer.close()
    await until(lambda: site.web.held.total == 0)
