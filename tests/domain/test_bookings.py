"""trainhub/domain/bookings.py: the address of a booking, and journeys still to be made."""

import pytest
from railway import TRAIN, Driver, person

from trainhub.domain import commands as c
from trainhub.domain.bookings import email_of, stranded, travels


def test_an_address_is_a_booking_s_own_or_its_pnr_s():
    """A person has their own address, else one of the same user and PNR, never of another PNR.

    An address that no e-mail can go to counts as none.
    """
    party = {"pnr": "4512345601", "irctcId": "IR_1"}
    driver = Driver(
        person(1, **party, email=None),
        person(2, **party | {"index": 2}),
        person(3, **party | {"index": 3, "irctcId": "IR_3"}, email=None),
        person(4, irctcId="IR_1", email=None),
        person(5, **party | {"index": 5}, email="person5@@example.org"),
    )
    assert [email_of(driver.state, each) for each in driver.state.passengers] == [
        "person2@example.org",
        "person2@example.org",
        None,
        None,
        "person2@example.org",
    ]


def stranded_of(driver):
    return {int(each.booking.pnr[-2:]) for each in stranded(driver.state)}


def test_a_skipped_destination_is_still_to_be_reached():
    """Passengers for a skipped station travel until the next station that is served."""
    driver = Driver(person(1, "AAA", "BBB"), person(2, "AAA", "CCC"))
    driver.start()
    driver.board(1)
    driver.board(2)
    driver.give(c.SkipStation(**TRAIN, station_code="BBB"))
    driver.now = driver.state.here.scheduled_departure
    driver.depart("AAA")
    assert stranded_of(driver) == {1, 2}
    driver.now = driver.state.stops[2].scheduled_arrival
    driver.arrive("CCC")
    assert stranded_of(driver) == set()


@pytest.mark.parametrize(
    ("kind", "there"),
    [(c.MarkBoarded, True), (c.MarkNoShow, True), (c.CancelJourney, False), (None, True)],
)
def test_a_user_travels_until_the_journey_is_over_or_given_up(kind, there):
    """A user travels with an NT, which can be undone, but not with a cancelled journey."""
    driver = Driver(person(1, "AAA", "BBB"))
    driver.start()
    if kind is not None:
        driver.give(kind(**TRAIN, pnr="4512345601", index=1))
    assert travels(driver.state, "IR_1") is there
    assert not travels(driver.state, "IR_2")


def test_a_passenger_who_has_arrived_travels_no_more():
    """A user travels if one of several bookings is under way."""
    driver = Driver(person(1, "AAA", "BBB"), person(2, irctcId="IR_2"))
    driver.start()
    driver.board(1)
    driver.go_to("BBB")
    assert not travels(driver.state, "IR_1")
    assert travels(driver.state, "IR_2")
