"""The journeys of samples.py driven to their ends: every type of event, in its place."""

from railway import TRAIN, Driver
from samples import APPROVAL, JOURNEY, Step

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.hub.protocol import read_command


def drive(journey: tuple[Step, ...]) -> Driver:
    """A run on which all of a journey has happened; each offer has arrived on a device."""
    driver = Driver(policy=journey[0].fields.get("policy", "OFFER"))
    for step in journey[1:]:
        for offer in list(driver.state.open_by_berth.values()):
            driver.give(c.AcknowledgeOffer(**TRAIN, offer_id=offer.id))
        if step.cls is c.DenyOffer:  # the clock is set while an offer is open
            driver.give(c.CorrectClock(**TRAIN, by_seconds=3600))
        if step.cls is c.Batch:
            for mark in step.fields["marks"]:
                driver.board(int(mark["pnr"][-2:]))
        else:
            fields = {"trainNo": "12345", **step.on(driver.state)}
            driver.give(read_command(step.cls, fields))
    return driver


def to_its_end() -> Driver:
    """A run with all but TRAIN_CANCELLED: offers denied and accepted, a skip, a delay, marks."""
    return drive(JOURNEY)


def to_its_cancelling() -> Driver:
    """A run that is cancelled and reinstated, and whose end is never reported."""
    driver = drive(APPROVAL)
    driver.give(c.CloseRun(**TRAIN))
    return driver


def voyages() -> tuple[Driver, Driver]:
    """Both runs; together they have every type of event."""
    both = to_its_end(), to_its_cancelling()
    assert {type(event) for driver in both for event in driver.events} == set(e.TYPES)
    return both
