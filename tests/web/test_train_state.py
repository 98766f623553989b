"""`state` of both clients on a real hub: after each step it is what a fresh SNAPSHOT would be."""

import asyncio
import contextlib
from random import Random

import pytest
from client.test_train_state import alike
from railway import STATIONS, chart, person, rac
from waiting import until
from web.test_client_js import Bridge

from trainhub.domain.model import Role
from trainhub_client import HubError, connect

PEOPLE = (
    *(person(who, "AAA", end) for who, end in zip(range(1, 6), STATIONS[1:] * 2, strict=False)),
    person(6, "BBB"),
    *(rac(10 + place, place) for place in (1, 2)),
    *(person(20 + n, status="WL", number=n, coach=None, berth=None) for n in (1, 2, 3)),
)
VIEWERS = (
    (None, None),
    (Role.PASSENGER, "IR_1"),
    (Role.PASSENGER, "IR_11"),
    (Role.PASSENGER, "IR_21"),
    (Role.TTE, "T1"),
    (Role.ADMIN, "A1"),
)
TRAIN = "54321"
CHART = {"trainNo": TRAIN, "trainName": "OLD"}
STEPS = 60


def shown(run):
    """The run without its seq, as events of others have numbers too; times to the millisecond."""
    return run and {**alike(run), "figures": run["figures"]}


async def snapshot(url, token):
    """A fresh SNAPSHOT."""
    async with connect(url, token=token) as client:
        return (await anext(aiter(client.subscribe(TRAIN))))["run"]


def step(chance, run):
    """A command of a random kind; many of them are refused."""
    someone, other = chance.choices(run["passengers"], k=2)
    berth = {"coach": "S1", "berth": chance.randrange(1, 72)}
    who = {name: someone[name] for name in ("pnr", "index")}
    place, last = run["index"], len(run["stations"]) - 1
    code = STATIONS[min(place + (1 if run["departed"] else 0), last)]
    offers = [{"offerId": each["offerId"]} for each in run["offers"]]
    more = person(chance.randrange(30, 40), berth=chance.randrange(30, 40))
    renamed = {**chance.choice(PEOPLE[1:]), "name": f"Person {chance.randrange(100)}"}
    moved = person(1, berth=chance.randrange(50, 60), name="A. Corrected")
    return chance.choice(
        [
            *[("MARK_BOARDED", who), ("MARK_NO_SHOW", who)] * 4,
            *[("ARRIVE" if run["departed"] else "DEPART", {"stationCode": code})],
            *[(chance.choice(("ACCEPT_OFFER", "DENY_OFFER", "WITHDRAW_OFFER")), o) for o in offers],
            ("UNDO_BOARDED", who),
            ("UNDO_NO_SHOW", who),
            ("ALIGHT", {**who, "reason": "MEDICAL"}),
            ("CANCEL_JOURNEY", who),
            ("CHANGE_BOARDING", {**who, "stationCode": "BBB"}),
            ("CHECK_COACH", {"coach": "S1"}),
            ("SIGN_ON", {"tte": chance.choice(("T1", "T2")), "coaches": ["S1"]}),
            ("SIGN_OFF", {"tte": "T1"}),
            ("ALLOT_BERTH", {**who, **berth, "reason": "FAMILY"}),
            ("SWAP_BERTHS", {**who, "otherPnr": other["pnr"], "otherIndex": other["index"]}),
            ("BLOCK_BERTH", {**berth, "reason": "BROKEN"}),
            ("UNBLOCK_BERTH", berth),
            ("REMARK", {"text": "No water."}),
            ("SET_DELAY", {"delayMinutes": chance.randrange(0, 90)}),
            ("SET_PLATFORM", {"stationCode": chance.choice(STATIONS), "platform": "7"}),
            ("SKIP_STATION", {"stationCode": "DDD"}),
            ("ANNOUNCE", {"text": "Tea is served."}),
            ("AMEND_CHART", {"source": "SECOND", "passengers": [more]}),
            ("AMEND_CHART", {"source": "CORRECTION", "passengers": [moved]}),
            ("AMEND_CHART", {"source": "CORRECTION", "passengers": [renamed]}),
            ("AMEND_CHART", {"source": "CORRECTION", "removePassengers": [who]}),
        ]
    )


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.gen_test(timeout=300)
async def test_a_random_journey(start_again, node, seed):
    """Viewers of each role, in Python and in JavaScript, have what a fresh SNAPSHOT shows."""
    hub = await asyncio.to_thread(start_again)
    await asyncio.to_thread(hub.ask, "/api/trains", chart(*PEOPLE, **CHART))
    url, chance = f"{hub.url.replace('http', 'ws')}/ws", Random(seed)
    tokens = hub.tokens
    given = [role and tokens.issue(user, role, [TRAIN]) for role, user in VIEWERS]
    async with contextlib.AsyncExitStack() as stack:
        trains, bridges, heard = [], [], []
        for token in given:
            client = await stack.enter_async_context(connect(url, token=token))
            trains.append(client.subscribe(TRAIN, on_event=heard.append))
            bridges.append(Bridge(node))
            stack.push_async_callback(asyncio.to_thread, bridges[-1].end)
            bridges[-1].connect(url, *([token] if token else []))
            bridges[-1].call("subscribe", train=TRAIN)
        admin = trains[-1]

        async def have_what_is_shown():
            for token, train, bridge in zip(given, trains, bridges, strict=True):
                fresh = shown(await snapshot(url, token))
                await until(lambda train=train, fresh=fresh: shown(train.state) == fresh)
                end = None
                while end != fresh:
                    end = bridge.ask("train")
                    end = shown((await asyncio.to_thread(end))["result"])

        await have_what_is_shown()
        await admin.command("REGISTER_TRAIN", **chart(*PEOPLE[1:], **{**CHART, "trainName": "NEW"}))
        await have_what_is_shown()
        await admin.command("START_JOURNEY")
        for _ in range(STEPS):
            kind, fields = step(chance, admin.state)
            with contextlib.suppress(HubError):
                await admin.command(kind, **fields)
                await have_what_is_shown()
            if admin.state["status"] != "RUNNING":
                break
    assert not [each for each in heard if each["type"] == "SNAPSHOT"]


@pytest.mark.gen_test(timeout=120)
async def test_a_corrected_name_shows_at_once(start_again):
    """The passenger's own `state` has it, also without the booking. No other passenger hears."""
    hub = await asyncio.to_thread(start_again)
    await asyncio.to_thread(hub.ask, "/api/trains", chart(*PEOPLE, **CHART))
    url, heard = f"{hub.url.replace('http', 'ws')}/ws", []
    tokens = hub.tokens
    async with contextlib.AsyncExitStack() as stack:
        trains = []
        for user in ("IR_1", "IR_2", "IR_99"):
            token = tokens.issue(user, Role.PASSENGER, [TRAIN])
            client = await stack.enter_async_context(connect(url, token=token))
            told = heard.append if user == "IR_2" else None
            trains.append(client.subscribe(TRAIN, on_event=told))
        first, second, stranger = trains
        await until(lambda: all(each.state for each in trains))

        async def amend(**fields):
            lines = {"source": "CORRECTION", "passengers": [{**PEOPLE[0], **fields}]}
            await asyncio.to_thread(hub.ask, f"/api/trains/{TRAIN}/chart", lines)

        await amend(name="A. Corrected", phone="+911234567890")
        await until(lambda: first.state["passengers"][0]["name"] == "A. Corrected")
        assert first.state["passengers"][0]["phone"] == "+911234567890"
        await amend(irctcId="IR_99")
        await until(lambda: first.state["passengers"] == [])
        await until(lambda: stranger.state["passengers"])
        await asyncio.to_thread(hub.ask, f"/api/trains/{TRAIN}/start", {})
        await until(lambda: second.state["status"] == "RUNNING")
    assert [each["type"] for each in heard] == ["JOURNEY_STARTED"]
