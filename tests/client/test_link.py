"""trainhub_client/link.py: the real client over a simulated network, on simulated time."""

import asyncio
import itertools
import math
import random
from random import Random

import pytest
from simulated import RUN, ModelHub, Network, simulate

from trainhub_client import connect

DAY_HOURS = 24


class Reader:
    """An app that holds each message against what it was given before."""

    def __init__(self):
        self.seq = None
        self.snapshots = 0

    def snapshot(self, message):
        assert message["run"]["texts"] == message["seq"]
        self.seq = message["seq"]
        self.snapshots += 1

    def event(self, message):
        assert message["seq"] == self.seq + 1, f"{message['seq']} came after {self.seq}"
        self.seq += 1

    def take(self, message):
        self.snapshot(message) if message["type"] == "SNAPSHOT" else self.event(message)


@pytest.mark.slow
@pytest.mark.made_up
@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_on_a_faulty_link(seed):
    """24 hours: each event once and in order, each command once, and a dead link is noticed.

    The link is cut in the middle of messages, falls silent in each direction, is slow, and cannot
    be opened; the hub restarts, forgets what was missed, and does not know the train for a while.
    """
    print("seed", seed)
    random.seed(seed)  # of the client's own backoff
    chance = Random(seed)
    hub = ModelHub(chance)
    network = Network(hub)
    calls, iterated, told = Reader(), Reader(), []
    silent_since, longest = None, 0.0

    async def slow_handler(message):
        await asyncio.sleep(chance.choice((0, 0, 0.01, 3)))
        calls.event(message)

    def note(state):
        nonlocal silent_since, longest
        if state == "waiting" and silent_since is None:
            assert client.reason != "the hub does not answer", "a healthy link was dropped"
        elif state == "waiting":
            longest = max(longest, asyncio.get_running_loop().time() - silent_since)
            silent_since = None

    async def be_a_faulty_link():
        nonlocal silent_since
        while True:
            await asyncio.sleep(chance.expovariate(1 / 120))
            network.rate = chance.choice((1e6, 1e6, 10_000))
            hub.padding = chance.choice((0, 1_000, 100_000))
            network.trouble = chance.choice((None, None, "refuse", "hang"))
            what = chance.choice(("cut", "inside", "silent", "deaf", "restart", "loading", "epoch"))
            line = network.lines[-1] if network.lines else None
            if what in ("restart", "epoch"):
                hub.restart(new_epoch=what == "epoch" and chance.random() < 0.2)
            elif what == "loading":
                hub.refusal = chance.choice(("UNKNOWN_TRAIN", "UNAVAILABLE"))
                hub.restart()
            elif line is not None and not line.peer.is_closing():
                if what == "cut":
                    line.cut()
                elif what == "inside":
                    line.cut_after = chance.randrange(1, 400)
                else:
                    line.silent |= what == "silent" or chance.random() < 0.5
                    line.peer.silent |= what == "deaf" or chance.random() < 0.5
                    if line.silent:
                        silent_since = silent_since or asyncio.get_running_loop().time()
                    else:
                        silent_since = math.inf  # events may go on: noticed with the next command
            await asyncio.sleep(chance.choice((0.1, 5, 60)))
            network.trouble = hub.refusal = None

    async def announce():
        while True:
            await asyncio.sleep(chance.expovariate(1 / 20))
            hub.announce("x")

    async def ask(client):
        for number in itertools.count():
            await asyncio.sleep(chance.expovariate(1 / 60))
            text = f"{number}" + "y" * chance.choice((0, 0, 30_000))
            asked.append(asyncio.create_task(client.command("ANNOUNCE", **RUN, text=text)))

    async def iterate(train):
        async for message in train:
            iterated.take(message)
            await asyncio.sleep(chance.choice((0, 0, 2)))

    asked, client = [], None

    async def main():
        nonlocal client
        async with connect(
            "ws://hub/ws", token="T1", on_state=note, on_error=told.append
        ) as client:
            client.subscribe("12345", on_event=slow_handler, on_snapshot=calls.snapshot)
            work = [be_a_faulty_link(), announce(), ask(client)]
            tasks = [asyncio.create_task(each) for each in work]
            reading = asyncio.create_task(iterate(client.subscribe("12345")))
            await asyncio.sleep(DAY_HOURS * 3600)
            for each in tasks:
                each.cancel()
            network.trouble = hub.refusal = None
            network.rate = 1e6
            await asyncio.sleep(600)
            assert calls.seq == iterated.seq == len(hub.log)
            assert client.state == "live"
            assert not reading.done()
            results = [task.result() for task in asked]
            assert len({each["seq"] for each in results}) == len(results) > 1000

    simulate(main, network, DAY_HOURS + 1)
    numbers = [text.rstrip("y") for text, user in hub.log if user == "T1"]
    assert numbers == [str(number) for number in range(len(asked))]
    assert calls.snapshots > 5
    assert {each.code for each in told} <= {"UNKNOWN_TRAIN", "UNAVAILABLE"}
    assert 0 < longest <= 116  # 25 quiet seconds, and 90 after the PING while a mark is large
    print("events", len(hub.log), "commands", len(asked), "snapshots", calls.snapshots, longest)
