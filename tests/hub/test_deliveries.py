"""trainhub/hub/deliveries.py: each device counts once for each offer, in the log too."""

import gc
import json
from contextlib import ExitStack

import pytest
from fakes import Ear, MemoryJournal
from load import behind
from railway import RUN, TRAIN, Driver, person, rac, register_chart
from railway import chart as make_chart
from waiting import wait_for
from witness import connect

from trainhub.access.identity import Identity
from trainhub.core.audience import Standing
from trainhub.domain import commands as c
from trainhub.domain.model import Policy, Role
from trainhub.domain.offers import MOST_DEVICES
from trainhub.domain.views import offer_view
from trainhub.hub.deliveries import Deliveries

ADMIN = Identity("control", Role.ADMIN, frozenset({"*"}))
PASSENGER = Standing(Role.PASSENGER, "IR_10")


class Device:
    """A device with a socket."""


@pytest.fixture
def offered():
    """A run with one open offer to IR_10, and the seq of its UPGRADE_OFFER."""
    driver = Driver(person(1), rac(10, 1))
    driver.start()
    driver.board(10)
    driver.no_show(1)
    (offer,) = driver.state.open_by_berth.values()
    return driver, offer, seq_of(offer)


def seq_of(offer):
    return int(offer.id.rpartition(".")[2]) + 1


def test_an_offer_is_new_to_each_device_once(offered):
    """An offer is new on a device once. A device that goes leaves no entry."""
    driver, offer, seq = offered
    deliveries, phone, tablet = Deliveries(), Device(), Device()
    said = [deliveries.arrived(driver.state, seq, PASSENGER, each) for each in (phone, tablet)]
    assert said == [offer.id, offer.id]
    assert deliveries.arrived(driver.state, seq, PASSENGER, phone) is None
    del phone, tablet
    gc.collect()
    assert not deliveries._acknowledged


@pytest.mark.parametrize(
    "standing",
    [
        *(Standing(), Standing(Role.PASSENGER, "IR_1"), Standing(Role.TTE, "T1")),
        Standing(Role.TTE, "IR_10"),  # of the same name
    ],
)
def test_only_the_passenger_s_own_devices_count(offered, standing):
    """Only devices of the offer's passenger count."""
    driver, _, seq = offered
    assert Deliveries().arrived(driver.state, seq, standing, Device()) is None


def test_what_is_no_offer_is_passed_over(offered):
    """An ACK with another seq is ignored."""
    driver, _, seq = offered
    deliveries, device = Deliveries(), Device()
    for other in (-1, 0, seq - 1, seq + 1, 10**9):
        assert deliveries.arrived(driver.state, other, PASSENGER, device) is None


async def hub_with_an_offer(make_hub, journal=None, **fields):
    hub = make_hub(journal)
    whole = make_chart(person(1), rac(10, 1), person(20, irctcId="IR_10"), **fields)
    await hub.execute(register_chart(whole), ADMIN)
    await hub.execute(c.StartJourney(**TRAIN), ADMIN)
    await hub.execute(c.MarkBoarded(**TRAIN, pnr="4512345610", index=1), ADMIN)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), ADMIN)
    state = hub.state(RUN)
    (offer,) = state.open_by_berth.values()
    return hub, state, offer


@pytest.mark.gen_test
async def test_what_became_of_an_offer_is_kept_over_a_restart(make_hub):
    """After a restart, an offer has its devices, their first time, and the role of its answer."""
    journal = MemoryJournal()
    hub, state, offer = await hub_with_an_offer(make_hub, journal)
    phone, tablet = Ear(), Ear()
    for device in (phone, phone, tablet):
        await hub.acknowledge(state, seq_of(offer), PASSENGER, device)
    passenger = Identity("IR_10", Role.PASSENGER, frozenset({"12345"}))
    await hub.execute(c.AcceptOffer(**TRAIN, offer_id=offer.id), passenger)
    again = make_hub(journal)
    await again.upkeep.load()
    for each in (state, again.state(RUN)):
        view = offer_view(each.offers[offer.id], Role.TTE)
        assert (view["state"], view["answeredBy"]) == ("ACCEPTED", "PASSENGER")
        assert (view["delivered"], view["deliveredAt"]) == (2, "2026-11-23T08:00:00+05:30")
        own = offer_view(each.offers[offer.id], Role.PASSENGER)
        assert not {"delivered", "deliveredAt"} & own.keys()


@pytest.mark.gen_test
async def test_it_is_kept_through_a_snapshot(make_hub):
    """A start from a snapshot has the same deliveries as a start from events."""
    journal = MemoryJournal()
    hub, state, offer = await hub_with_an_offer(make_hub, journal)
    await hub.acknowledge(state, seq_of(offer), PASSENGER, Ear())
    await hub.execute(c.DenyOffer(**TRAIN, offer_id=offer.id), ADMIN)
    for _ in range(200):
        await hub.execute(c.Announce(**TRAIN, text="x"), ADMIN)
    await hub.upkeep.tidy()
    assert journal.snapshot_of
    again = make_hub(journal)
    await again.upkeep.load()
    found = again.state(RUN).offers[offer.id]
    assert (found.devices, found.answered_by) == (1, Role.ADMIN)
    assert found == state.offers[offer.id]


@pytest.mark.gen_test
async def test_a_late_acknowledgement_counts_too(make_hub):
    """An ACK after the offer was closed counts, so `deliveredAt` is after `closedAt`."""
    hub, state, offer = await hub_with_an_offer(make_hub)
    await hub.execute(c.WithdrawOffer(**TRAIN, offer_id=offer.id), ADMIN)
    await hub.acknowledge(state, seq_of(offer), PASSENGER, Ear())
    assert (offer.devices, offer.delivered_at) == (1, offer.closed_at)
    assert offer.state == "WITHDRAWN"


@pytest.mark.gen_test
async def test_acknowledgements_are_no_flood(make_hub):
    """An offer has at most MOST_DEVICES events, with any number of sockets and messages."""
    journal = MemoryJournal()
    hub, state, offer = await hub_with_an_offer(make_hub, journal)
    before, ears = len(journal.records), [Ear() for _ in range(3 * MOST_DEVICES)]
    for ear in ears * 3:
        await hub.acknowledge(state, seq_of(offer), PASSENGER, ear)
    assert len(journal.records) - before == offer.devices == MOST_DEVICES


@pytest.mark.gen_test
async def test_what_was_never_sent_is_not_delivered(make_hub):
    """Under APPROVAL there is no UPGRADE_OFFER to acknowledge."""
    hub, state, offer = await hub_with_an_offer(make_hub, policy="APPROVAL")
    assert state.chart.policy is Policy.APPROVAL
    await hub.acknowledge(state, seq_of(offer), PASSENGER, Ear())
    assert offer.devices == 0


@pytest.mark.gen_test
async def test_a_full_log_takes_no_acknowledgement(make_hub):
    """A full log ignores an ACK. The device may repeat it later."""
    hub, state, offer = await hub_with_an_offer(make_hub)
    ear, limit = Ear(), hub.log.limit
    hub.log.limit = 0
    await hub.acknowledge(state, seq_of(offer), PASSENGER, ear)
    assert offer.devices == 0
    hub.log.limit = limit
    await hub.acknowledge(state, seq_of(offer), PASSENGER, ear)
    assert offer.devices == 1


def device_of(hub, token, stack):
    """A passenger's socket in the train's room."""
    socket = stack.enter_context(connect(hub.url.replace("http", "ws") + "/ws"))
    socket.send(json.dumps({"type": "IDENTIFY", "token": token}))
    socket.send(json.dumps({"type": "SUBSCRIBE_TRAIN", "trainNo": "12345"}))
    heard_of(socket, "SUBSCRIBED")
    return socket


def heard_of(socket, kind):
    while (message := json.loads(socket.recv(timeout=120)))["type"] != kind:
        pass
    return message


def test_what_became_of_an_offer_outlives_a_kill_and_reaches_mongodb(start_again, database):
    """After kill -9, two acknowledgements and an acceptance are there, and in MongoDB."""
    hub = start_again()
    token = hub.token("PASSENGER", "IR_10", "12345")
    with ExitStack() as stack:
        devices = [device_of(hub, token, stack) for _ in range(2)]
        hub.ask("/api/trains/12345/passengers/4512345610/1/board", {})
        hub.ask("/api/trains/12345/passengers/4512345601/1/no-show", {})
        for socket in devices:
            offer = heard_of(socket, "UPGRADE_OFFER")
            for _ in range(2):
                ack = {"type": "ACK", "trainNo": "12345", "seq": offer["seq"]}
                socket.send(json.dumps(ack))
            socket.send(json.dumps({"type": "PING"}))
            heard_of(socket, "PONG")
        accept = {"type": "ACCEPT_OFFER", "offerId": offer["data"]["offerId"]}
        devices[0].send(json.dumps(accept))
        heard_of(devices[0], "DONE")
        hub.kill()
    hub = start_again()
    (found,) = hub.ask("/api/trains/12345/offers?state=ACCEPTED")
    assert (found["delivered"], found["answeredBy"]) == (2, "PASSENGER")
    assert found["deliveredAt"] <= found["closedAt"]
    wait_for(lambda: not behind(hub.folder))
    stored = database.offers.find_one({"state": "ACCEPTED"})
    assert (stored["delivered"], stored["answeredBy"]) == (2, "PASSENGER")
    assert stored["deliveredAt"] <= stored["closedAt"]
    kinds = [each["type"] for each in database.events.find({"run": RUN})]
    assert kinds.count("UPGRADE_DELIVERED") == 2
