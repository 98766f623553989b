"""trainhub/web/poller.py: many sockets, a bounded number of them in one turn of the loop."""

import asyncio
import socket

import pytest
from waiting import until

from trainhub.web.poller import SERVED_A_TURN, LoopPoller, best_poller


class Reader:
    """Reads a byte each time that it is ready, and notes the turn."""

    def __init__(self, turns):
        self.ours, self.theirs = socket.socketpair()
        self.turns = turns
        self.read = 0

    def ready(self, read, write):
        assert read
        assert not write
        self.read += len(self.ours.recv(1))
        self.turns[-1] += 1

    def close(self):
        self.ours.close()
        self.theirs.close()


@pytest.mark.gen_test
async def test_a_turn_is_bounded_and_all_have_their_turns():
    """A hundred sockets that are always ready leave the loop to others, and get as much each."""
    poller, turns, going = best_poller(), [0], True

    def count():
        turns.append(0)
        if going:
            asyncio.get_running_loop().call_soon(count)

    readers = [Reader(turns) for _ in range(100)]
    for reader in readers:
        reader.theirs.send(b"x" * 50)
        poller.wait(reader.ours.fileno(), reader, read=True, write=False)
    count()
    await until(lambda: sum(turns) > 1_000, pause=0)
    going = False
    assert max(turns) <= SERVED_A_TURN
    assert min(reader.read for reader in readers) > 0
    await until(lambda: all(reader.read == 50 for reader in readers))
    for reader in readers:
        poller.stop(reader.ours.fileno())
        reader.close()


class Notes:
    """Notes what it was ready for."""

    def __init__(self):
        self.heard = []

    def ready(self, read, write):
        self.heard.append((read, write))


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", [best_poller, LoopPoller])
async def test_it_waits_for_what_it_is_told(kind):
    """For reading, for writing, for neither; and not after `stop`, which may be called twice."""
    poller, notes = kind(), Notes()
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    theirs.send(b"x")
    poller.wait(number, notes, read=False, write=True)
    await until(lambda: notes.heard)
    assert set(notes.heard) == {(False, True)}
    poller.wait(number, notes, read=True, write=False)
    notes.heard.clear()
    await until(lambda: notes.heard)
    assert set(notes.heard) == {(True, False)}
    poller.wait(number, notes, read=False, write=False)
    notes.heard.clear()
    await asyncio.sleep(0.01)
    poller.stop(number)
    poller.stop(number)
    assert not notes.heard
    ours.close()
    theirs.close()
