"""trainhub/web/drain.py: all sockets are told to leave, and to come back at different times."""

import pytest

from trainhub.web.close_codes import GOING_AWAY
from trainhub.web.drain import RETRY_EARLIEST, RETRY_SPREAD, SOCKETS_A_TURN, Drain
from trainhub.web.websocket import TrainSocket


class Leaver:
    """A socket that records what it was told."""

    def __init__(self, told):
        self._told = told

    def leave(self, code, reason, retry_after_ms):
        self._told.append((self, code, reason, retry_after_ms))


async def drained(count):
    told, drain = [], Drain()
    waits = [Leaver(told) for _ in range(count)]
    await drain.run(waits, 1001, "why")
    assert drain.begun
    assert {each for each, *_ in told} == set(waits)
    assert len(told) == count
    return waits, told


def test_few_are_told_at_once():
    """One batch is told without a turn of the loop: a small hub stops at once."""
    told, drain = [], Drain()
    with pytest.raises(StopIteration):
        drain.run([Leaver(told) for _ in range(SOCKETS_A_TURN)], 1001, "why").send(None)
    assert len(told) == SOCKETS_A_TURN
    assert {(code, reason) for _, code, reason, _ in told} == {(1001, "why")}


@pytest.mark.gen_test
async def test_a_hub_without_sockets():
    """Without sockets nothing is sent and no time passes."""
    assert await drained(0) == ([], [])


@pytest.mark.gen_test
async def test_a_crowd_is_told_to_come_back_over_a_while():
    """15,000 return within half a minute, at random, at most twice the average in a second."""
    leavers, told = await drained(15_000)
    waits = [wait for *_, wait in told]
    assert min(waits) >= RETRY_EARLIEST
    assert max(waits) < RETRY_EARLIEST + RETRY_SPREAD + 30_000
    seconds = [0] * 40
    for wait in waits:
        seconds[wait // 1000] += 1
    assert max(seconds) < 2 * 15_000 / 32
    assert [each for each, *_ in told] != leavers


@pytest.mark.gen_test
async def test_sockets_may_close_meanwhile(raw):
    """The drain closes the sockets that were open when it began, and some may have gone."""
    clients = [(await raw())[0] for _ in range(3)]
    first, *_ = handlers = list(TrainSocket.sockets)
    first.close(1000)
    await Drain().run(handlers, GOING_AWAY, "why")
    assert [await each.close_code() for each in clients].count(GOING_AWAY) == 2


@pytest.mark.gen_test
async def test_once_begun_no_client_comes_in(call, site, connect):
    """/readyz and new sockets get 503 and when to try again; other requests are answered."""
    client = await connect()
    await site.web.drain.run([], GOING_AWAY, "why")
    for path in ("/readyz", "/ws"):
        answer = await call("GET", path)
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert answer.headers["Retry-After"] == "5"
    assert (await call("GET", "/healthz")).status == 200
    assert (await call("GET", "/api/trains")).status == 200
    await client.ask("PONG", "PING")
