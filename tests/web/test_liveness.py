"""trainhub/web/liveness.py: the hub tells slow clients from clients that are gone."""

import contextlib
import socket
import time

from waiting import PATIENCE

from trainhub.web.liveness import Liveness, Sent, sent

BEAT = 25


def beats(*what):
    """Return True for each beat (heard, taken, waiting, behind) at which the client is alive."""
    liveness, found = Liveness(BEAT), []
    for heard, *now, behind in what:
        liveness.heard = liveness.heard or heard
        found.append(liveness.beat(Sent(*now), behind))
    return found


def test_a_client_that_answers_stays():
    """Any frame since the last beat counts."""
    assert beats(*[(True, 100, False, False)] * 5) == [True] * 5


def test_a_client_that_is_silent_for_a_whole_beat_is_gone():
    """A ping was not answered; a ping that the client's kernel accepted is no sign of life."""
    ping = 2
    silent = [(False, 100 + ping * number, False, False) for number in range(3)]
    assert beats(*silent) == [True, False, False]
    assert beats((True, 0, True, False), (False, 0, True, False)) == [True, False]


def test_a_client_that_reads_waiting_bytes_is_alive():
    """A client that reads a large snapshot at 10 kB/s counts as alive until its end."""
    slow = [(False, 250_000 * number, True, False) for number in range(10)]
    end = [(False, 250_000 * 9 + 2, False, False)] * 2
    assert beats(*slow, *end) == [True] * 10 + [False] * 2


def test_while_frames_wait_the_kernel_watches():
    """TCP_USER_TIMEOUT ends a connection that takes nothing."""
    assert beats(*[(False, 0, True, True)] * 5) == [True] * 5


def test_what_a_proxy_has_taken_gives_more_time():
    """The ping comes after 514 KB at 10 kB/s: that gives two more beats, and no more."""
    at_once = [(True, 200, False, False), *[(False, 514_000, False, False)] * 6]
    assert beats(*at_once) == [True] * 5 + [False] * 2
    endless = [(True, 0, False, False), *[(False, 10**9, False, False)] * 6]
    assert beats(*endless) == [True] * 5 + [False] * 2


def pair(room):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.connect(server.getsockname())
        return server.accept()[0], client


def test_what_the_kernel_says():
    """`taken` has the bytes that the other side acknowledged, `waiting` the others."""
    ours, client = pair(4_096)
    with ours, client:
        assert sent(ours) == Sent(0, False)
        ours.sendall(b"x" * 100)
        deadline = time.monotonic() + PATIENCE
        while sent(ours) != Sent(100, False):
            assert time.monotonic() < deadline
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65_536)
        first = sent(ours)
        assert first.waiting
        client.recv(1 << 20)
        while sent(ours).taken <= first.taken:
            assert time.monotonic() < deadline
    assert sent(ours) == Sent()  # it is closed
