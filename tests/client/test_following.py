"""trainhub_client/following.py: the place moves only with what the app was given."""

import asyncio

import pytest

from trainhub_client import following
from trainhub_client.following import Subscription

RUN = {"trainNo": "12345", "startDate": "2026-11-23"}


class Client:
    """A client that records which subscription asks for missed messages, and what an app has."""

    def __init__(self):
        self.asked = []
        self.renewed = []
        self.has = []

    def catch_up(self, subscription):
        self.asked.append(subscription.last)

    def renew(self, subscription):
        self.renewed.append(subscription)

    def handed(self, message):
        self.has.append(message["seq"])


def answer(recovered, epoch="e1", seq=5):
    return {"type": "SUBSCRIBED", **RUN, "epoch": epoch, "seq": seq, "recovered": recovered}


def snapshot(seq, epoch="e1"):
    return {"type": "SNAPSHOT", **RUN, "epoch": epoch, "seq": seq, "run": {}}


def event(seq):
    return {"type": "ANNOUNCEMENT", **RUN, "seq": seq, "data": {}}


def follow(client=None, since=None, event=None, snapshot=None, figures=None):
    client = client or Client()
    return Subscription(client, "12345", None, since, event, snapshot, figures, None, None)


@pytest.mark.gen_test
async def test_a_snapshot_on_its_way_is_no_place():
    """Before the SNAPSHOT a reconnect asks from the app's last place, or for all."""
    new, older = follow(), follow(since={"epoch": "e0", "seq": 9})
    for each in (new, older):
        each.join(answer(recovered=False))
        each.leave()
    assert new.last is new.since is None
    assert older.last == older.since == {"epoch": "e0", "seq": 9}


@pytest.mark.gen_test
async def test_events_that_come_before_their_snapshot_wait_for_it():
    """The app gets the SNAPSHOT, then each newer event once."""
    heard = []
    train = follow(event=lambda m: heard.append(m["seq"]), snapshot=lambda _: heard.append("S"))
    train.join(answer(recovered=False))
    train.take(event(5))
    train.take(event(6))
    assert not heard
    train.take(snapshot(5))
    assert heard == ["S", 6]
    assert train.last == train.since == {"epoch": "e1", "seq": 6}


@pytest.mark.gen_test
async def test_an_older_snapshot_is_known_by_its_epoch_and_seq():
    """A SNAPSHOT is older only with the same epoch and a lower seq."""
    train = follow(since={"epoch": "e1", "seq": 9})
    assert train.is_older(snapshot(8))
    assert not train.is_older(snapshot(9))
    assert not train.is_older(snapshot(3, epoch="e2"))


@pytest.mark.gen_test
async def test_an_async_handler_gets_one_after_the_other_and_since_waits_for_it():
    """`since` moves when the handler has finished."""
    at_work, heard = asyncio.Event(), []

    async def handler(message):
        await at_work.wait()
        heard.append(message["seq"])

    train = follow(since={"epoch": "e1", "seq": 1}, event=handler)
    train.join(answer(recovered=True))
    for seq in (2, 3, 4):
        train.take(event(seq))
    await asyncio.sleep(0)
    assert (train.since["seq"], train.last["seq"], heard) == (1, 4, [])
    at_work.set()
    while len(heard) < 3 or train.since["seq"] < 4:
        await asyncio.sleep(0)
    assert heard == [2, 3, 4]


@pytest.mark.gen_test
async def test_a_handler_that_raises_has_had_its_message():
    """A message whose handler failed is not given again."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def stumble(message):
        raise ValueError(message["seq"])

    train = follow(since={"epoch": "e1", "seq": 1}, event=stumble)
    train.join(answer(recovered=True))
    train.take(event(2))
    assert train.since == {"epoch": "e1", "seq": 2}


@pytest.mark.gen_test
async def test_iteration_moves_since_with_each_message():
    """Messages in the client's buffer do not move `since`."""
    train = follow()
    train.join(answer(recovered=False))
    for message in (snapshot(5), event(6), event(7)):
        train.take(message)
    messages, places = aiter(train), []
    for _ in range(2):
        await anext(messages)
        places.append(train.since["seq"])
    assert places == [5, 6]
    assert train.last["seq"] == 7


@pytest.mark.gen_test
async def test_the_app_has_what_its_handler_was_called_with_or_its_iteration_gave():
    """What waits for either is not acknowledged yet, and what has no handler never is."""
    client, at_work = Client(), asyncio.Event()
    train = follow(client, {"epoch": "e1", "seq": 1}, event=lambda _: at_work.wait())
    train.join(answer(recovered=True))
    for seq in (2, 3):
        train.take(event(seq))
    assert client.has == [2]
    at_work.set()
    while client.has != [2, 3]:
        await asyncio.sleep(0)
    client = Client()
    train = follow(client)
    train.join(answer(recovered=False))
    for message in (snapshot(5), event(6), event(7)):
        train.take(message)
    assert not client.has
    messages = aiter(train)
    await anext(messages)
    await anext(messages)
    assert client.has == [5, 6]
    client = Client()
    train = follow(client, event=print)
    train.join(answer(recovered=False))
    train.take(snapshot(5))
    assert not client.has


@pytest.mark.gen_test
async def test_the_app_has_what_changed_the_state_that_it_was_given():
    """An app that reads `state` alone needs no push for what it shows."""
    client, seen = Client(), []
    train = Subscription(client, "12345", *([None] * 7), on_change=seen.append)
    train.join(answer(recovered=False))
    train.take(snapshot(5))
    train.take(event(6))
    assert len(seen) == 2
    assert client.has == [6]


@pytest.mark.gen_test
async def test_what_does_not_fit_is_asked_for_when_there_is_room(monkeypatch):
    """With a slow handler the buffer is bounded, and nothing is missed."""
    monkeypatch.setattr(following, "MOST_UNREAD", 3)
    client, at_work, heard = Client(), asyncio.Event(), []

    async def handler(message):
        await at_work.wait()
        heard.append(message["seq"])

    train = follow(client, {"epoch": "e1", "seq": 0}, event=handler)
    train.join(answer(recovered=True))
    for seq in range(1, 10):
        train.take(event(seq))
    at_work.set()  # one is at work, three wait
    while not client.asked:
        await asyncio.sleep(0)
    assert heard == [1, 2, 3, 4]
    assert client.asked == [{"epoch": "e1", "seq": 4}]


@pytest.mark.gen_test
async def test_another_user_begins_without_a_place():
    """The next user gets no message and no place of the user before."""
    train = follow()
    train.join(answer(recovered=False))
    train.take(snapshot(5))
    train.restart()
    assert train.last is train.since is None
    train.join(answer(recovered=False))
    train.take(snapshot(6))
    assert (await anext(aiter(train)))["seq"] == 6


def told(seq, delay):
    data = {"delayMinutes": delay, "reason": None, "next": None}
    return {"type": "DELAY_UPDATE", **RUN, "seq": seq, "timestamp": "", "data": data}


def run_at(seq, **fields):
    """A SNAPSHOT of a run without stations ahead."""
    stop = dict.fromkeys(
        (
            *("scheduledArrival", "expectedArrival", "actualArrival"),
            *("scheduledDeparture", "expectedDeparture", "actualDeparture"),
        )
    )
    stations = [{"code": "AAA", "name": "A", "index": 0, "skipped": False, **stop}]
    run = {"seq": seq, "index": 0, "departed": False, "delayMinutes": 0, "stations": stations}
    return {**snapshot(seq), "run": {**run, "station": {}, "next": None, **fields}}


@pytest.mark.gen_test
async def test_state_is_as_new_as_the_newest_message():
    """It moves with events and figures, also when the app has not read them; a change is new."""
    states = []
    train = Subscription(Client(), "12345", None, None, None, None, None, None, None, states.append)
    train.join(answer(recovered=False, seq=1))
    train.take(run_at(1))
    train.take(told(2, 7))
    train.take({"type": "PRESENCE", **RUN, "data": {}})
    train.take({"type": "BOARDING_UPDATE", **RUN, "data": {"classes": []}})
    train.take(told(2, 9))  # not new
    assert [each["delayMinutes"] for each in states] == [0, 7, 7]
    assert train.state is states[-1]
    assert (train.state["seq"], train.state["figures"]) == (2, {"classes": []})
    train.restart()
    assert train.state is None


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.gen_test
async def test_state_asks_for_a_snapshot_that_the_app_does_not_hear_of(late):
    """After an event that does not tell all, and for a subscription that goes on from `since`."""
    client, heard = Client(), []
    since = {"epoch": "e1", "seq": 1} if late else None
    train = follow(client, since, lambda m: heard.append(m["seq"]), heard.append)
    train.join(answer(recovered=late, seq=1))
    if not late:
        train.take(run_at(1))
        heard.clear()
        train.take({**told(2, 0), "type": "CHART_AMENDED"})
    assert client.renewed == []  # the app has not read the state so far
    assert (train.state is None) is late
    assert client.renewed == [train]
    train.renews = True
    train.take(told(3, 7))
    assert (train.state or {}).get("delayMinutes") == (None if late else 0)
    train.take(run_at(3, delayMinutes=7))
    assert train.state["delayMinutes"] == 7
    train.take(told(4, 8))
    assert train.state["delayMinutes"] == 8
    assert heard == ([3, 4] if late else [2, 3, 4])
    assert train.last == {"epoch": "e1", "seq": 4}
    assert client.renewed == [train]
