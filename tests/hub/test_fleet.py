"""trainhub/hub/fleet.py: each follower has the figures of all runs, and gets only what is new."""

from random import Random

import pytest
from callers import ADMIN, TTE, join, running
from fakes import Ear
from railway import RUN, TRAIN, register

from trainhub.domain import commands as c

OTHER = "54321/2026-11-23"


class Follower(Ear):
    """A client that applies what it hears, as an app does."""

    def __init__(self):
        super().__init__()
        self.hub, self.trains = {}, {}

    def send(self, frames):
        super().send(frames)
        for message in self.writes[-1]:
            self.apply(**message)

    def apply(self, type, whole, hub, trains, gone):  # noqa: A002
        if whole:
            self.hub, self.trains = {}, {}
        for run in gone:
            self.trains.pop(run, None)  # it may have come and gone while this was behind
        for news in trains:
            self.trains[news["run"]] = {**self.trains.get(news["run"], {}), **news}
        self.hub |= hub


async def follow(hub, follower=None):
    follower = follower or Follower()
    answers = []
    await hub.fleet.join(follower, lambda: answers.append(len(follower.writes)))
    assert answers == [len(follower.writes) - 1]  # the answer comes before the figures
    return follower


def announce(hub, text="hello"):
    return hub.execute(c.Announce(**TRAIN, text=text), ADMIN)


@pytest.mark.gen_test
async def test_the_first_message_has_all(make_hub):
    """A follower begins with all figures of the hub and of all runs."""
    hub = make_hub()
    hub.fleet.hub_figures = lambda: {"version": "1"}
    await running(hub)
    follower = await follow(hub)
    (message,) = follower.heard
    assert message["whole"]
    assert message["hub"] == {"version": "1"}
    (train,) = message["trains"]
    assert (train["run"], train["seq"], train["status"]) == (RUN, 2, "RUNNING")
    assert train["sockets"]["total"] == 0


@pytest.mark.gen_test
async def test_later_messages_have_only_what_is_new(make_hub):
    """A run without news is left out, and a run with news has only the fields that changed."""
    hub = make_hub()
    figures = {"version": "1", "sockets": 1}
    hub.fleet.hub_figures = lambda: dict(figures)
    await running(hub)
    await hub.execute(register(trainNo="54321"), ADMIN)
    follower = await follow(hub)
    figures["sockets"] = 2
    await announce(hub)
    await join(hub, Ear(), TTE)
    await hub.fleet.tell()
    message = follower.heard[-1]
    assert not message["whole"]
    assert message["hub"] == {"sockets": 2}
    (news,) = message["trains"]
    assert news.keys() == {"run", "seq", "sockets"}
    assert (news["run"], news["seq"], news["sockets"]["ttes"]) == (RUN, 3, 1)
    await hub.fleet.tell()
    assert follower.heard[-1]["trains"] == []


@pytest.mark.gen_test
async def test_a_slow_client_gets_all_news_later(make_hub):
    """A follower that reads slowly gets no frames meanwhile, and then one with all changes."""
    hub = make_hub()
    await running(hub)
    slow, quick = await follow(hub), await follow(hub)
    slow.is_behind = True
    for text in ("one", "two"):
        await announce(hub, text)
        await hub.fleet.tell()
    assert len(slow.writes) == 1
    slow.is_behind = False
    await hub.fleet.tell()
    assert slow.trains == quick.trains
    assert slow.trains[RUN]["seq"] == 4
    assert [len(each.writes) for each in (slow, quick)] == [2, 4]


@pytest.mark.gen_test
async def test_a_run_that_leaves_and_comes_again(make_hub):
    """It is among those that are gone, once, and later a run like any other."""
    hub = make_hub()
    state = await running(hub)
    follower, slow = await follow(hub), await follow(hub)
    slow.is_behind = True
    del hub.runs._runs[RUN]
    await hub.fleet.tell()
    assert follower.heard[-1]["gone"] == [RUN]
    hub.runs._runs[RUN] = state
    await hub.fleet.tell()
    slow.is_behind = False
    await hub.fleet.tell()
    assert slow.heard[-1]["gone"] == []
    assert slow.trains == follower.trains
    assert follower.trains[RUN]["trainName"] == "TEST EXP"
    await hub.fleet.tell()
    assert hub.fleet._gone == {}


@pytest.mark.gen_test
async def test_a_client_that_left_gets_no_more(make_hub):
    """A client that left is forgotten, and a turn without followers does no work."""
    hub = make_hub()
    await running(hub)
    follower = await follow(hub)
    assert follower in hub.fleet
    hub.fleet.leave(follower)
    await announce(hub)
    await hub.fleet.tell()
    assert len(follower.writes) == 1
    assert follower not in hub.fleet
    hub.fleet.leave(follower)  # twice is no fault


@pytest.mark.gen_test
async def test_nothing_is_told_before_it_is_durable(make_hub, io_loop):
    """Figures wait for the commit of what they show."""
    hub = make_hub()
    await running(hub)
    follower = await follow(hub)
    gate = hub._journal.gate
    gate.clear()
    spoken = io_loop.asyncio_loop.create_task(announce(hub))
    turn = io_loop.asyncio_loop.create_task(hub.fleet.tell())
    for _ in range(20):
        await io_loop.run_in_executor(None, int)
    assert len(follower.writes) == 1
    gate.set()
    await turn
    await spoken
    assert follower.trains[RUN]["seq"] == 3


@pytest.mark.gen_test
async def test_random_followers_have_what_a_new_one_gets(make_hub):
    """After any order of joins, pauses, changes and turns all have the same figures."""
    random = Random(5)
    hub = make_hub()
    await running(hub)
    await hub.execute(register(trainNo="54321"), ADMIN)
    followers, held = [await follow(hub)], {}
    for _ in range(300):
        step = random.randrange(6)
        each = random.choice(followers)
        if step == 0 and len(followers) < 8:
            followers.append(await follow(hub))
        elif step == 1:
            each.is_behind = not each.is_behind
        elif step == 2:
            await announce(hub)
        elif step == 3 and OTHER in hub.runs._runs:
            held[OTHER] = hub.runs._runs.pop(OTHER)
        elif step == 4 and held:
            hub.runs._runs[OTHER] = held.pop(OTHER)
        else:
            await hub.fleet.tell()
    for each in followers:
        each.is_behind = False
    await hub.fleet.tell()
    whole = await follow(hub)
    assert all(each.trains == whole.trains for each in followers)
