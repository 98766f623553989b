"""trainhub/deliveries.py: on how many devices an open offer has arrived."""

import pytest
from railway import RUN, TRAIN, Driver, person, rac

from trainhub.deliveries import Deliveries
from trainhub.domain import commands as c
from trainhub.domain.model import Role
from trainhub.identity import Standing
from trainhub.journal import Record

PHONE, TABLET = object(), object()
PASSENGER = Standing(Role.PASSENGER, "IR_10")


@pytest.fixture
def offered():
    """A run with one open offer, to IR_10, and the seq of its UPGRADE_OFFER."""
    driver = Driver(person(1), rac(10, 1))
    driver.start()
    driver.board(10)
    driver.no_show(1)
    (offer,) = driver.state.open_by_berth.values()
    return driver, offer, int(offer.id.rpartition(".")[2]) + 1


def test_each_device_counts_once(offered):
    """However often it says so."""
    driver, offer, seq = offered
    deliveries = Deliveries()
    assert deliveries.count(offer.id) == 0
    for device in (PHONE, PHONE, TABLET):
        deliveries.acknowledge(driver.state, seq, PASSENGER, device)
    assert deliveries.count(offer.id) == 2


@pytest.mark.parametrize(
    "standing",
    [
        *(Standing(), Standing(Role.PASSENGER, "IR_1"), Standing(Role.TTE, "T1")),
        Standing(Role.TTE, "IR_10"),  # of the same name
    ],
)
def test_only_the_passenger_s_own_devices_count(offered, standing):
    """Nobody else was told of the offer as a passenger."""
    driver, offer, seq = offered
    deliveries = Deliveries()
    deliveries.acknowledge(driver.state, seq, standing, PHONE)
    assert deliveries.count(offer.id) == 0


def test_what_is_no_offer_is_passed_over(offered):
    """Any other seq, of the past or of the future."""
    driver, offer, seq = offered
    deliveries = Deliveries()
    for other in (-1, 0, seq - 1, seq + 1, 10**9):
        deliveries.acknowledge(driver.state, other, PASSENGER, PHONE)
    assert deliveries.count(offer.id) == 0


def test_nothing_is_left_of_an_offer_that_is_closed(offered):
    """However it ended; an acknowledgement that comes late is passed over."""
    driver, offer, seq = offered
    deliveries = Deliveries()
    deliveries.acknowledge(driver.state, seq, PASSENGER, PHONE)
    events = driver.give(c.DenyOffer(**TRAIN, offer_id=offer.id))
    deliveries.forget(Record(0, RUN, 0, event) for event in events)
    deliveries.acknowledge(driver.state, seq, PASSENGER, PHONE)
    assert deliveries._devices == {}
